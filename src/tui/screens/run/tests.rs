//! Run from a person's side, with the events that the engine sends.

use super::*;
use crate::engine::Job;
use crate::tui::runs::script::{self, command, finish, hear, play, submitted};
use crate::tui::screens::tune;
use crate::tui::testing::{Screenshot, draw, draw_with, theme};
use crate::tui::view_cx::Charset;
use std::time::Duration;

/// A session with one full run submitted.
fn started(width: u16, height: u16) -> (Model, RunId, Job, Vec<Effect>) {
    let mut model = script::model(width, height);
    model.started_unix = 1_700_000_000;
    let mut fx = Vec::new();
    tune::run(&mut model, &mut fx);
    let (run, job) = submitted(&mut fx).remove(0);
    (model, run, job, fx)
}

fn shot(model: &Model) -> Screenshot {
    draw(model.size.0, model.size.1, |area, cx| view(model, area, cx))
}

#[test]
fn a_finished_run_is_recorded_with_its_outcomes() {
    let (mut model, run, job, mut fx) = started(120, 37);
    model.now = Duration::from_secs(5);
    finish(&mut model, run, &job, &mut fx);
    let records: Vec<_> =
        fx.iter().filter_map(|effect| if let Effect::Record(run) = effect { Some(run) } else { None }).collect();
    assert_eq!(records.len(), 1);
    let record = records[0];
    assert_eq!((record.label.as_str(), record.split.as_str()), ("task_arithmetic λ=0.3", "test"));
    assert_eq!(record.started_unix, 1_700_000_005);
    assert!(record.complete && record.recipe_toml.contains("task_arithmetic"));
    assert_eq!(record.tasks.len(), 8);
    for task in &record.tasks {
        assert_eq!(task.outcomes.len(), 2000);
        let right = task.outcomes.iter().filter(|right| **right).count();
        assert!((right as f64 / 2000.0 - task.accuracy).abs() < 1e-9);
    }
    assert!(model.notice.as_ref().is_some_and(|notice| !notice.error && notice.text.contains("history")));
}

#[test]
fn seen_and_unseen_tasks_have_averages_of_their_own() {
    let mut model = script::model(80, 21);
    let mut fx = Vec::new();
    let experts = model.catalog.experts[2..].to_vec();
    tune::set_experts(&mut model, experts, &mut fx);
    submitted(&mut fx);
    tune::run(&mut model, &mut fx);
    let (run, job) = submitted(&mut fx).remove(0);
    finish(&mut model, run, &job, &mut fx);
    model.run.part = Part::Table;
    let text = shot(&model).text();
    let both = model.runs.get(run).unwrap().report.as_ref().unwrap().generalization.clone().unwrap();
    assert_eq!(both.unseen_tasks, ["mnist", "fashion"]);
    let row = |start: &str| text.lines().find(|line| line.contains(start)).unwrap_or_else(|| panic!("{start}: {text}"));
    assert!(row("mnist ∅").contains(" mnist ∅ ") && !text.contains("emoji ∅"), "{text}");
    assert!(row(" seen ").contains(&format!("{:.1}", both.seen * 100.0)), "{text}");
    assert!(row("unseen ∅").contains(&format!("{:.1}", both.unseen * 100.0)), "{text}");
    // In the history it is known by its recipe.
    let record = fx.iter().find_map(|effect| if let Effect::Record(run) = effect { Some(run) } else { None }).unwrap();
    assert_eq!(crate::tui::screens::compare::judge::generalization(record), Some(both));
}

#[test]
fn previews_are_not_recorded_or_listed() {
    let mut model = script::model(80, 21);
    let mut fx = Vec::new();
    tune::opened(&mut model, &mut fx);
    let (run, job) = submitted(&mut fx).remove(0);
    finish(&mut model, run, &job, &mut fx);
    assert!(!fx.iter().any(|effect| matches!(effect, Effect::Record(_))));
    assert!(shot(&model).text().contains("No run yet"));
}

#[test]
fn cancel_asks_once_and_shows_it() {
    let (mut model, run, job, mut fx) = started(80, 21);
    model.screen = crate::tui::model::Screen::Run;
    play(&mut model, run, &job, 0.3, &mut fx);
    command(&mut model, "run.cancel", &mut fx);
    assert!(fx.iter().any(|effect| matches!(effect, Effect::Cancel(id) if *id == run)));
    assert!(shot(&model).text().contains("stopping"));
    hear(&mut model, &Event::Cancelled { run }, &mut fx);
    assert!(shot(&model).text().contains("cancelled"));
    assert!(!fx.iter().any(|effect| matches!(effect, Effect::Record(_))), "half a run is not history");
}

#[test]
fn a_failure_is_explained() {
    let (mut model, run, _, mut fx) = started(80, 21);
    let event =
        Event::Failed { run, error: "out of memory\x1b[2J".into(), hint: "choose --device cpu".into(), input: false };
    hear(&mut model, &event, &mut fx);
    let text = shot(&model).text();
    assert!(text.contains("out of memory") && text.contains("choose --device cpu"), "{text}");
    assert!(!text.contains('\x1b'));
}

#[test]
fn the_newest_run_is_shown_until_another_is_chosen() {
    let (mut model, first, job, mut fx) = started(80, 21);
    finish(&mut model, first, &job, &mut fx);
    command(&mut model, "run.again", &mut fx);
    let second = submitted(&mut fx).pop().unwrap().0;
    assert_eq!(super::shown(&model).unwrap().1.id, second);
    command(&mut model, "run.down", &mut fx);
    assert_eq!(super::shown(&model).unwrap().1.id, first);
    command(&mut model, "run.up", &mut fx);
    assert_eq!(super::shown(&model).unwrap().1.id, second);
}

#[test]
fn a_recipe_goes_back_to_the_sliders() {
    let (mut model, run, job, mut fx) = started(80, 21);
    finish(&mut model, run, &job, &mut fx);
    model.screen = crate::tui::model::Screen::Run;
    command(&mut model, "run.tune", &mut fx);
    assert_eq!(model.screen, crate::tui::model::Screen::Tune);
}

#[test]
fn live_at_three_sizes() {
    let (mut model, run, job, mut fx) = started(120, 37);
    play(&mut model, run, &job, 0.6, &mut fx);
    let log = |text: &str| Event::Log { run, level: "info".into(), text: text.into() };
    hear(&mut model, &log("batches of 64 on 2 threads"), &mut fx);
    insta::assert_snapshot!("120x37", shot(&model).text());
    model.size = (80, 21);
    insta::assert_snapshot!("80x21", shot(&model).text());
    model.size = (50, 12);
    insta::assert_snapshot!("50x12", shot(&model).text());
    pane(&mut model, 1);
    insta::assert_snapshot!("50x12_chart", shot(&model).text());
}

#[test]
fn no_size_panics() {
    let (mut model, run, job, mut fx) = started(80, 21);
    play(&mut model, run, &job, 0.6, &mut fx);
    for width in (0..=60).chain([71, 72, 73, 80, 120, 300]) {
        for height in (0..=24).chain([40, 100]) {
            for charset in [Charset::Ascii, Charset::Box, Charset::Braille] {
                for (zoomed, part) in
                    [(false, Part::Table), (true, Part::Chart), (false, Part::Log), (false, Part::Chart)]
                {
                    (model.run.zoomed, model.run.part) = (zoomed, part);
                    draw_with(width, height, charset, &theme(), |area, cx| view(&model, area, cx));
                }
            }
        }
    }
}
