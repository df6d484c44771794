//! What the person has dialled in, and every way back.

use crate::engine::Recipe;
use crate::fusion::Method;
use crate::params::ParamSet;
use std::time::Duration;

/// Nudges of the same thing within this time are one edit: undo takes back the gesture, not its last millimetre.
const ONE_GESTURE: Duration = Duration::from_millis(500);
/// Edits that can be taken back.
const DEPTH: usize = 500;

/// A method with its parameters and the experts it combines.
#[derive(Debug, Clone)]
pub struct Setting {
    pub method: &'static Method,
    pub params: ParamSet,
    /// Names of the chosen experts, in pool order.
    pub experts: Vec<String>,
    /// A parameter was moved after a test result of the method was seen.
    pub tuned_on_test: bool,
}

impl PartialEq for Setting {
    fn eq(&self, other: &Self) -> bool {
        self.method.id == other.method.id
            && self.params == other.params
            && self.experts == other.experts
            && self.tuned_on_test == other.tuned_on_test
    }
}

impl Setting {
    #[must_use]
    pub fn recipe(&self) -> Recipe {
        Recipe { method: self.method.id.to_owned(), params: self.params.clone(), experts: self.experts.clone() }
    }

    /// Whether a task's expert is among those that are combined; it has the task's name.
    #[must_use]
    pub fn has_seen(&self, task: &str) -> bool {
        self.experts.iter().any(|expert| expert == task)
    }

    /// The method's defaults with as many of `experts` as it takes.
    #[must_use]
    pub fn defaults(method: &'static Method, experts: &[String]) -> Self {
        let most = method.needs.max_models.unwrap_or(usize::MAX);
        Self {
            method,
            params: ParamSet::defaults(method.specs),
            experts: experts.iter().take(most).cloned().collect(),
            tuned_on_test: false,
        }
    }
}

/// What an edit was about: edits of the same thing in quick succession become one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key {
    /// A parameter, and the row and column of the form that it was moved by.
    Param { name: &'static str, row: usize, column: usize },
    /// Everything that is its own edit whenever it happens.
    Single,
}

#[derive(Debug, Clone)]
struct Edit {
    before: Setting,
    after: Setting,
    key: Key,
    at: Duration,
}

/// Undo and redo.
#[derive(Debug, Default)]
pub struct Edits {
    done: Vec<Edit>,
    undone: Vec<Edit>,
}

impl Edits {
    /// Notes a change from `before` to `after`; what had been undone can no longer be redone.
    pub fn push(&mut self, before: Setting, after: Setting, key: Key, at: Duration) {
        self.undone.clear();
        if let Some(last) = self.done.last_mut() {
            let same = key != Key::Single && last.key == key && last.after == before;
            if same && at.saturating_sub(last.at) <= ONE_GESTURE {
                last.after = after;
                last.at = at;
                return;
            }
        }
        if self.done.len() == DEPTH {
            self.done.remove(0);
        }
        self.done.push(Edit { before, after, key, at });
    }

    /// Takes back the last edit: the setting to return to.
    pub fn undo(&mut self) -> Option<Setting> {
        let edit = self.done.pop()?;
        let before = edit.before.clone();
        self.undone.push(edit);
        Some(before)
    }

    /// Does the last undone edit again: the setting to go to.
    pub fn redo(&mut self) -> Option<Setting> {
        let mut edit = self.undone.pop()?;
        // A nudge right after a redo must not melt into it.
        edit.key = Key::Single;
        let after = edit.after.clone();
        self.done.push(edit);
        Some(after)
    }

    /// How many edits can be taken back and how many done again.
    #[must_use]
    pub fn depth(&self) -> (usize, usize) {
        (self.done.len(), self.undone.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fusion::METHODS;

    fn setting(lambda: &str) -> Setting {
        let method = METHODS.iter().find(|method| method.id == "task_arithmetic").unwrap();
        let mut setting = Setting::defaults(method, &["mnist".to_owned(), "emoji".to_owned()]);
        setting.params.set_text(method.specs, "scaling", lambda).unwrap();
        setting
    }

    const LAMBDA: Key = Key::Param { name: "scaling", row: 1, column: 0 };

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn one_gesture_is_one_edit() {
        let mut edits = Edits::default();
        edits.push(setting("0.3"), setting("0.35"), LAMBDA, at(0));
        edits.push(setting("0.35"), setting("0.4"), LAMBDA, at(400));
        edits.push(setting("0.4"), setting("0.45"), LAMBDA, at(800));
        assert_eq!(edits.depth(), (1, 0));
        edits.push(setting("0.45"), setting("0.5"), LAMBDA, at(1400));
        assert_eq!(edits.depth(), (2, 0));
        assert_eq!(edits.undo(), Some(setting("0.45")));
        assert_eq!(edits.undo(), Some(setting("0.3")));
        assert_eq!(edits.undo(), None);
        assert_eq!(edits.redo(), Some(setting("0.45")));
        assert_eq!(edits.redo(), Some(setting("0.5")));
        assert_eq!(edits.redo(), None);
    }

    #[test]
    fn other_things_and_redone_edits_do_not_melt_together() {
        let mut edits = Edits::default();
        edits.push(setting("0.3"), setting("0.35"), LAMBDA, at(0));
        edits.push(setting("0.35"), setting("0.3"), Key::Single, at(10));
        edits.push(setting("0.3"), setting("0.35"), Key::Single, at(20));
        assert_eq!(edits.depth(), (3, 0));
        edits.undo();
        edits.undo();
        edits.redo();
        edits.push(setting("0.3"), setting("0.25"), LAMBDA, at(30));
        assert_eq!(edits.depth(), (3, 0), "a new edit ends what could be redone");
    }

    #[test]
    fn the_stack_is_bounded() {
        let mut edits = Edits::default();
        for i in 0..2 * DEPTH {
            edits.push(setting("0.3"), setting("0.35"), Key::Single, at(i as u64));
        }
        assert_eq!(edits.depth(), (DEPTH, 0));
    }
}
