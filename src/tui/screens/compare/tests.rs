//! Compare with runs made for the purpose.

use super::*;
use crate::store::TaskScore;
use crate::tui::catalog::fixture;
use crate::tui::effect::Export;
use crate::tui::testing::{Screenshot, draw, draw_with, mono};
use crate::tui::view_cx::Charset;
use std::sync::Arc;

/// A run on the fixture's tasks with `right(task, sample)` answers of 100.
pub fn run(label: &str, split: &str, right: impl Fn(usize, usize) -> bool) -> NewRun {
    let score = |(at, id): (usize, &&str)| {
        let outcomes: Vec<bool> = (0..100).map(|sample| right(at, sample)).collect();
        let accuracy = outcomes.iter().filter(|&&right| right).count() as f64 / 100.0;
        TaskScore { task: (*id).to_owned(), accuracy, loss: 1.0, n: 100, outcomes }
    };
    let tasks: Vec<TaskScore> = fixture::TASKS.iter().enumerate().map(score).collect();
    NewRun {
        started_unix: 1_795_498_867,
        method: "task_arithmetic".to_owned(),
        method_name: "Task Arithmetic".to_owned(),
        label: label.to_owned(),
        tuned_on_test: false,
        recipe_toml: format!("# {label}\n[method]\nid = \"task_arithmetic\"\n"),
        device: "cpu".to_owned(),
        split: split.to_owned(),
        complete: true,
        seconds: 4.2,
        average: tasks.iter().map(|score| score.accuracy).sum::<f64>() / tasks.len() as f64,
        tasks,
    }
}

fn model(width: u16, height: u16, runs: &[NewRun]) -> Model {
    let mut model = Model::new(Arc::new(fixture::catalog()), (width, height));
    for run in runs {
        assert_eq!(toggle(&mut model, run), Ok(true));
    }
    model
}

fn three() -> [NewRun; 3] {
    [
        run("TA 0.3", "test", |_, sample| sample < 60),
        // Better by twenty samples on mnist, worse by two on fashion, the same elsewhere.
        run("TA 0.4", "test", |task, sample| sample < [80, 58].get(task).copied().unwrap_or(60)),
        run("TIES", "validation", |_, sample| sample < 70),
    ]
}

fn shot(model: &Model) -> Screenshot {
    draw(model.size.0, model.size.1, |area, cx| view(model, area, cx))
}

fn press(model: &mut Model, id: &str) -> Vec<Effect> {
    let command = COMMANDS.iter().find(|command| command.id == id).unwrap();
    (command.enabled)(model).unwrap();
    let mut fx = Vec::new();
    (command.run)(model, &mut fx);
    fx
}

#[test]
fn runs_that_left_experts_out_say_how_they_generalise() {
    let mut runs = three();
    let experts = &fixture::TASKS[2..];
    runs[1].recipe_toml = format!("[method]\nid = \"task_arithmetic\"\n[pool]\nexperts = {experts:?}\n");
    let text = shot(&model(120, 37, &runs)).text();
    assert!(text.contains("B: 60.0 on seen, 69.0 on unseen tasks (mnist, fashion)"), "{text}");
    assert_eq!(text.matches("on unseen tasks").count(), 1, "{text}");
}

#[test]
fn the_way_in_is_said_while_there_is_nothing_to_compare() {
    let none = shot(&model(80, 24, &[])).text();
    assert!(none.contains("No run is marked yet.") && none.contains("Press 2, move a slider"), "{none}");
    let one = shot(&model(80, 24, &three()[..1])).text();
    assert!(one.contains("a second one is needed") && one.contains("A TA 0.3"), "{one}");
}

#[test]
fn marks_are_toggled_and_limited() {
    let mut model = model(80, 24, &three());
    let [first, ..] = three();
    assert!(is_marked(&model, &first));
    assert_eq!(toggle(&mut model, &first), Ok(false));
    assert!(!is_marked(&model, &first));
    for at in 0..6 {
        let extra = run(&format!("run {at}"), "test", |_, sample| sample < at);
        toggle(&mut model, &extra).unwrap();
    }
    assert!(toggle(&mut model, &first).unwrap_err().starts_with("8 runs are marked already"));
}

#[test]
fn differences_chances_and_the_best_stand_in_the_table() {
    let text = shot(&model(120, 40, &three())).text();
    let line = |start: &str| {
        let found = text.lines().find(|line| line.trim_start_matches(['│', ' ']).starts_with(start));
        found.unwrap_or_else(|| panic!("{start}\n{text}")).split_whitespace().collect::<Vec<_>>().join(" ")
    };
    // Twenty wins, no loss: p = 2/2^20. Two losses, no win: p = 0.5, and more among eight tasks.
    assert_eq!(line("mnist "), "│ mnist 87.0 96.0 60.0 ▲ 80.0 +20.0* p<.001 70.0 +10.0? │");
    assert_eq!(line("fashion "), "│ fashion 49.0 79.0 60.0 58.0 -2.0 p=1.000 ▲ 70.0 +10.0? │");
    assert_eq!(line("animals "), "│ animals 61.0 83.0 60.0 60.0 0.0 p=1.000 ▲ 70.0 +10.0? │");
    assert_eq!(line("average "), "│ average 55.9 74.1 60.0 62.2 +2.2 ▲ 70.0 +10.0 │");
    assert!(line("recovered").contains("0.0 100.0 22.6"), "{}", line("recovered"));
    assert!(text.contains("? C against A is not comparable: other samples"), "{text}");
    assert!(text.contains("* p < 0.05: McNemar's exact test, same samples"), "{text}");
}

#[test]
fn the_reference_can_be_swapped_and_runs_taken_away() {
    let mut model = model(120, 40, &three());
    press(&mut model, "compare.down");
    press(&mut model, "compare.reference");
    assert_eq!(model.compare.runs[0].label, "TA 0.4");
    let text = shot(&model).text();
    assert!(text.contains("-20.0* p<.001"), "{text}");
    press(&mut model, "compare.remove");
    assert_eq!(model.compare.runs.len(), 2);
    let fx = press(&mut model, "compare.export");
    assert!(matches!(&fx[..], [Effect::Export(Export::Runs(runs))] if runs.len() == 2));
    press(&mut model, "compare.clear");
    assert!(
        COMMANDS.iter().find(|command| command.id == "compare.export").is_some_and(|c| (c.enabled)(&model).is_err())
    );
}

#[test]
fn chart_and_table_share_the_screen_or_take_turns() {
    let tall = shot(&model(120, 40, &three())).text();
    assert!(tall.contains("accuracy in %") && tall.contains("recovered"), "{tall}");
    let mut low = model(80, 20, &three());
    let table = shot(&low).text();
    assert!(!table.contains("accuracy in %") && table.contains("recovered"), "{table}");
    press(&mut low, "compare.chart");
    let chart = shot(&low).text();
    assert!(chart.contains("accuracy in %") && !chart.contains("recovered"), "{chart}");
    assert!(chart.contains('█'), "{chart}");
}

#[test]
fn every_size_and_charset_can_be_drawn() {
    let eight: Vec<NewRun> = (0..8).map(|at| run(&format!("run {at}\x1b[2J"), "test", |_, s| s < 10 * at)).collect();
    for (width, height) in [(0, 0), (1, 1), (9, 3), (20, 5), (50, 15), (80, 24), (120, 40), (300, 100)] {
        for runs in [&eight[..0], &eight[..1], &eight[..2], &eight] {
            let mut model = model(width, height, runs);
            for chart in [false, true] {
                model.compare.chart = chart;
                let shot = draw_with(width, height, Charset::Ascii, &mono(), |area, cx| view(&model, area, cx));
                let text = shot.text().replace('\u{fffd}', "?");
                assert!(text.is_ascii(), "{width}x{height}\n{text}");
            }
        }
    }
}

#[test]
fn on_a_small_terminal_the_selected_run_is_the_one_that_stays() {
    let mut model = model(50, 15, &three());
    let text = shot(&model).text();
    // What is left out is what cannot be told from letters and stars; what matters most stands above.
    let average = text.lines().position(|line| line.contains("average ")).unwrap();
    assert!(text.contains("+20.0*") && text.contains("+10.0?") && !text.contains("p="), "{text}");
    assert!(text.lines().skip(average + 2).any(|line| line.contains("mnist")), "{text}");
    model.size = (36, 15);
    press(&mut model, "compare.down");
    let text = shot(&model).text();
    assert!(text.contains("+20.0*"), "{text}");
    press(&mut model, "compare.down");
    let text = shot(&model).text();
    assert!(!text.contains("+20.0*") && text.contains("+10.0?"), "{text}");
}
