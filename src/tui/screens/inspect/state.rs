//! What the Inspect screen remembers.

use crate::engine::inspect::Diff;
use crate::tui::command::CommandId;
use crate::tui::view_cx::Charset;

/// What is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Look {
    /// ‖τ‖/‖θ₀‖, block × expert.
    #[default]
    Distance,
    /// Angles between task vectors, expert × expert.
    Cosine,
    /// Where experts pull in opposite directions, by block.
    Conflict,
    /// Share of changed weights, block × expert.
    Changed,
    /// Effective rank, block × expert.
    Rank,
    Alarms,
}

impl Look {
    pub const ALL: [Self; 6] = [Self::Distance, Self::Cosine, Self::Conflict, Self::Changed, Self::Rank, Self::Alarms];

    /// One word.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Distance => "distance",
            Self::Cosine => "cosine",
            Self::Conflict => "conflict",
            Self::Changed => "changed",
            Self::Rank => "rank",
            Self::Alarms => "alarms",
        }
    }

    /// The command that chooses it.
    #[must_use]
    pub fn command(self) -> CommandId {
        match self {
            Self::Distance => "inspect.distance",
            Self::Cosine => "inspect.cosine",
            Self::Conflict => "inspect.conflict",
            Self::Changed => "inspect.changed",
            Self::Rank => "inspect.rank",
            Self::Alarms => "inspect.alarms",
        }
    }

    /// The legend in words.
    #[must_use]
    pub fn about(self, charset: Charset) -> &'static str {
        let ascii = charset == Charset::Ascii;
        match self {
            Self::Distance if ascii => {
                "Length of the task vectors: how far each expert went, as a share of the base's weights"
            }
            Self::Distance => "‖τ‖/‖θ₀‖: how far each expert went, as a share of the base's weights",
            Self::Cosine => "Angles between task vectors: 1 same direction, 0 independent, below 0 against each other",
            Self::Conflict => {
                "Weights pulled both ways: by any experts, by pairs of them (0.5 is chance), and what is lost when task \
                 vectors are added"
            }
            Self::Changed => "Share of the weights that are not the base's any more",
            Self::Rank => "Effective rank of the task vectors, as a share of the full rank of the block's matrices",
            Self::Alarms => "What should make you look before you merge",
        }
    }
}

/// What the screen remembers.
#[derive(Debug, Default)]
pub struct State {
    /// The measurements have been asked for.
    pub asked: bool,
    /// As much as is known.
    pub diff: Diff,
    /// It is all there, or why it cannot be.
    pub done: Option<Result<(), String>>,
    pub look: Look,
    /// Row and column of the cell that the details are about.
    pub at: (usize, usize),
    /// The block whose angles are shown; all together when missing.
    pub block: Option<usize>,
}

impl State {
    /// Goes to the next map, or back.
    pub fn turn(&mut self, step: isize) {
        let at = Look::ALL.iter().position(|look| *look == self.look).unwrap_or(0) as isize;
        self.show(Look::ALL[(at + step).rem_euclid(Look::ALL.len() as isize) as usize]);
    }

    /// Chooses a map; the cell stays where it is if that map has one there.
    pub fn show(&mut self, look: Look) {
        self.look = look;
        self.clamp();
    }

    /// Rows and columns of the chosen map.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        // One row for all blocks together.
        let (blocks, experts) = (self.diff.names.len() + 1, self.diff.experts.len());
        match self.look {
            Look::Distance | Look::Changed | Look::Rank => (blocks, experts),
            Look::Cosine => (experts, experts),
            Look::Conflict => (blocks, 3),
            Look::Alarms => (self.diff.alarms.len(), 1),
        }
    }

    /// Keeps the cell within the map.
    pub fn clamp(&mut self) {
        let (rows, columns) = self.size();
        self.at = (self.at.0.min(rows.saturating_sub(1)), self.at.1.min(columns.saturating_sub(1)));
    }
}
