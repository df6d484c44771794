//! How Tune looks: snapshots at the three sizes, all sizes without a panic, and what a live frame costs.

use super::*;
use ratatui::backend::{Backend, CrosstermBackend};
use ratatui::buffer::Buffer;

/// While λ = 0.4 is compared with λ = 0.3.
fn comparing(width: u16, height: u16) -> Model {
    let mut model = started(width, height);
    let mut fx = Vec::new();
    command(&mut model, "tune.more", &mut fx);
    command(&mut model, "tune.more", &mut fx);
    let (run, job) = submitted(&mut fx).pop().unwrap();
    play(&mut model, run, &job, 0.6, &mut fx);
    model
}

#[test]
fn at_80_columns() {
    insta::assert_snapshot!("80x21", shot(&comparing(80, 21)).text());
}

#[test]
fn at_120_columns() {
    insta::assert_snapshot!("120x37", shot(&comparing(120, 37)).text());
}

#[test]
fn at_50_columns() {
    insta::assert_snapshot!("50x12", shot(&comparing(50, 12)).text());
}

#[test]
fn in_plain_ascii() {
    let model = comparing(80, 21);
    let screen = draw_with(80, 21, Charset::Ascii, &mono(), |area, cx| view(&model, area, cx));
    let text = screen.text();
    let odd: Vec<char> = text.chars().filter(|c| !c.is_ascii() && !"λθ₀Σᵢτ₁±·−θ".contains(*c)).collect();
    insta::assert_snapshot!("ascii", text);
    assert!(odd.is_empty(), "{odd:?}");
}

#[test]
fn tables_of_blocks() {
    let mut model = kinds::model(120, 37);
    model.tune.focus = model.tune.rows().len() - 3;
    insta::assert_snapshot!("blocks", shot(&model).text());
}

#[test]
fn a_sweep() {
    let mut model = started(120, 37);
    let mut fx = Vec::new();
    command(&mut model, "tune.sweep", &mut fx);
    finish_all(&mut model, &mut fx);
    insta::assert_snapshot!("sweep", shot(&model).text());
    model.size = (80, 21);
    insta::assert_snapshot!("sweep80", shot(&model).text());
}

#[test]
fn no_size_panics() {
    let mut model = comparing(80, 21);
    let mut fx = Vec::new();
    command(&mut model, "tune.sweep", &mut fx);
    finish_all(&mut model, &mut fx);
    let many = kinds::model(80, 21);
    for width in (0..=60).chain([71, 72, 73, 80, 119, 120, 121, 200, 300]) {
        for height in (0..=24).chain([33, 34, 35, 40, 60, 100]) {
            for charset in [Charset::Ascii, Charset::Box, Charset::Braille] {
                let draw =
                    |model: &Model| draw_with(width, height, charset, &theme(), |area, cx| view(model, area, cx));
                for (menu, pane, shows) in [
                    (None, Pane::Results, Shows::Curve),
                    (None, Pane::Results, Shows::Learned),
                    (None, Pane::Results, Shows::Bars),
                    (None, Pane::Form, Shows::Bars),
                    (Some(Menu::Methods { cursor: 1 }), Pane::Form, Shows::Bars),
                    (Some(Menu::Experts { cursor: 7 }), Pane::Form, Shows::Bars),
                ] {
                    (model.tune.menu, model.tune.pane, model.tune.shows) = (menu, pane, shows);
                    draw(&model);
                }
                draw(&many);
            }
        }
    }
}

/// Bytes that a terminal is sent to get from one frame to the next.
fn bytes(before: &Buffer, after: &Buffer) -> usize {
    let mut out = Vec::new();
    CrosstermBackend::new(&mut out).draw(before.diff(after).into_iter()).unwrap();
    out.len()
}

#[test]
fn a_live_frame_is_cheap_and_an_idle_one_costs_nothing() {
    let mut model = started(120, 37);
    let mut fx = Vec::new();
    command(&mut model, "tune.more", &mut fx);
    let (run, job) = submitted(&mut fx).pop().unwrap();
    play(&mut model, run, &job, 0.1, &mut fx);
    let totals: Vec<(String, u64)> = job.tasks.iter().map(|task| (task.clone(), 500)).collect();
    let mut before = shot(&model).buffer;
    let mut costs = Vec::new();
    for step in 2..=9 {
        model.now += Duration::from_millis(33);
        for event in script::estimates(&model, run, &job, &totals, step) {
            hear(&mut model, &event, &mut fx);
        }
        let after = shot(&model).buffer;
        costs.push(bytes(&before, &after));
        before = after;
    }
    let mean = costs.iter().sum::<usize>() / costs.len();
    assert!(mean <= 600, "{mean} bytes a frame in which all eight tasks change: {costs:?}");
    assert_eq!(before.diff(&shot(&model).buffer).len(), 0);
}

/// For the figures of the README: `cargo test --release … -- --ignored draw_time --nocapture`.
#[test]
#[ignore = "a measurement"]
fn draw_time() {
    let model = comparing(120, 37);
    let start = std::time::Instant::now();
    for _ in 0..1000 {
        shot(&model);
    }
    eprintln!("one frame of Tune at 120×37: {:?}", start.elapsed() / 1000);
    assert!(start.elapsed() / 1000 < Duration::from_millis(2));
}
