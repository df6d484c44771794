//! What a person can do on the Inspect screen.

use super::Look;
use crate::tui::command::Command;
use crate::tui::effect::Effect;
use crate::tui::model::{Model, Screen};

type Run = fn(&mut Model, &mut Vec<Effect>);

const fn command(
    id: &'static str,
    keys: &'static [&'static str],
    label: &'static str,
    help: &'static str,
    run: Run,
) -> Command {
    Command::on(Screen::Inspect, id, keys, label, help, run)
}

fn on_angles(model: &Model) -> Result<(), &'static str> {
    if model.inspect.look == Look::Cosine {
        Ok(())
    } else {
        Err("only angles are shown block by block; v turns to them")
    }
}

pub const COMMANDS: &[Command] = &[
    command("inspect.up", &["up", "k"], "up", "Move to the row above", |m, _| step(m, -1, 0)),
    command("inspect.down", &["down", "j"], "down", "Move to the row below", |m, _| step(m, 1, 0)),
    command("inspect.left", &["left", "h"], "left", "Move to the column on the left", |m, _| step(m, 0, -1)),
    command("inspect.right", &["right", "l"], "right", "Move to the column on the right", |m, _| step(m, 0, 1)),
    command("inspect.page_up", &["pageup"], "page up", "Move up by ten rows", |m, _| step(m, -10, 0)),
    command("inspect.page_down", &["pagedown"], "page down", "Move down by ten rows", |m, _| step(m, 10, 0)),
    command("inspect.first", &["home", "g"], "first", "Move to the first row", |m, _| step(m, isize::MIN / 2, 0)),
    command("inspect.last", &["end", "G"], "last", "Move to the last row: all blocks together", |m, _| {
        step(m, isize::MAX / 2, 0);
    }),
    Command {
        aliases: &["heat map", "view"],
        priority: 80,
        ..command("inspect.next", &["v"], "next map", "Show the next map", |m, _| m.inspect.turn(1))
    },
    command("inspect.previous", &["V"], "map back", "Show the map before", |m, _| m.inspect.turn(-1)),
    Command {
        aliases: &["norm", "task vector"],
        ..command("inspect.distance", &[], "distance", "How far each expert went from the base, by block", |m, _| {
            m.inspect.show(Look::Distance);
        })
    },
    Command {
        aliases: &["similarity", "angle"],
        ..command("inspect.cosine", &[], "cosine", "Angles between the task vectors", |m, _| {
            m.inspect.show(Look::Cosine);
        })
    },
    Command {
        aliases: &["sign", "interference"],
        ..command("inspect.conflict", &[], "conflict", "Where experts pull in opposite directions, by block", |m, _| {
            m.inspect.show(Look::Conflict);
        })
    },
    command("inspect.changed", &[], "changed", "Share of weights that each expert changed, by block", |m, _| {
        m.inspect.show(Look::Changed);
    }),
    Command {
        aliases: &["singular values", "dimension"],
        ..command("inspect.rank", &[], "rank", "Effective rank of each expert's task vector, by block", |m, _| {
            m.inspect.show(Look::Rank);
        })
    },
    Command {
        aliases: &["problems", "errors", "warnings"],
        priority: 70,
        ..command("inspect.alarms", &["a"], "alarms", "What is wrong with the checkpoints", |m, _| {
            m.inspect.show(Look::Alarms);
        })
    },
    Command {
        priority: 60,
        enabled: on_angles,
        ..command("inspect.block_next", &["]"], "block", "Show the angles in the next block", |m, _| block(m, 1))
    },
    Command {
        enabled: on_angles,
        ..command("inspect.block_previous", &["["], "block back", "Show the angles in the block before", |m, _| {
            block(m, -1);
        })
    },
];

/// Moves by so many rows and columns.
pub fn step(model: &mut Model, down: isize, right: isize) {
    let state = &mut model.inspect;
    state.at = (state.at.0.saturating_add_signed(down), state.at.1.saturating_add_signed(right));
    state.clamp();
}

/// Goes from all blocks together to the first, and on.
fn block(model: &mut Model, by: isize) {
    let state = &mut model.inspect;
    let count = state.diff.names.len() as isize + 1;
    let at = state.block.map_or(0, |block| block as isize + 1);
    state.block = ((at + by).rem_euclid(count) as usize).checked_sub(1);
}
