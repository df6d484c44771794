//! The declaration of one parameter: kind, range, bounds, default, unit, help.

use super::Bounds;

/// How a slider moves through its range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    Linear,
    Logarithmic,
}

/// Whether a change can be previewed at once or must be confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cost {
    /// Re-fused and evaluated on every nudge.
    Live,
    /// Starts only on Enter.
    Costly,
}

/// What a parameter holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    Float {
        min: f64,
        max: f64,
        step: f64,
        default: f64,
        scale: Scale,
    },
    Int {
        min: i64,
        max: i64,
        step: i64,
        default: i64,
    },
    Bool {
        default: bool,
    },
    Choice {
        options: &'static [&'static str],
        default: &'static str,
    },
    /// One number per expert of the pool.
    PerModel {
        min: f64,
        max: f64,
        step: f64,
        default: f64,
    },
    /// One number per expert and block: a table `[expert][group]`.
    PerGroup {
        min: f64,
        max: f64,
        step: f64,
        default: f64,
    },
    /// Seed of the method's random numbers.
    Seed {
        default: u64,
    },
    /// Words that the method reads itself, such as patterns of tensor names.
    Text {
        default: &'static str,
    },
}

/// One declared parameter. Built by [`float`], [`int`], … and the builder methods, all `const`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spec {
    /// Key in TOML, `--set` and JSON.
    pub name: &'static str,
    /// Short mark shown on sliders, such as `λ`.
    pub symbol: &'static str,
    /// Unit, such as `%`; empty for plain numbers.
    pub unit: &'static str,
    /// One line of help.
    pub help: &'static str,
    /// What it holds, and the range that its slider offers.
    pub kind: Kind,
    /// Which numbers are valid in a recipe; at least what the slider offers.
    pub bounds: Bounds,
    pub cost: Cost,
    /// Hidden until a person asks for all parameters.
    pub advanced: bool,
}

impl Spec {
    const fn new(kind: Kind) -> Self {
        let bounds = match kind {
            Kind::Float { min, max, .. } | Kind::PerModel { min, max, .. } | Kind::PerGroup { min, max, .. } => {
                Bounds { min, max, open: false }
            }
            Kind::Int { min, max, .. } => Bounds { min: min as f64, max: max as f64, open: false },
            Kind::Bool { .. } | Kind::Choice { .. } | Kind::Seed { .. } | Kind::Text { .. } => Bounds::FINITE,
        };
        Self { name: "", symbol: "", unit: "", help: "", kind, bounds, cost: Cost::Live, advanced: false }
    }

    /// Every finite number is valid: the range is the slider's alone.
    #[must_use]
    pub const fn unbounded(mut self) -> Self {
        self.bounds = Bounds::FINITE;
        self
    }

    /// Every number from `min` on is valid.
    #[must_use]
    pub const fn at_least(mut self, min: f64) -> Self {
        self.bounds = Bounds { min, ..Bounds::FINITE };
        self
    }

    /// Every number greater than `min` is valid.
    #[must_use]
    pub const fn above(mut self, min: f64) -> Self {
        self.bounds = Bounds { min, open: true, ..Bounds::FINITE };
        self
    }

    /// No number greater than `max` is valid; after [`above`](Self::above) or [`at_least`](Self::at_least).
    #[must_use]
    pub const fn up_to(mut self, max: f64) -> Self {
        self.bounds.max = max;
        self
    }

    #[must_use]
    pub const fn symbol(mut self, symbol: &'static str) -> Self {
        self.symbol = symbol;
        self
    }

    #[must_use]
    pub const fn unit(mut self, unit: &'static str) -> Self {
        self.unit = unit;
        self
    }

    #[must_use]
    pub const fn costly(mut self) -> Self {
        self.cost = Cost::Costly;
        self
    }

    #[must_use]
    pub const fn advanced(mut self) -> Self {
        self.advanced = true;
        self
    }

    #[must_use]
    pub const fn logarithmic(mut self) -> Self {
        if let Kind::Float { min, max, step, default, .. } = self.kind {
            self.kind = Kind::Float { min, max, step, default, scale: Scale::Logarithmic };
        }
        self
    }

    /// Used by [`params!`](crate::params!): the field's name and doc line.
    #[must_use]
    pub const fn named(mut self, name: &'static str, help: &'static str) -> Self {
        self.name = name;
        self.help = help.trim_ascii();
        self
    }

    /// What to show for the parameter: its symbol, or else its name.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        if self.symbol.is_empty() { self.name } else { self.symbol }
    }

    /// Smallest and largest number that the slider offers, for the kinds that are numbers; [`bounds`](Self::bounds) may
    /// reach further.
    #[must_use]
    pub fn range(&self) -> Option<(f64, f64)> {
        match self.kind {
            Kind::Float { min, max, .. } | Kind::PerModel { min, max, .. } | Kind::PerGroup { min, max, .. } => {
                Some((min, max))
            }
            Kind::Int { min, max, .. } => Some((min as f64, max as f64)),
            Kind::Bool { .. } | Kind::Choice { .. } | Kind::Seed { .. } | Kind::Text { .. } => None,
        }
    }

    /// Whether numbers are valid that the slider does not offer.
    #[must_use]
    pub fn is_wider_than_slider(&self) -> bool {
        self.range().is_some_and(|(min, max)| self.bounds.min < min || self.bounds.max > max)
    }

    /// Fine slider step, for the kinds that are numbers.
    #[must_use]
    pub fn step(&self) -> Option<f64> {
        match self.kind {
            Kind::Float { step, .. } | Kind::PerModel { step, .. } | Kind::PerGroup { step, .. } => Some(step),
            Kind::Int { step, .. } => Some(step as f64),
            Kind::Bool { .. } | Kind::Choice { .. } | Kind::Seed { .. } | Kind::Text { .. } => None,
        }
    }
}

/// A real number in `min..=max`, moved by `step`. The builder methods of [`Spec`] say whether numbers outside of the
/// slider's range are valid; they are not unless told so.
#[must_use]
pub const fn float(default: f64, min: f64, max: f64, step: f64) -> Spec {
    Spec::new(Kind::Float { min, max, step, default, scale: Scale::Linear })
}

/// A whole number in `min..=max`, moved by `step`.
#[must_use]
pub const fn int(default: i64, min: i64, max: i64, step: i64) -> Spec {
    Spec::new(Kind::Int { min, max, step, default })
}

/// Yes or no.
#[must_use]
pub const fn flag(default: bool) -> Spec {
    Spec::new(Kind::Bool { default })
}

/// One of a few named options.
#[must_use]
pub const fn choice(default: &'static str, options: &'static [&'static str]) -> Spec {
    Spec::new(Kind::Choice { options, default })
}

/// One real number per expert.
#[must_use]
pub const fn per_model(default: f64, min: f64, max: f64, step: f64) -> Spec {
    Spec::new(Kind::PerModel { min, max, step, default })
}

/// One real number per expert and block.
#[must_use]
pub const fn per_group(default: f64, min: f64, max: f64, step: f64) -> Spec {
    Spec::new(Kind::PerGroup { min, max, step, default })
}

/// A seed; results with the same seed are the same on every machine.
#[must_use]
pub const fn seed(default: u64) -> Spec {
    Spec::new(Kind::Seed { default })
}

/// Free text that the method reads itself.
#[must_use]
pub const fn text(default: &'static str) -> Spec {
    Spec::new(Kind::Text { default })
}

/// The declarations of two groups of parameters, one after the other; `N` is their number. For [`params!`](crate::params!).
#[must_use]
pub const fn join<const N: usize>(first: &[Spec], second: &[Spec]) -> [Spec; N] {
    let mut all = [flag(false); N];
    let mut at = 0;
    while at < N {
        all[at] = if at < first.len() { first[at] } else { second[at - first.len()] };
        at += 1;
    }
    all
}
