//! A parameter whose value may depend on the layer and on the tensor's name, as mergekit has it.

use super::error::Fault;
use super::node::{Kind, Node, parse_flag, parse_number};
use serde::{Deserialize, Serialize};

/// One value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Scalar {
    Flag(bool),
    Number(f64),
    Text(String),
}

/// A parameter as it is given.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Setting {
    One(Scalar),
    /// Values at equal distances from the first layer to the last; numbers are interpolated.
    Gradient(Vec<Scalar>),
    /// The first whose filter fits the tensor's name.
    Conditions(Vec<Condition>),
}

/// A value for some tensors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Condition {
    /// A part of the names of the tensors that it is for; all when missing or `*`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// One value or a gradient.
    pub value: Box<Setting>,
}

impl From<f64> for Setting {
    fn from(number: f64) -> Self {
        Self::One(Scalar::Number(number))
    }
}

impl From<bool> for Setting {
    fn from(flag: bool) -> Self {
        Self::One(Scalar::Flag(flag))
    }
}

impl From<&str> for Setting {
    fn from(text: &str) -> Self {
        Self::One(Scalar::Text(text.to_owned()))
    }
}

impl Setting {
    /// Its value for a tensor, `t` of the way from the first layer to the last; nothing where no filter fits.
    #[must_use]
    pub fn at(&self, tensor: &str, t: f64) -> Option<Scalar> {
        match self {
            Self::One(value) => Some(value.clone()),
            Self::Gradient(values) => along(values, t),
            Self::Conditions(conditions) => {
                conditions.iter().find(|condition| condition.fits(tensor)).and_then(|found| found.value.at(tensor, t))
            }
        }
    }

    /// Whether there is a value for every tensor.
    #[must_use]
    pub fn is_for_all(&self) -> bool {
        match self {
            Self::One(_) => true,
            Self::Gradient(values) => !values.is_empty(),
            Self::Conditions(conditions) => conditions.iter().any(|condition| condition.filter_is_all()),
        }
    }

    /// The one value that it has everywhere.
    #[must_use]
    pub fn uniform(&self) -> Option<&Scalar> {
        match self {
            Self::One(value) => Some(value),
            Self::Gradient(values) => values.first().filter(|first| values.iter().all(|value| value == *first)),
            Self::Conditions(conditions) => match &conditions[..] {
                [first, ..] if first.filter_is_all() => first.value.uniform(),
                _ => None,
            },
        }
    }

    /// All values that stand in it.
    #[must_use]
    pub fn scalars(&self) -> Vec<&Scalar> {
        match self {
            Self::One(value) => vec![value],
            Self::Gradient(values) => values.iter().collect(),
            Self::Conditions(conditions) => conditions.iter().flat_map(|condition| condition.value.scalars()).collect(),
        }
    }

    /// Reads a value, a list of values, or conditions.
    pub(super) fn read(node: &Node, name: &str) -> Result<Self, Fault> {
        match &node.kind {
            Kind::Scalar { .. } => Scalar::read(node, name).map(Self::One),
            Kind::Map(_) => Ok(Self::Conditions(vec![Condition::read(node, name)?])),
            Kind::List(items) if items.is_empty() => Err(node.wrong(name, "a value")),
            Kind::List(items) if items.iter().all(|item| matches!(item.kind, Kind::Scalar { .. })) => {
                items.iter().map(|item| Scalar::read(item, name)).collect::<Result<_, _>>().map(Self::Gradient)
            }
            Kind::List(items) => {
                items.iter().map(|item| Condition::read(item, name)).collect::<Result<_, _>>().map(Self::Conditions)
            }
        }
    }
}

impl Condition {
    fn filter_is_all(&self) -> bool {
        self.filter.as_deref().is_none_or(|filter| filter == "*")
    }

    fn fits(&self, tensor: &str) -> bool {
        self.filter.as_deref().is_none_or(|filter| filter == "*" || tensor.contains(filter))
    }

    fn read(node: &Node, name: &str) -> Result<Self, Fault> {
        let expected = "values, or maps with `value` and `filter`, but not both";
        let map = node.map(name).map_err(|_| node.wrong(name, expected))?;
        map.only(&["value", "filter"])?;
        let value = map.require("value")?;
        if matches!(&value.kind, Kind::Map(_))
            || matches!(&value.kind, Kind::List(items) if items.iter().any(|item| matches!(item.kind, Kind::Map(_))))
        {
            return Err(value.wrong("value", "a value or a list of values"));
        }
        Ok(Self { filter: map.text("filter")?, value: Box::new(Setting::read(value, name)?) })
    }
}

impl Scalar {
    pub(super) fn read(node: &Node, name: &str) -> Result<Self, Fault> {
        let Kind::Scalar { text, .. } = &node.kind else { return Err(node.wrong(name, "a value")) };
        if node.is_null() {
            return Err(node.wrong(name, "a value"));
        }
        if parse_number(text).is_some() {
            return node.number(name).map(Self::Number);
        }
        Ok(parse_flag(text).map_or_else(|| Self::Text(text.clone()), Self::Flag))
    }
}

/// The value `t` of the way along the list.
fn along(values: &[Scalar], t: f64) -> Option<Scalar> {
    let last = values.len().checked_sub(1)?;
    let scaled = t.clamp(0.0, 1.0) * last as f64;
    let first = (scaled as usize).min(last);
    let numbers: Option<Vec<f64>> =
        values.iter().map(|value| if let Scalar::Number(number) = value { Some(*number) } else { None }).collect();
    let Some(numbers) = numbers else { return values.get(first).cloned() };
    let (below, above, share) = (numbers[first], numbers[(first + 1).min(last)], scaled - first as f64);
    Some(Scalar::Number((1.0 - share) * below + share * above))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gradient(values: &[f64]) -> Setting {
        Setting::Gradient(values.iter().map(|&value| Scalar::Number(value)).collect())
    }

    #[test]
    fn gradients_are_interpolated_and_words_are_chosen() {
        let setting = gradient(&[0.0, 1.0, 0.5]);
        for (t, expected) in [(0.0, 0.0), (0.25, 0.5), (0.5, 1.0), (0.75, 0.75), (1.0, 0.5)] {
            assert_eq!(setting.at("x", t), Some(Scalar::Number(expected)), "{t}");
        }
        let words = Setting::Gradient(vec![Scalar::Text("a".into()), Scalar::Text("b".into())]);
        assert_eq!(words.at("x", 0.9), Some(Scalar::Text("a".into())));
        assert_eq!(words.at("x", 1.0), Some(Scalar::Text("b".into())));
    }

    #[test]
    fn the_first_filter_that_fits_counts() {
        let condition = |filter: Option<&str>, value: Setting| Condition {
            filter: filter.map(str::to_owned),
            value: Box::new(value),
        };
        let setting = Setting::Conditions(vec![
            condition(Some("mlp"), gradient(&[0.0, 1.0])),
            condition(Some("attn"), 0.3.into()),
        ]);
        assert_eq!(setting.at("layers.1.mlp.up", 0.5), Some(Scalar::Number(0.5)));
        assert_eq!(setting.at("layers.1.self_attn.q", 0.5), Some(Scalar::Number(0.3)));
        assert_eq!(setting.at("norm", 0.5), None);
        assert!(!setting.is_for_all());
        assert!(Setting::Conditions(vec![condition(Some("*"), 1.0.into())]).is_for_all());
    }

    #[test]
    fn what_is_written_reads_back() {
        for setting in [
            Setting::from(0.5),
            Setting::from(true),
            Setting::from("mean"),
            gradient(&[1.0, 2.0]),
            Setting::Conditions(vec![Condition { filter: Some("q".into()), value: Box::new(gradient(&[0.0, 1.0])) }]),
        ] {
            let text = serde_json::to_string(&setting).unwrap();
            assert_eq!(serde_json::from_str::<Setting>(&text).unwrap(), setting, "{text}");
        }
    }
}
