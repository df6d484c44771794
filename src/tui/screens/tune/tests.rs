//! Tune from a person's side: keys in, jobs out, events in, words on the screen.

use super::*;
use crate::engine::{Job, JobKind};
use crate::params::Value;
use crate::tui::catalog::fixture;
use crate::tui::key::Chord;
use crate::tui::overlay::{self, Overlay};
use crate::tui::runs::RunState;
use crate::tui::runs::script::{self, command, finish, hear, play, submitted};
use crate::tui::testing::{Screenshot, draw, draw_with, mono, theme};
use crate::tui::view_cx::Charset;
use std::time::Duration;

mod learned;
mod look;

/// A session whose first preview is finished.
fn started(width: u16, height: u16) -> Model {
    let mut model = script::model(width, height);
    let mut fx = Vec::new();
    opened(&mut model, &mut fx);
    finish_all(&mut model, &mut fx);
    model
}

/// Plays the engine until nothing more is submitted.
fn finish_all(model: &mut Model, fx: &mut Vec<Effect>) {
    loop {
        let jobs = submitted(fx);
        if jobs.is_empty() {
            return;
        }
        let last = jobs.len() - 1;
        for (at, (run, job)) in jobs.into_iter().enumerate() {
            if at < last {
                hear(model, &Event::Cancelled { run }, fx);
            } else {
                finish(model, run, &job, fx);
            }
        }
    }
}

fn shot(model: &Model) -> Screenshot {
    draw(model.size.0, model.size.1, |area, cx| view(model, area, cx))
}

fn lambda(job: &Job) -> f64 {
    job.recipe.params.get("scaling").and_then(Value::as_f64).unwrap()
}

#[test]
fn the_first_preview_is_on_its_way_at_once() {
    let mut model = script::model(80, 21);
    let mut fx = Vec::new();
    opened(&mut model, &mut fx);
    let jobs = submitted(&mut fx);
    assert_eq!(jobs.len(), 1);
    let job = &jobs[0].1;
    assert_eq!(
        (job.kind, job.recipe.method.as_str(), job.split),
        (JobKind::Preview, "task_arithmetic", Split::Validation)
    );
    assert_eq!((lambda(job), job.tasks.len(), job.limit), (0.3, 8, None));
    opened(&mut model, &mut fx);
    assert!(fx.is_empty(), "coming back starts nothing");
}

#[test]
fn a_newcomer_reads_what_got_better_and_what_got_worse() {
    for (width, height) in [(80, 21), (120, 37), (50, 13)] {
        let mut model = started(width, height);
        let mut fx = Vec::new();
        command(&mut model, "tune.more", &mut fx);
        command(&mut model, "tune.more", &mut fx);
        finish_all(&mut model, &mut fx);
        let text = shot(&model).text();
        assert!(text.contains("λ=0.4 vs λ=0.3") || height < 20, "{text}");
        let line = |mark: &str| {
            text.lines().find(|line| line.contains(mark)).unwrap_or_else(|| panic!("{mark}: {text}")).to_owned()
        };
        assert!(line("▲ better for").contains("emoji +"), "{text}");
        assert!(line("▼ worse for").contains("fashion −"), "{text}");
        for task in fixture::TASKS {
            assert!(text.contains(task), "{task} is missing at {width}×{height}: {text}");
        }
    }
}

#[test]
fn who_is_faster_than_the_first_preview_can_still_compare() {
    let mut model = script::model(120, 37);
    let mut fx = Vec::new();
    opened(&mut model, &mut fx);
    command(&mut model, "tune.more", &mut fx);
    command(&mut model, "tune.more", &mut fx);
    finish_all(&mut model, &mut fx);
    let text = shot(&model).text();
    assert!(text.contains("λ=0.4 vs λ=0.3") && text.contains("▲ better for"), "{text}");
    assert!(submitted(&mut fx).is_empty(), "nothing is left to do");
}

#[test]
fn old_numbers_stay_until_new_ones_come() {
    let mut model = started(80, 21);
    let mut fx = Vec::new();
    let before = model.tune.board.clone();
    command(&mut model, "tune.more", &mut fx);
    assert!(model.tune.board.slots.iter().all(|slot| !slot.fresh));
    let scores = |board: &Board| board.slots.iter().map(|slot| slot.score.unwrap().accuracy).collect::<Vec<_>>();
    assert_eq!(scores(&model.tune.board), scores(&before), "nothing falls to zero");
    let (run, job) = submitted(&mut fx).remove(0);
    play(&mut model, run, &job, 0.1, &mut fx);
    assert!(model.tune.board.is_fresh());
    assert_eq!(model.tune.board.slots[0].score.unwrap().seen, 50);
}

#[test]
fn what_an_older_preview_says_later_is_not_shown() {
    let mut model = started(80, 21);
    let mut fx = Vec::new();
    command(&mut model, "tune.more", &mut fx);
    command(&mut model, "tune.more", &mut fx);
    let jobs = submitted(&mut fx);
    assert_eq!(jobs.iter().map(|(_, job)| lambda(job)).collect::<Vec<_>>(), [0.35, 0.4]);
    play(&mut model, jobs[0].0, &jobs[0].1, 0.5, &mut fx);
    assert!(model.tune.board.slots.iter().all(|slot| !slot.fresh));
}

#[test]
fn one_gesture_is_undone_at_once() {
    let mut model = started(80, 21);
    let mut fx = Vec::new();
    for _ in 0..4 {
        command(&mut model, "tune.more", &mut fx);
        model.now += Duration::from_millis(100);
    }
    model.now += Duration::from_secs(2);
    command(&mut model, "tune.coarse_less", &mut fx);
    let now = |model: &Model| model.tune.setting.params.get("scaling").and_then(Value::as_f64).unwrap();
    assert_eq!(now(&model), 0.25);
    command(&mut model, "tune.undo", &mut fx);
    assert_eq!(now(&model), 0.5);
    command(&mut model, "tune.undo", &mut fx);
    assert_eq!(now(&model), 0.3);
    assert!((crate::tui::command::find("tune.undo").unwrap().enabled)(&model).is_err());
    command(&mut model, "tune.redo", &mut fx);
    assert_eq!(now(&model), 0.5);
    let last = submitted(&mut fx).pop().unwrap();
    assert_eq!(lambda(&last.1), 0.5, "undo and redo are previewed as well");
}

#[test]
fn ends_reset_and_exact_values() {
    let mut model = started(80, 21);
    let mut fx = Vec::new();
    let now = |model: &Model| model.tune.setting.params.get("scaling").and_then(Value::as_f64).unwrap();
    let (_, spec) = model.tune.focused_spec().unwrap();
    let (low, high) = spec.range().unwrap();
    command(&mut model, "tune.max", &mut fx);
    assert_eq!(now(&model), high);
    command(&mut model, "tune.more", &mut fx);
    assert_eq!(submitted(&mut fx).len(), 1, "nothing changes at the end of the range");
    command(&mut model, "tune.min", &mut fx);
    assert_eq!(now(&model), low);
    command(&mut model, "tune.exact", &mut fx);
    let Some(crate::tui::overlay::Overlay::Entry(entry)) = &model.overlay else { panic!("no field") };
    let done = entry.done;
    assert_eq!(done(&mut model, "0.4375", &mut fx), Ok(()));
    assert_eq!(now(&model), 0.4375);
    let error = done(&mut model, "inf", &mut fx).unwrap_err();
    assert!(error.contains("`scaling` = inf is out of bounds"), "{error}");
    assert_eq!(now(&model), 0.4375);
    // Beyond the slider's range the value stands until it is moved, and then goes towards the range.
    assert_eq!(done(&mut model, "9", &mut fx), Ok(()));
    assert_eq!(now(&model), 9.0);
    assert!(shot(&model).text().contains("9.0"));
    command(&mut model, "tune.more", &mut fx);
    assert_eq!(now(&model), 9.0);
    command(&mut model, "tune.less", &mut fx);
    assert_eq!(now(&model), 8.95);
    command(&mut model, "tune.max", &mut fx);
    assert_eq!(now(&model), high);
    command(&mut model, "tune.reset", &mut fx);
    assert_eq!(now(&model), 0.3);
    // What is typed first takes the old value's place, unless the cursor was moved before.
    let mut typed = |keys: &[&str]| {
        command(&mut model, "tune.exact", &mut fx);
        for key in keys {
            overlay::key(&mut model, Chord::parse(key).unwrap(), &mut fx);
        }
        now(&model)
    };
    assert_eq!(typed(&["0", ".", "7", "enter"]), 0.7);
    assert_eq!(typed(&["end", "5", "enter"]), 0.75);
    assert_eq!(typed(&["backspace", "8", "enter"]), 0.78);
}

#[test]
fn knobs_moved_on_test_mark_what_comes_of_it() {
    let mut model = started(80, 21);
    let mut fx = Vec::new();
    command(&mut model, "tune.split", &mut fx);
    finish_all(&mut model, &mut fx);
    assert!(!shot(&model).text().contains("tuned on test"), "looking alone does no harm");
    command(&mut model, "tune.more", &mut fx);
    finish_all(&mut model, &mut fx);
    assert!(shot(&model).text().contains("tuned on test"));
    command(&mut model, "tune.split", &mut fx);
    finish_all(&mut model, &mut fx);
    assert!(shot(&model).text().contains("tuned on test"), "going back to validation does not undo it");
    command(&mut model, "tune.run", &mut fx);
    let (run, job) = submitted(&mut fx).remove(0);
    assert_eq!((job.kind, job.split), (JobKind::Run, Split::Test));
    finish(&mut model, run, &job, &mut fx);
    let record = fx.iter().find_map(|effect| if let Effect::Record(run) = effect { Some(run) } else { None }).unwrap();
    assert!(record.tuned_on_test && record.label == "task_arithmetic λ=0.35");
    command(&mut model, "tune.reset_all", &mut fx);
    assert!(!model.tune.setting.tuned_on_test, "defaults were not tuned on anything");
}

#[test]
fn knobs_moved_after_a_full_test_run_are_marked_too() {
    let mut model = started(120, 37);
    let mut fx = Vec::new();
    command(&mut model, "tune.more", &mut fx);
    finish_all(&mut model, &mut fx);
    command(&mut model, "tune.run", &mut fx);
    let (run, job) = submitted(&mut fx).remove(0);
    command(&mut model, "tune.more", &mut fx);
    finish_all(&mut model, &mut fx);
    assert!(!model.tune.setting.tuned_on_test, "nothing of it was seen yet");
    finish(&mut model, run, &job, &mut fx);
    assert!(!model.tune.setting.tuned_on_test, "looking alone does no harm");
    command(&mut model, "tune.more", &mut fx);
    finish_all(&mut model, &mut fx);
    assert!(shot(&model).text().contains("validation split · tuned on test"));
    assert!(model.notice.as_ref().unwrap().text.contains("u goes back"));
    command(&mut model, "tune.undo", &mut fx);
    assert!(!model.tune.setting.tuned_on_test);
    let other = model.catalog.methods.iter().copied().find(|known| known.id == "ties").unwrap();
    actions::use_method(&mut model, other, &mut fx);
    command(&mut model, "tune.more", &mut fx);
    assert!(!model.tune.setting.tuned_on_test, "of this method no test result was seen");
}

#[test]
fn the_pinned_setting_is_evaluated_on_the_split_in_sight() {
    let mut model = started(80, 21);
    let mut fx = Vec::new();
    command(&mut model, "tune.more", &mut fx);
    finish_all(&mut model, &mut fx);
    command(&mut model, "tune.split", &mut fx);
    let (run, job) = submitted(&mut fx).remove(0);
    finish(&mut model, run, &job, &mut fx);
    let (run, job) = submitted(&mut fx).remove(0);
    assert_eq!((lambda(&job), job.split), (0.3, Split::Test));
    finish(&mut model, run, &job, &mut fx);
    assert!(submitted(&mut fx).is_empty());
    assert!(shot(&model).text().contains("λ=0.35 vs λ=0.3"));
}

#[test]
fn a_pin_is_let_go_of_by_the_same_key() {
    let mut model = started(80, 21);
    let mut fx = Vec::new();
    command(&mut model, "tune.more", &mut fx);
    finish_all(&mut model, &mut fx);
    command(&mut model, "tune.pin", &mut fx);
    assert_eq!(model.tune.pinned.as_ref().unwrap().label, "λ=0.35");
    command(&mut model, "tune.pin", &mut fx);
    assert!(model.tune.pinned.is_none());
}

#[test]
fn the_mouse_drags_the_slider() {
    let mut model = started(80, 21);
    let mut fx = Vec::new();
    let screen = shot(&model);
    let mut tracks = (0..21).flat_map(|y| (0..80).map(move |x| (x, y))).filter_map(|(x, y)| screen.hits.at(x, y));
    let (area, target) = tracks.find(|(_, target)| matches!(target, crate::tui::hit::Target::Slider { .. })).unwrap();
    let button = crossterm::event::MouseButton::Left;
    for (x, kind) in [
        (area.x, crossterm::event::MouseEventKind::Down(button)),
        (area.right() + 20, crossterm::event::MouseEventKind::Drag(button)),
    ] {
        let at = ratatui::layout::Position { x, y: area.y };
        mouse(&mut model, Hit { target, area, at, kind }, &mut fx);
    }
    let (_, spec) = model.tune.focused_spec().unwrap();
    let jobs = submitted(&mut fx);
    let (low, high) = spec.range().unwrap();
    assert_eq!(jobs.iter().map(|(_, job)| lambda(job)).collect::<Vec<_>>(), [low, high]);
    command(&mut model, "tune.undo", &mut fx);
    assert_eq!(model.tune.edits.depth().0, 0, "a drag is one gesture");
}

#[test]
fn methods_are_chosen_from_the_list_and_keep_their_values() {
    let mut model = started(80, 21);
    let mut fx = Vec::new();
    command(&mut model, "tune.more", &mut fx);
    command(&mut model, "tune.method", &mut fx);
    let text = shot(&model).text();
    assert!(text.contains("Merging") && text.contains("Simple average"), "{text}");
    let at = |id: &str| model.catalog.methods.iter().position(|method| method.id == id).unwrap();
    let (average, arithmetic) = (at("simple_average"), at("task_arithmetic"));
    model.tune.menu = Some(Menu::Methods { cursor: average });
    command(&mut model, "tune.choose", &mut fx);
    assert_eq!(model.tune.menu, None);
    assert_eq!(submitted(&mut fx).pop().unwrap().1.recipe.method, "simple_average");
    model.tune.menu = Some(Menu::Methods { cursor: arithmetic });
    command(&mut model, "tune.choose", &mut fx);
    assert_eq!(lambda(&submitted(&mut fx).pop().unwrap().1), 0.35, "what had been dialled in is still there");
    command(&mut model, "tune.undo", &mut fx);
    assert_eq!(model.tune.setting.method.id, "simple_average");
}

#[test]
fn methods_are_found_by_typing() {
    let mut model = started(80, 24);
    let mut fx = Vec::new();
    let found = |model: &Model| match &model.overlay {
        Some(Overlay::Menu(menu)) => menu.shown().map(|row| row.label.clone()).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    command(&mut model, "tune.find", &mut fx);
    assert_eq!(found(&model).len(), model.catalog.methods.len());
    overlay::paste(&mut model, "simple av", &mut fx);
    assert_eq!(found(&model)[0], "Simple average");
    overlay::key(&mut model, Chord::parse("enter").unwrap(), &mut fx);
    assert!(model.overlay.is_none() && model.tune.menu.is_none());
    assert_eq!(submitted(&mut fx).pop().unwrap().1.recipe.method, "simple_average");
    command(&mut model, "tune.find", &mut fx);
    overlay::paste(&mut model, "qqqq", &mut fx);
    assert!(found(&model).is_empty());
    overlay::key(&mut model, Chord::parse("enter").unwrap(), &mut fx);
    overlay::key(&mut model, Chord::parse("esc").unwrap(), &mut fx);
    assert!(model.overlay.is_none() && submitted(&mut fx).is_empty());
    assert_eq!(model.tune.setting.method.id, "simple_average");
}

#[test]
fn experts_can_be_left_out() {
    let mut model = started(80, 21);
    let mut fx = Vec::new();
    model.tune.focus = 1;
    command(&mut model, "tune.choose", &mut fx);
    assert!(shot(&model).text().contains("[x] mnist"));
    command(&mut model, "tune.choose", &mut fx);
    let job = submitted(&mut fx).pop().unwrap().1;
    assert_eq!(job.recipe.experts, fixture::TASKS[1..]);
    assert_eq!(job.tasks.len(), 8, "the task is evaluated all the same");
    assert!(shot(&model).text().contains("[ ] mnist"));
    command(&mut model, "tune.close", &mut fx);
    assert!(shot(&model).text().contains("7 of 8"));
}

#[test]
fn tasks_of_experts_left_out_are_unseen() {
    for (width, height) in [(50, 12), (80, 21), (120, 37)] {
        let mut model = started(width, height);
        let mut fx = Vec::new();
        assert!(!shot(&model).text().contains("unseen"), "all experts are there");
        command(&mut model, "tune.experts", &mut fx);
        command(&mut model, "tune.choose", &mut fx);
        command(&mut model, "tune.down", &mut fx);
        command(&mut model, "tune.choose", &mut fx);
        command(&mut model, "tune.experts", &mut fx);
        assert!(model.tune.menu.is_none());
        finish_all(&mut model, &mut fx);
        let unseen = &fixture::TASKS[..2];
        let (board, setting) = (&model.tune.board, &model.tune.setting);
        let mean = |seen| board.average_over(|task| setting.has_seen(task) == seen).unwrap().0 * 100.0;
        let screen = shot(&model);
        let text = screen.text();
        for (task, marked) in fixture::TASKS.iter().map(|task| (task, unseen.contains(task))) {
            assert_eq!(text.contains(&format!("{task} ∅")), marked, "{task}\n{text}");
        }
        assert!(text.contains(&format!("seen {:.1} ±", mean(true))), "{text}");
        assert!(text.contains(&format!("∅ unseen {:.1} ±", mean(false))), "{text}");
        let ascii = draw_with(width, height, Charset::Ascii, &mono(), |area, cx| view(&model, area, cx)).text();
        assert!(ascii.contains("fashion u") && ascii.contains("u unseen "), "{ascii}");
    }
}

#[test]
fn what_was_merged_is_kept_in_the_recipe_and_between_sessions() {
    let mut model = started(80, 21);
    let mut fx = Vec::new();
    let experts = fixture::TASKS[2..].iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
    set_experts(&mut model, experts.clone(), &mut fx);
    let preset = crate::engine::Preset::parse(&recipe_toml(&model), "copied").unwrap();
    assert_eq!(preset.experts().unwrap(), experts);
    let mut next = script::model(80, 21);
    restore(&mut next, &saved(&model), &mut fx);
    assert_eq!(next.tune.setting.experts, experts);
}

#[test]
fn experts_that_were_chosen_stay_when_the_method_changes() {
    let mut model = started(80, 21);
    let mut fx = Vec::new();
    let method = |model: &Model, id: &str| {
        model.catalog.methods.iter().copied().find(|method| method.id == id).unwrap_or_else(|| panic!("no {id}"))
    };
    let all = model.tune.setting.experts.clone();
    let [ties, pair, first] = ["ties", "slerp", "task_arithmetic"].map(|id| method(&model, id));
    actions::use_method(&mut model, ties, &mut fx);
    assert_eq!(model.tune.setting.experts, all);
    actions::use_method(&mut model, first, &mut fx);
    set_experts(&mut model, all[1..].to_vec(), &mut fx);
    // One that had been on with all of them before, one that takes two, and back.
    actions::use_method(&mut model, ties, &mut fx);
    assert_eq!(model.tune.setting.experts, all[1..]);
    actions::use_method(&mut model, pair, &mut fx);
    assert_eq!(model.tune.setting.experts.len(), 2);
    actions::use_method(&mut model, first, &mut fx);
    assert_eq!(model.tune.setting.experts, all[1..]);
}

#[test]
fn a_sweep_finds_the_best_value_and_lets_nudges_go_first() {
    let mut model = started(120, 37);
    let mut fx = Vec::new();
    command(&mut model, "tune.sweep", &mut fx);
    let first = submitted(&mut fx);
    assert_eq!(first.len(), 1);
    assert_eq!(first[0].1.kind, JobKind::Preview);
    assert!(first[0].1.limit.is_some());
    play(&mut model, first[0].0, &first[0].1, 0.5, &mut fx);
    // A nudge: the engine drops the sweep's point and takes the nudge.
    command(&mut model, "tune.less", &mut fx);
    let nudge = submitted(&mut fx).remove(0);
    hear(&mut model, &Event::Cancelled { run: first[0].0 }, &mut fx);
    assert!(submitted(&mut fx).is_empty(), "the sweep waits");
    finish(&mut model, nudge.0, &nudge.1, &mut fx);
    let again = submitted(&mut fx);
    assert_eq!(lambda(&again[0].1), lambda(&first[0].1), "the dropped point comes again");
    finish(&mut model, again[0].0, &again[0].1, &mut fx);
    finish_all(&mut model, &mut fx);
    let sweep = model.tune.sweep.as_ref().unwrap();
    assert!(sweep.is_over());
    assert_eq!(sweep.progress().0, sweep.points.len());
    let (best, mean) = sweep.best().unwrap();
    assert!(sweep.points.iter().all(|point| crate::tui::runs::average(&point.scores).unwrap().0 <= mean));
    assert!((0.3..0.5).contains(&best), "{best}");
    let emoji = fixture::TASKS.iter().position(|task| *task == "emoji").unwrap();
    assert!((sweep.best_for(emoji).unwrap().0 - 0.6).abs() < 0.051);
    let text = shot(&model).text();
    assert!(text.contains("best average") && text.contains("emoji at 0.6"), "{text}");
    command(&mut model, "tune.apply_best", &mut fx);
    assert_eq!(lambda(&submitted(&mut fx).pop().unwrap().1), best);
}

#[test]
fn stopping_a_sweep_stops_all_of_it() {
    let mut model = started(80, 21);
    let mut fx = Vec::new();
    command(&mut model, "tune.sweep", &mut fx);
    let (run, _) = submitted(&mut fx).remove(0);
    model.runs.cancelling(run);
    hear(&mut model, &Event::Cancelled { run }, &mut fx);
    assert!(submitted(&mut fx).is_empty());
    assert!(model.tune.sweep.as_ref().unwrap().is_over());
}

#[test]
fn a_failed_preview_says_what_to_do() {
    let mut model = started(80, 21);
    let mut fx = Vec::new();
    command(&mut model, "tune.more", &mut fx);
    let (run, _) = submitted(&mut fx).remove(0);
    hear(
        &mut model,
        &Event::Failed { run, error: "the fused tensor is not finite".into(), hint: "smaller".into(), input: false },
        &mut fx,
    );
    assert!(matches!(model.runs.get(run).unwrap().state, RunState::Failed { .. }));
    let text = shot(&model).text();
    assert!(text.contains("the fused tensor is not finite"), "{text}");
}

#[test]
fn a_session_takes_up_where_the_last_one_ended() {
    let mut model = started(80, 21);
    let mut fx = Vec::new();
    command(&mut model, "tune.coarse_more", &mut fx);
    let json = saved(&model);
    let mut next = script::model(80, 21);
    let mut fx = Vec::new();
    restore(&mut next, &json, &mut fx);
    opened(&mut next, &mut fx);
    let jobs = submitted(&mut fx);
    assert_eq!(jobs.len(), 1);
    assert_eq!(
        lambda(&jobs[0].1),
        lambda(&script::submitted(&mut vec![Effect::Submit(jobs[0].0, jobs[0].1.clone())])[0].1)
    );
    assert_eq!(next.tune.setting, model.tune.setting);
    for broken in ["", "{}", "[1]", r#"{"recipe":{"method":"gone","params":{},"experts":[]}}"#] {
        let mut next = script::model(80, 21);
        restore(&mut next, broken, &mut Vec::new());
        assert_eq!(next.tune.setting.method.id, "task_arithmetic");
    }
}

/// Parameters of every kind, for what the registry's first methods do not have.
mod kinds {
    use super::*;
    use crate::fusion::{Context, Family, Fused, FusionError, Needs, Pool};
    use crate::params::{ParamSet, choice, flag, float, int, per_group, per_model, seed};

    const SPECS: &[Spec] = &[
        float(0.3, 0.0, 2.0, 0.05).symbol("λ").named("scaling", "Coefficient of the summed task vectors."),
        int(20, 0, 100, 5).unit("%").costly().named("keep", "Share of entries that are kept."),
        choice("sum", &["sum", "mean", "max"]).named("merge", "How kept entries are combined."),
        flag(true).named("rescale", "Divide by the kept share."),
        per_model(1.0, 0.0, 2.0, 0.1).named("weights", "One an expert."),
        per_group(0.3, 0.0, 1.0, 0.05).named("layers", "One an expert and block."),
        seed(0).advanced().named("seed", "Seed of the masks."),
    ];

    fn refuse(_: &ParamSet, _: &Pool, _: &mut Context<'_>) -> Result<Fused, FusionError> {
        Err(FusionError::NeedsBase { method: "kinds" })
    }

    static ALL: crate::fusion::Method = crate::fusion::Method {
        id: "kinds",
        name: "All Kinds",
        family: Family::Merging,
        formula: "θ₀ + λ Σ τᵢ",
        summary: "Has a parameter of every kind.",
        reference: "",
        specs: SPECS,
        needs: Needs { base: true, min_models: 1, max_models: None, data: crate::fusion::Examples::None },
        fuse: refuse,
    };
    static PAIR: crate::fusion::Method = crate::fusion::Method {
        id: "pair",
        name: "Pair",
        family: Family::Ensemble,
        formula: "(a + b) / 2",
        summary: "Takes two.",
        reference: "",
        specs: &[],
        needs: Needs { base: false, min_models: 2, max_models: Some(2), data: crate::fusion::Examples::None },
        fuse: refuse,
    };
    static MANY: crate::fusion::Method = crate::fusion::Method {
        id: "many",
        name: "Many",
        family: Family::Ensemble,
        formula: "?",
        summary: "Takes more than there are.",
        reference: "",
        specs: &[],
        needs: Needs { base: false, min_models: 9, max_models: None, data: crate::fusion::Examples::None },
        fuse: refuse,
    };
    static METHODS: &[&crate::fusion::Method] = &[&ALL, &PAIR, &MANY];

    pub fn model(width: u16, height: u16) -> Model {
        script::with(fixture::with_methods(METHODS), width, height)
    }

    fn focus(model: &mut Model, wanted: impl Fn(Row, &'static str) -> bool) {
        let specs = model.tune.setting.method.specs;
        let name = |row: &Row| match row {
            Row::Param(at) | Row::Expert { spec: at, .. } => specs[*at].name,
            _ => "",
        };
        model.tune.focus = model.tune.rows().iter().position(|row| wanted(*row, name(row))).unwrap();
    }

    fn get(model: &Model, name: &str) -> Value {
        model.tune.setting.params.get(name).unwrap().clone()
    }

    #[test]
    fn every_kind_can_be_moved() {
        let mut model = model(120, 37);
        let mut fx = Vec::new();
        focus(&mut model, |_, name| name == "merge");
        command(&mut model, "tune.coarse_more", &mut fx);
        assert_eq!(get(&model, "merge"), Value::Text("mean".into()), "a coarse step is one choice");
        focus(&mut model, |_, name| name == "rescale");
        command(&mut model, "tune.more", &mut fx);
        assert_eq!(get(&model, "rescale"), Value::Bool(false));
        focus(&mut model, |row, name| name == "weights" && matches!(row, Row::Expert { expert: 2, .. }));
        command(&mut model, "tune.less", &mut fx);
        assert_eq!(get(&model, "weights"), Value::List(vec![1.0, 1.0, 0.9, 1.0, 1.0, 1.0, 1.0, 1.0]));
        focus(&mut model, |row, name| name == "weights" && matches!(row, Row::Param(_)));
        command(&mut model, "tune.more", &mut fx);
        assert_eq!(get(&model, "weights"), Value::List(vec![1.1, 1.1, 1.0, 1.1, 1.1, 1.1, 1.1, 1.1]));
        focus(&mut model, |row, name| name == "layers" && matches!(row, Row::Expert { expert: 0, .. }));
        command(&mut model, "tune.block_right", &mut fx);
        command(&mut model, "tune.more", &mut fx);
        let Value::Table(table) = get(&model, "layers") else { panic!("not a table") };
        assert_eq!((&table[0][..], &table[1][..]), (&[0.3, 0.35, 0.3, 0.3][..], &[0.3; 4][..]));
        command(&mut model, "tune.link", &mut fx);
        command(&mut model, "tune.max", &mut fx);
        assert_eq!(get(&model, "layers"), Value::Float(1.0), "all linked");
        assert_eq!(submitted(&mut fx).len(), 6);
    }

    #[test]
    fn costly_changes_wait_for_enter() {
        let mut model = model(80, 21);
        let mut fx = Vec::new();
        focus(&mut model, |_, name| name == "keep");
        command(&mut model, "tune.more", &mut fx);
        focus(&mut model, |_, name| name == "scaling");
        command(&mut model, "tune.more", &mut fx);
        assert!(submitted(&mut fx).is_empty());
        assert!(shot(&model).text().contains("press enter to start"));
        assert!((crate::tui::command::find("tune.run").unwrap().enabled)(&model).is_err());
        command(&mut model, "tune.apply", &mut fx);
        let job = submitted(&mut fx).remove(0).1;
        assert_eq!((job.recipe.params.get("keep"), lambda(&job)), (Some(&Value::Int(25)), 0.35));
    }

    #[test]
    fn methods_that_do_not_fit_say_why_and_pairs_take_two() {
        let mut model = model(80, 21);
        let mut fx = Vec::new();
        model.tune.menu = Some(Menu::Methods { cursor: 2 });
        let text = shot(&model).text();
        assert!(text.contains("at least 9 experts"), "{text}");
        command(&mut model, "tune.choose", &mut fx);
        assert!(model.notice.as_ref().is_some_and(|notice| notice.error && notice.text.contains("at least 9 experts")));
        assert!(fx.is_empty());
        model.tune.menu = Some(Menu::Methods { cursor: 1 });
        command(&mut model, "tune.choose", &mut fx);
        assert_eq!(submitted(&mut fx).remove(0).1.recipe.experts, ["mnist", "fashion"]);
        model.tune.menu = Some(Menu::Experts { cursor: 0 });
        command(&mut model, "tune.choose", &mut fx);
        assert!(submitted(&mut fx).is_empty(), "one expert is too few");
        assert!(shot(&model).text().contains("exactly 2 experts"));
    }

    #[test]
    fn advanced_parameters_are_out_of_the_way() {
        let mut model = model(120, 60);
        assert!(!shot(&model).text().contains("seed"));
        command(&mut model, "tune.advanced", &mut Vec::new());
        assert!(shot(&model).text().contains("seed"));
    }
}

#[test]
fn corruption_is_a_toggle_that_everything_says() {
    let mut model = started(120, 37);
    let mut fx = Vec::new();
    command(&mut model, "tune.corrupt", &mut fx);
    let (_, job) = submitted(&mut fx).pop().unwrap();
    assert_eq!(job.corruption.unwrap().to_string(), "motion_blur:3");
    assert!(model.tune.board.slots.iter().all(|slot| slot.score.is_none()), "clean scores are of other images");
    command(&mut model, "tune.severity", &mut fx);
    let (_, job) = submitted(&mut fx).pop().unwrap();
    assert_eq!(job.corruption.unwrap().to_string(), "motion_blur:4");
    let text = draw(120, 37, |area, cx| view(&model, area, cx)).text();
    assert!(text.contains("validation split, motion blur 4"), "{text}");
    command(&mut model, "tune.run", &mut fx);
    let (_, job) = submitted(&mut fx).pop().unwrap();
    assert_eq!(job.data().to_string(), "test, motion blur 4");
    for _ in 0..7 {
        command(&mut model, "tune.corrupt", &mut fx);
    }
    assert_eq!(submitted(&mut fx).pop().unwrap().1.corruption, None);
}
