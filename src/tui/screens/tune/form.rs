//! The parameter form: its rows, what a row moves, and how values per expert and per block are kept.
//!
//! A parameter with one number an expert has a row that moves all of them and below it a row an expert; a parameter
//! with one number an expert and block has the same rows with one column a block.

use super::setting::Setting;
use crate::params::{Kind, Scale, Spec, Value};
use crate::tui::widgets::slider::Slider;

/// One row of the form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Row {
    Method,
    Experts,
    /// A parameter as a whole: an index into the method's specs.
    Param(usize),
    /// One expert's share of a parameter.
    Expert {
        spec: usize,
        expert: usize,
    },
}

/// Which numbers move together with the one under the cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Link {
    #[default]
    None,
    /// All experts and blocks.
    All,
    /// All blocks of this expert.
    Row,
    /// This block of all experts.
    Column,
}

impl Link {
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::None => "each on its own",
            Self::All => "all linked",
            Self::Row => "expert's blocks linked",
            Self::Column => "block linked over experts",
        }
    }
}

/// The rows for a setting; advanced parameters only when asked for or changed.
#[must_use]
pub fn rows(setting: &Setting, advanced: bool) -> Vec<Row> {
    let mut rows = vec![Row::Method, Row::Experts];
    for (at, spec) in setting.method.specs.iter().enumerate() {
        if spec.advanced && !advanced && !is_changed(setting, spec) {
            continue;
        }
        rows.push(Row::Param(at));
        if is_per_expert(spec) {
            rows.extend((0..setting.experts.len()).map(|expert| Row::Expert { spec: at, expert }));
        }
    }
    rows
}

#[must_use]
pub fn is_per_expert(spec: &Spec) -> bool {
    matches!(spec.kind, Kind::PerModel { .. } | Kind::PerGroup { .. })
}

#[must_use]
pub fn is_per_block(spec: &Spec) -> bool {
    matches!(spec.kind, Kind::PerGroup { .. })
}

/// Whether the parameter differs from its default.
#[must_use]
pub fn is_changed(setting: &Setting, spec: &Spec) -> bool {
    setting.params.get(spec.name).is_some_and(|value| *value != Value::default_of(spec))
}

/// The default as a number, for the mark on the slider.
#[must_use]
pub fn default_number(spec: &Spec) -> f64 {
    Value::default_of(spec).as_f64().unwrap_or_default()
}

/// The number of one expert and block.
#[must_use]
pub fn number(value: &Value, expert: usize, block: usize) -> Option<f64> {
    match value {
        Value::List(list) => list.get(expert).copied(),
        Value::Table(table) => table.get(expert)?.get(block).copied(),
        one => one.as_f64(),
    }
}

/// The mean of all numbers of a value, for the row that moves them together.
#[must_use]
pub fn mean(value: &Value) -> Option<f64> {
    let mean = |sum: f64, n: usize| (n > 0).then(|| sum / n as f64);
    match value {
        Value::List(list) => mean(list.iter().sum(), list.len()),
        Value::Table(table) => mean(table.iter().flatten().sum(), table.iter().map(Vec::len).sum()),
        one => one.as_f64(),
    }
}

/// The mean of the numbers of a part of a setting's parameter.
#[must_use]
pub fn mean_of_part(setting: &Setting, spec: &Spec, part: Part, blocks: usize) -> Option<f64> {
    let value = setting.params.get(spec.name)?;
    let experts = part.expert.map_or(0..setting.experts.len(), |at| at..at + 1);
    let all: Vec<f64> = experts
        .flat_map(|expert| part.block.map_or(0..blocks.max(1), |at| at..at + 1).map(move |block| (expert, block)))
        .filter_map(|(expert, block)| number(value, expert, block))
        .collect();
    (!all.is_empty()).then(|| all.iter().sum::<f64>() / all.len() as f64)
}

/// The part of a parameter that a row and the link stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// All experts when missing.
    pub expert: Option<usize>,
    /// All blocks when missing.
    pub block: Option<usize>,
}

impl Part {
    #[must_use]
    pub fn of(row: Row, spec: &Spec, block: usize, link: Link) -> Self {
        let Row::Expert { expert, .. } = row else { return Self { expert: None, block: None } };
        let (one, here) = (Some(expert), is_per_block(spec).then_some(block));
        match link {
            Link::None => Self { expert: one, block: here },
            Link::All => Self { expert: None, block: None },
            Link::Row => Self { expert: one, block: None },
            Link::Column => Self { expert: None, block: here },
        }
    }
}

/// `value` with `change` applied to the numbers of `part`, in its shortest form: one number when all are equal.
#[must_use]
pub fn change(
    value: &Value,
    spec: &Spec,
    part: Part,
    (experts, blocks): (usize, usize),
    change: impl Fn(f64) -> f64,
) -> Value {
    let blocks = if is_per_block(spec) { blocks.max(1) } else { 1 };
    let fallback = default_number(spec);
    let table = (0..experts).map(|expert| {
        let row = (0..blocks).map(|block| {
            let old = number(value, expert, block).unwrap_or(fallback);
            let moves = part.expert.is_none_or(|at| at == expert) && part.block.is_none_or(|at| at == block);
            if moves { change(old) } else { old }
        });
        row.collect::<Vec<f64>>()
    });
    shortest(table.collect())
}

/// A table in its shortest form: one number, or one number an expert, where that says the same.
fn shortest(table: Vec<Vec<f64>>) -> Value {
    let first = table.first().and_then(|row| row.first()).copied();
    let flat = table.iter().all(|row| row.windows(2).all(|pair| pair[0] == pair[1]));
    match first {
        Some(first) if table.iter().flatten().all(|&x| x == first) => Value::Float(first),
        Some(_) if flat => Value::List(table.iter().filter_map(|row| row.first().copied()).collect()),
        _ => Value::Table(table),
    }
}

/// `value` for another choice of experts: those that stay keep their numbers, new ones get the default.
#[must_use]
pub fn rechoose(value: &Value, spec: &Spec, before: &[String], after: &[String], blocks: usize) -> Value {
    if !is_per_expert(spec) || matches!(value, Value::Float(_) | Value::Int(_)) {
        return value.clone();
    }
    let blocks = if is_per_block(spec) { blocks.max(1) } else { 1 };
    let fallback = default_number(spec);
    let row = |name: &String| {
        let old = before.iter().position(|other| other == name);
        (0..blocks).map(|block| old.and_then(|at| number(value, at, block)).unwrap_or(fallback)).collect()
    };
    shortest(after.iter().map(row).collect())
}

/// Whether as many numbers were given as there are experts and blocks.
///
/// # Errors
/// What is missing or too many.
pub fn check_shape(spec: &Spec, value: &Value, (experts, blocks): (usize, usize)) -> Result<(), String> {
    let rows = match value {
        Value::List(list) => list.len(),
        Value::Table(table) => {
            if let Some(row) = table.iter().find(|row| row.len() != blocks) {
                return Err(format!("`{}` has {} numbers in a row, there are {blocks} blocks", spec.name, row.len()));
            }
            table.len()
        }
        _ => return Ok(()),
    };
    if rows == experts {
        Ok(())
    } else {
        Err(format!("`{}` has {rows} entries, there are {experts} experts", spec.name))
    }
}

/// The slider of a row, for parameters that are numbers; a parameter of many numbers has its mean.
#[must_use]
pub fn slider(setting: &Setting, row: Row, spec: &Spec, block: usize) -> Option<Slider> {
    let (min, max) = spec.range()?;
    let value = setting.params.get(spec.name)?;
    let value = match row {
        Row::Expert { expert, .. } => number(value, expert, block)?,
        _ => mean(value)?,
    };
    let logarithmic = matches!(spec.kind, Kind::Float { scale: Scale::Logarithmic, .. });
    Some(Slider { value, min, max, default: default_number(spec), logarithmic })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::{per_group, per_model};

    const WEIGHTS: Spec = per_model(1.0, 0.0, 2.0, 0.1).named("weights", "");
    const LAYERS: Spec = per_group(0.3, 0.0, 1.0, 0.05).named("layers", "");
    const ALL: Part = Part { expert: None, block: None };

    #[test]
    fn one_expert_moves_alone_and_equal_numbers_become_one() {
        let one = Value::Float(1.0);
        let part = Part::of(Row::Expert { spec: 0, expert: 1 }, &WEIGHTS, 0, Link::None);
        let moved = change(&one, &WEIGHTS, part, (3, 4), |x| WEIGHTS.nudge_number(x, -2));
        assert_eq!(moved, Value::List(vec![1.0, 0.8, 1.0]));
        assert_eq!(change(&moved, &WEIGHTS, part, (3, 4), |x| WEIGHTS.nudge_number(x, 2)), Value::Float(1.0));
        let all = change(&moved, &WEIGHTS, ALL, (3, 4), |x| WEIGHTS.nudge_number(x, 1));
        assert_eq!(all, Value::List(vec![1.1, 0.9, 1.1]));
        assert!((mean(&all).unwrap() - 3.1 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn links_choose_cell_row_column_or_all() {
        let value = Value::Float(0.5);
        let moved = |link| {
            let part = Part::of(Row::Expert { spec: 0, expert: 0 }, &LAYERS, 1, link);
            change(&value, &LAYERS, part, (2, 3), |_| 1.0)
        };
        assert_eq!(moved(Link::None), Value::Table(vec![vec![0.5, 1.0, 0.5], vec![0.5; 3]]));
        assert_eq!(moved(Link::Row), Value::List(vec![1.0, 0.5]));
        assert_eq!(moved(Link::Column), Value::Table(vec![vec![0.5, 1.0, 0.5]; 2]));
        assert_eq!(moved(Link::All), Value::Float(1.0));
    }

    #[test]
    fn choosing_other_experts_keeps_the_numbers_of_those_that_stay() {
        let names = |list: &[&str]| list.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        let value = Value::List(vec![0.1, 0.2, 0.3]);
        let (before, after) = (names(&["a", "b", "c"]), names(&["b", "c", "d"]));
        assert_eq!(rechoose(&value, &WEIGHTS, &before, &after, 4), Value::List(vec![0.2, 0.3, 1.0]));
        assert_eq!(rechoose(&Value::Float(0.7), &WEIGHTS, &before, &after, 4), Value::Float(0.7));
        let table = Value::Table(vec![vec![0.1, 0.2], vec![0.3, 0.4], vec![0.5, 0.6]]);
        let kept = rechoose(&table, &LAYERS, &before, &names(&["c"]), 2);
        assert_eq!(kept, Value::Table(vec![vec![0.5, 0.6]]));
    }
}
