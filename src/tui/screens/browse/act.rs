//! What a person can do on the Browse screen.

use super::state::{Part, SIZES, ask};
use super::{Pane, Subject, checkpoint, samples};
use crate::tasks::Split;
use crate::tui::command::Command;
use crate::tui::effect::Effect;
use crate::tui::filter;
use crate::tui::model::{Model, Screen};
use crate::tui::overlay::{Entry, Overlay};
use crate::tui::screens::tune;

const HERE: Screen = Screen::Browse;

const fn task(model: &Model) -> Result<(), &'static str> {
    match model.browse.subject {
        Subject::Task => Ok(()),
        Subject::Checkpoint => Err("this is about tasks; Tab goes to them"),
    }
}

const fn expert(model: &Model) -> Result<(), &'static str> {
    match model.browse.subject {
        Subject::Task => Err("this is about checkpoints; Tab goes to them"),
        Subject::Checkpoint => Ok(()),
    }
}

const fn in_tree(model: &Model) -> Result<(), &'static str> {
    match (model.browse.subject, model.browse.focus) {
        (Subject::Checkpoint, Pane::Detail) => Ok(()),
        _ => Err("this opens and closes layers; Tab goes to a checkpoint's details"),
    }
}

pub const COMMANDS: &[Command] = &[
    Command::on(
        HERE,
        "browse.up",
        &["up", "k"],
        "Up",
        "Move up in the list, in the classes or in the layers",
        |m, fx| {
            step(m, -1, fx);
        },
    ),
    Command::on(
        HERE,
        "browse.down",
        &["down", "j"],
        "Down",
        "Move down in the list, in the classes or in the layers",
        |m, fx| {
            step(m, 1, fx);
        },
    ),
    Command::on(HERE, "browse.page_up", &["pageup"], "Page up", "Move up by ten", |m, fx| step(m, -10, fx)),
    Command::on(HERE, "browse.page_down", &["pagedown"], "Page down", "Move down by ten", |m, fx| step(m, 10, fx)),
    Command::on(HERE, "browse.first", &["home", "g"], "First", "Move to the first entry", |m, fx| {
        step(m, isize::MIN / 2, fx);
    }),
    Command::on(HERE, "browse.last", &["end", "G"], "Last", "Move to the last entry", |m, fx| {
        step(m, isize::MAX / 2, fx);
    }),
    Command {
        aliases: &["next images", "samples"],
        priority: 60,
        enabled: task,
        ..Command::on(
            HERE,
            "browse.next_samples",
            &["right", "l"],
            "More pictures",
            "Show the next pictures",
            |m, _| turn(m, 1),
        )
    },
    Command {
        enabled: task,
        ..Command::on(HERE, "browse.previous_samples", &["left", "h"], "Back", "Show the previous pictures", |m, _| {
            turn(m, -1);
        })
    },
    Command {
        aliases: &["class", "label"],
        priority: 50,
        enabled: task,
        ..Command::on(HERE, "browse.next_class", &["]"], "Class", "Show only the next class's pictures", |m, _| {
            class(m, 1);
        })
    },
    Command {
        enabled: task,
        ..Command::on(
            HERE,
            "browse.previous_class",
            &["["],
            "Class back",
            "Show only the previous class's pictures",
            |m, _| {
                class(m, -1);
            },
        )
    },
    Command {
        aliases: &["validation", "test"],
        priority: 45,
        enabled: task,
        ..Command::on(
            HERE,
            "browse.split",
            &["v"],
            "Split",
            "Switch between test and validation pictures and scores",
            |m, fx| {
                let browse = &mut m.browse;
                browse.split = if browse.split == Split::Test { Split::Validation } else { Split::Test };
                browse.first = 0;
                ask(m, fx);
            },
        )
    },
    Command {
        enabled: task,
        ..Command::on(HERE, "browse.larger", &["+", "="], "Larger", "Draw pictures larger", |m, _| {
            m.browse.size = (m.browse.size + 1).min(SIZES.len() - 1);
        })
    },
    Command {
        enabled: task,
        ..Command::on(HERE, "browse.smaller", &["-"], "Smaller", "Draw pictures smaller", |m, _| {
            m.browse.size = m.browse.size.saturating_sub(1);
        })
    },
    Command {
        aliases: &["experts", "pool", "in", "out"],
        priority: 70,
        enabled: |m| {
            expert(m).and_then(|()| match m.catalog.checkpoints.get(m.browse.checkpoint) {
                Some(facts) if facts.is_base => Err("the base is always part of the recipe"),
                Some(_) => Ok(()),
                None => Err("no checkpoint is chosen"),
            })
        },
        ..Command::on(
            HERE,
            "browse.toggle",
            &["space"],
            "In/out",
            "Put the expert into the recipe or take it out",
            toggle,
        )
    },
    Command {
        aliases: &["layers", "tensors", "cosine", "norms", "similarity"],
        priority: 55,
        enabled: expert,
        ..Command::on(
            HERE,
            "browse.view",
            &["v"],
            "Layers",
            "Switch between layers and the geometry of the task vectors",
            |m, _| {
                m.browse.part = if m.browse.part == Part::Layers { Part::Geometry } else { Part::Layers };
            },
        )
    },
    Command {
        priority: 52,
        enabled: in_tree,
        ..Command::on(HERE, "browse.open", &["right", "l"], "Open", "Open the branch of layers", |m, _| branch(m, true))
    },
    Command {
        priority: 51,
        enabled: in_tree,
        ..Command::on(
            HERE,
            "browse.close",
            &["left", "h"],
            "Close",
            "Close the branch of layers, or go to the one above",
            |m, _| {
                branch(m, false);
            },
        )
    },
    Command {
        aliases: &["open"],
        ..Command::on(
            HERE,
            "browse.enter",
            &["enter"],
            "Details",
            "Go to the details; in them, open or close a branch",
            |m, _| {
                if m.browse.focus == Pane::Detail {
                    if let Some(line) = current_line(m) {
                        checkpoint::toggle(m, &line);
                    }
                } else {
                    m.browse.set_focus(Pane::Detail);
                }
            },
        )
    },
    Command {
        aliases: &["search", "find"],
        priority: 40,
        ..Command::on(HERE, "browse.filter", &["/"], "Filter", "Show only entries that match, letter by letter", filter)
    },
];

/// Moves by so many entries in whatever has the focus.
pub fn step(model: &mut Model, by: isize, fx: &mut Vec<Effect>) {
    let browse = &mut model.browse;
    match (browse.focus, browse.subject) {
        (Pane::Tasks, _) => {
            let shown = browse.shown_tasks(&model.catalog);
            if let Some(task) = filter::step(&shown, Some(browse.task), by) {
                browse.choose_task(task);
            }
        }
        (Pane::Checkpoints, _) => {
            let shown = browse.shown_checkpoints(&model.catalog);
            if let Some(checkpoint) = filter::step(&shown, Some(browse.checkpoint), by) {
                browse.checkpoint = checkpoint;
            }
        }
        (Pane::Detail, Subject::Task) => class(model, by.clamp(-1, 1)),
        (Pane::Detail, Subject::Checkpoint) => {
            model.browse.part = Part::Layers;
            let lines = checkpoint::lines(model);
            let at = current_line(model).and_then(|line| lines.iter().position(|other| other.path == line.path));
            let at = at.unwrap_or(0).saturating_add_signed(by).min(lines.len().saturating_sub(1));
            model.browse.line = lines.into_iter().nth(at).map(|line| line.path);
        }
    }
    ask(model, fx);
}

/// The tree's selected line; the first when none was chosen yet.
fn current_line(model: &Model) -> Option<crate::tui::widgets::tree::Line> {
    if model.browse.subject != Subject::Checkpoint {
        return None;
    }
    let mut lines = checkpoint::lines(model);
    let at = lines.iter().position(|line| Some(&line.path) == model.browse.line.as_ref()).unwrap_or(0);
    (at < lines.len()).then(|| lines.swap_remove(at))
}

/// Opens the selected branch, or closes it; a closed one or a tensor goes to the branch above.
fn branch(model: &mut Model, open: bool) {
    let Some(line) = current_line(model) else { return };
    model.browse.part = Part::Layers;
    if line.open == Some(!open) {
        checkpoint::toggle(model, &line);
    } else if !open {
        let lines = checkpoint::lines(model);
        let above = |other: &&crate::tui::widgets::tree::Line| {
            other.open == Some(true) && line.path.strip_prefix(&other.path).is_some_and(|rest| rest.starts_with('.'))
        };
        if let Some(parent) = lines.iter().rev().find(above) {
            model.browse.line = Some(parent.path.clone());
            return;
        }
    }
    model.browse.line = Some(line.path);
}

/// Turns the page of pictures.
fn turn(model: &mut Model, by: isize) {
    let page = samples::page(model) as isize;
    let browse = &mut model.browse;
    let last = browse.samples.of_class(browse.class).len().saturating_sub(1);
    let next = browse.first.saturating_add_signed(by * page);
    if next <= last {
        browse.first = next;
    }
}

/// Goes to the next or previous class; before the first are all of them together.
fn class(model: &mut Model, by: isize) {
    let browse = &mut model.browse;
    let Some(task) = model.catalog.tasks.get(browse.task) else { return };
    let at = browse.class.map_or(0, |class| class + 1).saturating_add_signed(by).min(task.classes.len());
    browse.class = at.checked_sub(1);
    browse.first = 0;
}

/// Puts the chosen expert into the recipe's pool or takes it out; the order stays the pool's.
fn toggle(model: &mut Model, fx: &mut Vec<Effect>) {
    let Some(name) = model.catalog.checkpoints.get(model.browse.checkpoint).map(|facts| facts.name.clone()) else {
        return;
    };
    let chosen = tune::experts(model);
    let is_in = chosen.contains(&name);
    let keep = |expert: &&String| if **expert == name { !is_in } else { chosen.contains(expert) };
    let experts: Vec<String> = model.catalog.experts.iter().filter(keep).cloned().collect();
    let n = experts.len();
    if n == 0 {
        model.say("A recipe needs at least one expert", true);
        return;
    }
    tune::set_experts(model, experts, fx);
    model.say(format!("{name} is {} the recipe, {n} experts in all", if is_in { "out of" } else { "in" }), false);
}

/// Opens the field that filters the focused list while one types.
fn filter(model: &mut Model, _: &mut Vec<Effect>) {
    let browse = &mut model.browse;
    let (title, text, done): (_, _, crate::tui::overlay::entry::Done) = match browse.subject {
        Subject::Task => ("Filter tasks", browse.task_filter.clone(), |m, text, fx| {
            text.clone_into(&mut m.browse.task_filter);
            m.browse.set_focus(Pane::Tasks);
            let shown = m.browse.shown_tasks(&m.catalog);
            if let Some(task) = filter::step(&shown, Some(m.browse.task), 0) {
                m.browse.choose_task(task);
            }
            ask(m, fx);
            Ok(())
        }),
        Subject::Checkpoint => ("Filter checkpoints", browse.checkpoint_filter.clone(), |m, text, fx| {
            text.clone_into(&mut m.browse.checkpoint_filter);
            m.browse.set_focus(Pane::Checkpoints);
            let shown = m.browse.shown_checkpoints(&m.catalog);
            if let Some(checkpoint) = filter::step(&shown, Some(m.browse.checkpoint), 0) {
                m.browse.checkpoint = checkpoint;
            }
            ask(m, fx);
            Ok(())
        }),
    };
    let hint = "letters that occur in this order; empty shows all";
    model.overlay = Some(Overlay::Entry(Entry::new(title, hint, text, done).live()));
}
