//! History with stored runs made for the purpose.

use super::*;
use crate::store::NewRun;
use crate::tui::catalog::fixture;
use crate::tui::effect::Export;
use crate::tui::model::Screen;
use crate::tui::overlay::Overlay;
use crate::tui::screens::compare::tests::run;
use crate::tui::testing::{Screenshot, draw, draw_with, mono};
use crate::tui::view_cx::Charset;
use std::sync::Arc;

fn record(id: i64, run: NewRun) -> RunRecord {
    RunRecord { id, run, pinned: false }
}

fn records() -> Vec<RunRecord> {
    let mut part = run("TIES λ=0.7\x1b]0;x\x07", "validation", |_, sample| sample < 70);
    part.complete = false;
    vec![
        record(12, part),
        record(11, run("TA λ=0.4", "test", |_, sample| sample < 62)),
        record(10, run("TA λ=0.3", "test", |_, sample| sample < 60)),
    ]
}

fn model(width: u16, height: u16, records: Vec<RunRecord>) -> Model {
    let mut model = Model::new(Arc::new(fixture::with_methods(crate::fusion::METHODS)), (width, height));
    model.screen = Screen::History;
    loaded(&mut model, records, None);
    model
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
fn details_say_which_tasks_were_unseen() {
    let experts = &fixture::TASKS[2..];
    let mut part = run("TA λ=0.3", "test", |task, sample| sample < if task < 2 { 40 } else { 60 });
    part.recipe_toml = format!("[method]\nid = \"task_arithmetic\"\n[pool]\nexperts = {experts:?}\n");
    let model = model(120, 37, vec![record(1, part)]);
    let text = shot(&model).text();
    for words in ["60.0 % on seen", "40.0 % on unseen", "mnist    ∅", "fashion  ∅"] {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert!(!text.contains("emoji    ∅"), "{text}");
}

#[test]
fn opening_asks_for_the_runs_and_says_what_to_do_when_there_are_none() {
    let mut model = Model::new(Arc::new(fixture::catalog()), (80, 24));
    let mut fx = Vec::new();
    opened(&mut model, &mut fx);
    assert!(matches!(fx[..], [Effect::LoadHistory]));
    assert!(shot(&model).text().contains("Reading the history"));
    loaded(&mut model, Vec::new(), None);
    assert!(shot(&model).text().contains("No runs yet: press 2, move a slider, press Enter."));
    loaded(&mut model, Vec::new(), Some("history.db was damaged and set aside as history.db.bad".to_owned()));
    let text = shot(&model).text();
    assert!(text.contains("history.db was damaged and set aside"), "{text}");
    assert!(text.contains("Runs of this session still work"), "{text}");
}

#[test]
fn runs_stand_in_a_list_with_the_details_beside_it() {
    let text = shot(&model(120, 40, records())).text();
    for expected in [
        "History 3 runs",
        "12 2026-11-24 05:41 TIES",
        "validation, part",
        "Run 12: TIES λ=0.7\u{fffd}]0;x\u{fffd}",
        "Task Arithmetic on the validation, part split",
        "2026-11-24 05:41 UTC on cpu, 4.2 s",
        "70.0 % base 87.0 expert 96.0",
        "recipe (r: take it up in Tune, y: copy)",
        "id = \"task_arithmetic\"",
    ] {
        assert!(text.contains(expected), "{expected}\n{text}");
    }
}

#[test]
fn a_filter_narrows_the_list_and_pinned_runs_come_first() {
    let mut model = model(120, 40, records());
    press(&mut model, "history.filter");
    let Some(Overlay::Entry(entry)) = model.overlay.take() else { panic!("no entry field") };
    press(&mut model, "history.last");
    (entry.done)(&mut model, "ties", &mut Vec::new()).unwrap();
    let text = shot(&model).text();
    assert!(text.contains("History 1/3 /ties") && text.contains("Run 12: TIES"), "{text}");
    (entry.done)(&mut model, "nothing like it", &mut Vec::new()).unwrap();
    assert!(shot(&model).text().contains("No run matches"));
    (entry.done)(&mut model, "", &mut Vec::new()).unwrap();
    press(&mut model, "history.last");
    let fx = press(&mut model, "history.pin");
    assert!(matches!(fx[..], [Effect::Pin { id: 10, pinned: true }]));
    let mut stored = records();
    stored[2].pinned = true;
    loaded(&mut model, stored, None);
    assert_eq!(model.history.shown().iter().map(|record| record.id).collect::<Vec<_>>(), [10, 12, 11]);
}

#[test]
fn marks_go_to_compare_and_exports_to_disk() {
    let mut model = model(120, 40, records());
    press(&mut model, "history.mark");
    press(&mut model, "history.down");
    press(&mut model, "history.mark");
    assert_eq!(model.compare.runs.iter().map(|run| run.label.as_str()).collect::<Vec<_>>()[1], "TA λ=0.4");
    assert!(shot(&model).text().contains("▸ ●  11"), "{}", shot(&model).text());
    let fx = press(&mut model, "history.export");
    assert!(matches!(&fx[..], [Effect::Export(Export::Runs(runs))] if runs[0].label == "TA λ=0.4"));
    let fx = press(&mut model, "history.copy");
    assert!(matches!(&fx[..], [Effect::Copy(text)] if text.contains("# TA λ=0.4")));
}

#[test]
fn deleting_asks_first_and_then_moves_on() {
    let mut model = model(120, 40, records());
    press(&mut model, "history.down");
    press(&mut model, "history.delete");
    let Some(Overlay::Question(question)) = model.overlay.take() else { panic!("no question") };
    assert!(question.text.contains("Delete run 11, TA λ=0.4"), "{}", question.text);
    let mut fx = Vec::new();
    (question.yes)(&mut model, &mut fx);
    assert!(matches!(fx[..], [Effect::Forget(11)]));
    assert_eq!(model.history.selected, Some(10));
}

#[test]
fn a_recipe_goes_to_tune_and_a_broken_one_is_explained() {
    let mut stored = records();
    stored[0].run.recipe_toml = "method = ".to_owned();
    let mut model = model(120, 40, stored);
    press(&mut model, "history.reload");
    assert_eq!(model.screen, Screen::History);
    let notice = model.notice.clone().unwrap();
    assert!(notice.error && notice.text.starts_with("This recipe cannot be taken up: "), "{notice:?}");
    press(&mut model, "history.down");
    press(&mut model, "history.reload");
    assert_eq!(model.screen, Screen::Tune);
}

#[test]
fn a_recipe_that_was_tuned_on_test_stays_so() {
    let mut stored = records();
    stored[1].run.tuned_on_test = true;
    let mut model = model(120, 40, stored);
    press(&mut model, "history.down");
    let text = shot(&model).text();
    assert!(text.contains("† TA λ=0.4") && text.contains("TA λ=0.4 (tuned on test)"), "{text}");
    press(&mut model, "history.reload");
    assert_eq!(model.screen, Screen::Tune);
    let text = draw(120, 40, |area, cx| crate::tui::screens::tune::view(&model, area, cx)).text();
    assert!(text.contains("· tuned on test"), "{text}");
}

#[test]
fn details_scroll_when_they_have_the_keys() {
    let mut stored = records();
    stored[0].run.recipe_toml = (0..60).map(|at| format!("line{at} = 1\n")).collect();
    let mut model = model(80, 24, stored);
    pane(&mut model, 1);
    assert!(!shot(&model).text().contains("line59"));
    press(&mut model, "history.last");
    assert!(shot(&model).text().contains("line59"));
    assert_eq!(model.history.current().unwrap().id, 12);
    press(&mut model, "history.up");
    assert!(model.history.scroll < 1000);
}

#[test]
fn every_size_and_charset_can_be_drawn() {
    for (width, height) in [(0, 0), (1, 1), (9, 3), (20, 5), (50, 15), (80, 24), (120, 40), (300, 100)] {
        for focus in [Pane::List, Pane::Detail] {
            let mut model = model(width, height, records());
            model.history.focus = focus;
            let shot = draw_with(width, height, Charset::Ascii, &mono(), |area, cx| view(&model, area, cx));
            let text = shot.text().replace(['λ', '\u{fffd}'], "?");
            assert!(text.is_ascii(), "{width}x{height}\n{text}");
        }
    }
    let small = shot(&model(50, 15, records())).text();
    assert!(small.contains("TA λ=0.4") && small.contains("62.0"), "{small}");
}
