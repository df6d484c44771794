//! Inspect on the small zoo of the fixture, and on one with everything wrong.

use super::*;
use crate::cancel::Cancel;
use crate::engine::inspect::{Alarm, Kind, Models, diff};
use crate::tui::catalog::fixture;
use crate::tui::testing::{Screenshot, draw, draw_with, mono};
use crate::tui::view_cx::Charset;
use std::sync::Arc;

fn steps() -> Vec<Step> {
    let mut steps = Vec::new();
    diff(&Models::of(&fixture::pool()).unwrap(), true, &Cancel::default(), &mut |step| steps.push(step)).unwrap();
    steps
}

/// After so many steps; all of them and the end when there are not so many.
fn model(width: u16, height: u16, taken: usize) -> Model {
    let mut model = Model::new(Arc::new(fixture::catalog()), (width, height));
    opened(&mut model, &mut Vec::new());
    let steps = steps();
    steps.iter().take(taken).for_each(|found| step(&mut model, found));
    if taken > steps.len() {
        done(&mut model, Ok(()));
    }
    model
}

fn shot(model: &Model) -> Screenshot {
    draw(model.size.0, model.size.1, |area, cx| view(model, area, cx))
}

fn press(model: &mut Model, id: &str) {
    let command = COMMANDS.iter().find(|command| command.id == id).unwrap();
    (command.enabled)(model).unwrap();
    (command.run)(model, &mut Vec::new());
}

fn alarm(kind: Kind, severity: Severity, text: &str) -> Step {
    Step::Alarm(Alarm { severity, kind, models: vec!["mnist".to_owned()], tensors: Vec::new(), text: text.to_owned() })
}

#[test]
fn it_is_measured_once_a_session() {
    let mut model = Model::new(Arc::new(fixture::catalog()), (80, 24));
    let mut fx = Vec::new();
    opened(&mut model, &mut fx);
    opened(&mut model, &mut fx);
    assert!(matches!(fx[..], [Effect::Inspect]));
    assert!(shot(&model).text().contains("measuring ..."));
}

#[test]
fn blocks_stream_in_and_what_is_missing_is_a_gap() {
    // Begin, progress, one block.
    let text = shot(&model(120, 40, 3)).text();
    assert!(text.contains("1 of 4 blocks measured ..."), "{text}");
    let line = |text: &str, name: &str| text.lines().find(|line| line.contains(name)).unwrap().to_owned();
    assert!(line(&text, "embeddings▸").contains("0.03"), "{text}");
    assert!(line(&text, "layer 1 ").matches(" -").count() == 8, "{text}");
    let text = shot(&model(120, 40, 999)).text();
    assert!(text.contains("8 experts and their base") && !text.contains("measured ..."), "{text}");
    assert!(line(&text, "layer 1 ").matches(" -").count() == 0, "{text}");
}

#[test]
fn the_chosen_cell_is_told_in_numbers() {
    let mut model = model(120, 40, 999);
    for id in ["inspect.down", "inspect.right", "inspect.right"] {
        press(&mut model, id);
    }
    let measures = &model.inspect.diff.blocks[1].experts[2];
    let text = shot(&model).text();
    assert!(text.contains("animals, layer 0"), "{text}");
    assert!(text.contains(&format!("cosine to the base {:.4}", measures.cosine_to_base)), "{text}");
    assert!(text.contains("effective rank "), "{text}");
    press(&mut model, "inspect.last");
    assert!(shot(&model).text().contains("animals, all blocks"));
    for _ in 0..20 {
        press(&mut model, "inspect.right");
    }
    assert!(shot(&model).text().contains("clipart, all blocks"));
}

#[test]
fn every_map_is_reached_and_explained() {
    let mut model = model(120, 40, 999);
    for (look, expected) in [
        (Look::Distance, "‖τ‖/‖θ₀‖"),
        (Look::Cosine, "all blocks; [ and ] choose"),
        (Look::Conflict, "0.5 is chance"),
        (Look::Changed, "not the base's any more"),
        (Look::Rank, "full rank"),
        // The fixture's base is made of ones.
        (Look::Alarms, "base: 6 tensors with one and the same value"),
    ] {
        assert_eq!(model.inspect.look, look);
        let text = shot(&model).text();
        assert!(text.contains(expected), "{expected}\n{text}");
        press(&mut model, "inspect.next");
    }
    assert_eq!(model.inspect.look, Look::Distance);
    pane(&mut model, -1);
    assert_eq!(model.inspect.look, Look::Alarms);
}

#[test]
fn angles_are_shown_block_by_block() {
    let mut model = model(120, 40, 999);
    assert!((COMMANDS.iter().find(|c| c.id == "inspect.block_next").unwrap().enabled)(&model).is_err());
    press(&mut model, "inspect.cosine");
    press(&mut model, "inspect.right");
    let whole = model.inspect.diff.whole.cosine[0][1];
    assert!(shot(&model).text().contains(&format!("cosine {whole:.4}")));
    press(&mut model, "inspect.block_next");
    press(&mut model, "inspect.block_next");
    let text = shot(&model).text();
    let layer = model.inspect.diff.blocks[1].cosine[0][1];
    assert!(text.contains("(layer 0; [ and ] choose)") && text.contains(&format!("cosine {layer:.4}")), "{text}");
    press(&mut model, "inspect.block_previous");
    press(&mut model, "inspect.block_previous");
    assert_eq!(model.inspect.block, None);
}

#[test]
fn alarms_are_counted_on_every_map_and_listed_with_what_to_do() {
    let mut model = model(80, 24, 2);
    assert!(shot(&model).text().contains("alarms none"));
    press(&mut model, "inspect.alarms");
    assert!(shot(&model).text().contains("None so far."));
    done(&mut model, Ok(()));
    assert!(shot(&model).text().contains("No alarms: one ancestor"));
    press(&mut model, "inspect.distance");
    step(&mut model, &alarm(Kind::Dead, Severity::Warning, "mnist: 1 tensor dead\x1b[2J"));
    assert!(shot(&model).text().contains("alarms 1 "));
    step(&mut model, &alarm(Kind::Ancestor, Severity::Error, "mnist: not fine-tuned from this base"));
    assert!(shot(&model).text().contains("alarms 2!"));
    press(&mut model, "inspect.alarms");
    press(&mut model, "inspect.down");
    let text = shot(&model).text();
    for expected in ["warning dead", "\u{fffd}[2J", "▸ ERROR", "What to do: merge only models"] {
        assert!(text.contains(expected), "{expected}\n{text}");
    }
}

#[test]
fn why_nothing_can_be_compared_is_said() {
    let mut model = model(80, 24, 0);
    done(&mut model, Err("the zoo has no base\x1b[2J".to_owned()));
    assert!(shot(&model).text().contains("cannot be compared: the zoo has no base\u{fffd}[2J"));
}

#[test]
fn the_mouse_chooses_cells_and_maps() {
    use crossterm::event::{MouseButton, MouseEventKind};
    use ratatui::layout::Position;
    let mut model = model(120, 40, 999);
    let shot = shot(&model);
    let (_, y) = shot.find("layer 1 ").unwrap();
    let (x, _) = shot.find("anima").unwrap();
    let (area, target) = shot.hits.at(x, y).unwrap();
    assert_eq!(target, Target::Cell { list: maps::MAP, row: 2, column: 2 });
    let kind = MouseEventKind::Down(MouseButton::Left);
    mouse(&mut model, Hit { target, area, at: Position { x, y }, kind });
    assert_eq!(model.inspect.at, (2, 2));
    let (x, y) = shot.find(" rank ").unwrap();
    assert_eq!(shot.hits.at(x + 1, y).unwrap().1, Target::Command("inspect.rank"));
}

#[test]
fn every_size_charset_and_map_can_be_drawn() {
    for (width, height) in [(0, 0), (1, 1), (9, 3), (20, 5), (50, 13), (80, 22), (120, 38), (300, 100)] {
        for taken in [0, 1, 3, 999] {
            let mut model = model(width, height, taken);
            for look in Look::ALL {
                model.inspect.show(look);
                for (charset, theme) in [(Charset::Ascii, mono()), (Charset::Box, crate::tui::testing::theme())] {
                    let shot = draw_with(width, height, charset, &theme, |area, cx| view(&model, area, cx));
                    let text = shot.text();
                    assert!(charset != Charset::Ascii || text.is_ascii(), "{width}x{height} {look:?}\n{text}");
                }
            }
        }
    }
}

#[test]
fn how_it_looks() {
    for (name, width, height) in [("120x38", 120, 38), ("80x22", 80, 22), ("50x13", 50, 13)] {
        insta::assert_snapshot!(name, shot(&model(width, height, 999)).text());
    }
    let mut plain = model(50, 13, 999);
    plain.inspect.show(Look::Conflict);
    let shot = draw_with(50, 13, Charset::Ascii, &mono(), |area, cx| view(&plain, area, cx));
    insta::assert_snapshot!("50x13_ascii", shot.text());
}
