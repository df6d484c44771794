//! The values of all of a method's parameters, checked against their specs.

use super::{FromValue, Kind, ParamError, Scale, Spec, Value, closest, value::tidy};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Parameter values by name. Equality, order and serialised form do not depend on how they were entered.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ParamSet(BTreeMap<String, Value>);

impl ParamSet {
    /// Every parameter at its default.
    #[must_use]
    pub fn defaults(specs: &[Spec]) -> Self {
        Self(specs.iter().map(|spec| (spec.name.to_owned(), Value::default_of(spec))).collect())
    }

    /// Defaults overlaid with `given`, everything checked.
    ///
    /// # Errors
    /// Unknown names, wrong types, values out of bounds.
    pub fn checked<'a>(specs: &[Spec], given: impl IntoIterator<Item = (&'a str, Value)>) -> Result<Self, ParamError> {
        let mut set = Self::defaults(specs);
        for (name, value) in given {
            set.set(specs, name, value)?;
        }
        Ok(set)
    }

    /// Replaces one value.
    ///
    /// # Errors
    /// Unknown name, wrong type, out of bounds; the set is unchanged then.
    pub fn set(&mut self, specs: &[Spec], name: &str, value: Value) -> Result<(), ParamError> {
        let spec = find(specs, name)?;
        self.0.insert(name.to_owned(), value.checked(spec)?);
        Ok(())
    }

    /// Replaces one value given as text, as `--set` and the exact-entry field do.
    ///
    /// # Errors
    /// Unknown name, wrong type, out of bounds; the set is unchanged then.
    pub fn set_text(&mut self, specs: &[Spec], name: &str, text: &str) -> Result<(), ParamError> {
        let spec = find(specs, name)?;
        self.0.insert(name.to_owned(), Value::parse(spec, text)?);
        Ok(())
    }

    /// The value of one parameter.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// All values, in name order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// The typed value of one parameter.
    ///
    /// # Errors
    /// When the set holds no such parameter or one of another type.
    pub fn read<T: FromValue>(&self, name: &str) -> Result<T, ParamError> {
        let value = self.get(name).ok_or_else(|| ParamError::Unknown { name: name.to_owned(), closest: None })?;
        T::from_value(value).ok_or_else(|| ParamError::WrongType {
            name: name.to_owned(),
            expected: std::any::type_name::<T>().to_owned(),
            got: value.to_string(),
        })
    }

    /// Only the values that differ from the defaults: what a recipe has to say.
    #[must_use]
    pub fn changed(&self, specs: &[Spec]) -> Self {
        let differs = |name: &str, value: &Value| {
            specs.iter().find(|spec| spec.name == name).is_none_or(|spec| *value != Value::default_of(spec))
        };
        Self(self.0.iter().filter(|(n, v)| differs(n, v)).map(|(n, v)| (n.clone(), v.clone())).collect())
    }
}

impl Spec {
    /// `value` moved by `steps` slider steps (negative: down), kept in the slider's range and on its grid. A number
    /// that a recipe has outside of the range moves towards it, or stays.
    ///
    /// Choices and flags cycle; a seed counts up and down.
    #[must_use]
    pub fn nudge(&self, value: &Value, steps: i64) -> Value {
        match (&self.kind, value) {
            (Kind::Bool { .. }, Value::Bool(b)) => Value::Bool(*b ^ (steps % 2 != 0)),
            (Kind::Choice { options, .. }, Value::Text(text)) => {
                let at = options.iter().position(|option| option == text).unwrap_or(0) as i64;
                Value::Text(options[(at + steps).rem_euclid(options.len() as i64) as usize].to_owned())
            }
            (Kind::Seed { .. }, Value::Int(n)) => Value::Int(n.saturating_add(steps).max(0)),
            (Kind::Int { min, max, step, .. }, Value::Int(n)) => {
                let moved = n.saturating_add(steps.saturating_mul(*step));
                Value::Int(moved.clamp((*min).min(*n), (*max).max(*n)))
            }
            (_, Value::Float(x)) => Value::Float(self.nudge_number(*x, steps)),
            (_, Value::List(list)) => Value::List(list.iter().map(|&x| self.nudge_number(x, steps)).collect()),
            (_, Value::Table(table)) => {
                let row = |row: &Vec<f64>| row.iter().map(|&x| self.nudge_number(x, steps)).collect();
                Value::Table(table.iter().map(row).collect())
            }
            (_, other) => other.clone(),
        }
    }

    /// One number moved by `steps` slider steps: the slider of a single expert or block. From outside of the range, no
    /// further out.
    #[must_use]
    pub fn nudge_number(&self, x: f64, steps: i64) -> f64 {
        let (Some((min, max)), Some(step)) = (self.range(), self.step()) else { return x };
        let moved = match self.kind {
            // A step on a logarithmic slider is a fifth of a decade whatever the unit.
            Kind::Float { scale: Scale::Logarithmic, .. } => x.max(min) * 10f64.powf(steps as f64 / 5.0),
            _ => ((x / step).round() + steps as f64) * step,
        };
        tidy(moved).clamp(min.min(x), max.max(x))
    }
}

fn find<'a>(specs: &'a [Spec], name: &str) -> Result<&'a Spec, ParamError> {
    specs.iter().find(|spec| spec.name == name).ok_or_else(|| ParamError::Unknown {
        name: name.to_owned(),
        closest: closest(name, specs.iter().map(|spec| spec.name)).map(str::to_owned),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::{PerGroup, PerModel, choice, flag, float, int, per_group, per_model, seed};

    crate::params! {
        /// Coefficient of the summed task vectors.
        scaling: f32 = float(0.3, 0.0, 2.0, 0.05).symbol("λ");
        /// How kept entries are combined.
        merge: String = choice("sum", &["sum", "mean", "max"]);
        /// Divide by the kept share.
        rescale: bool = flag(true);
        /// Seed of the masks.
        seed: u64 = seed(0);
        /// One per expert.
        weights: PerModel = per_model(1.0, 0.0, 2.0, 0.1);
        /// One per expert and block.
        layers: PerGroup = per_group(0.3, 0.0, 1.0, 0.05);
    }

    fn set() -> ParamSet {
        ParamSet::defaults(Params::SPECS)
    }

    #[test]
    fn defaults_are_typed() {
        let params = Params::from_set(&set()).unwrap();
        assert_eq!(params.scaling, 0.3);
        assert_eq!(params.merge, "sum");
        assert!(params.rescale);
        assert_eq!(params.weights.resolve("weights", 3).unwrap(), vec![1.0; 3]);
        assert_eq!(params.layers.resolve("layers", 2, 4).unwrap(), vec![vec![0.3; 4]; 2]);
        assert_eq!(Params::SPECS[0].help, "Coefficient of the summed task vectors.");
    }

    #[test]
    fn errors_name_the_parameter_and_the_way_out() {
        let mut set = set();
        let error = |set: &mut ParamSet, name, text| set.set_text(Params::SPECS, name, text).unwrap_err().to_string();
        assert_eq!(error(&mut set, "scalling", "1"), "unknown parameter `scalling`, did you mean `scaling`?");
        assert_eq!(error(&mut set, "scaling", "9"), "`scaling` = 9 is out of bounds (0..=2)");
        assert_eq!(error(&mut set, "scaling", "NaN"), "`scaling` = NaN is out of bounds (0..=2)");
        assert_eq!(error(&mut set, "scaling", "much"), "`scaling` must be a number (0..=2), got much");
        assert_eq!(
            error(&mut set, "merge", "meen"),
            "`merge` = \"meen\" is not one of sum, mean, max, did you mean `mean`?"
        );
        assert_eq!(error(&mut set, "seed", "-1"), "`seed` must be a whole number, zero or more, got -1");
        assert_eq!(set, self::set());
    }

    #[test]
    fn lists_and_tables_are_read_from_text() {
        let mut set = set();
        set.set_text(Params::SPECS, "weights", "0.5, 0.2,0.9").unwrap();
        set.set_text(Params::SPECS, "layers", "[[0.1,0.2],[0.3,0.4]]").unwrap();
        let params = Params::from_set(&set).unwrap();
        assert_eq!(params.weights.resolve("weights", 3).unwrap(), vec![0.5, 0.2, 0.9]);
        assert!(params.weights.resolve("weights", 4).is_err());
        assert_eq!(params.layers.resolve("layers", 2, 2).unwrap(), vec![vec![0.1, 0.2], vec![0.3, 0.4]]);
        assert!(params.layers.resolve("layers", 2, 3).is_err());
    }

    #[test]
    fn nudges_stay_on_the_grid_and_in_range() {
        let scaling = &Params::SPECS[0];
        let mut value = Value::Float(0.3);
        for _ in 0..3 {
            value = scaling.nudge(&value, 1);
        }
        assert_eq!(value, Value::Float(0.45));
        assert_eq!(scaling.nudge(&value, 1000), Value::Float(2.0));
        assert_eq!(Params::SPECS[1].nudge(&Value::Text("sum".into()), -1), Value::Text("max".into()));
        assert_eq!(Params::SPECS[2].nudge(&Value::Bool(true), 1), Value::Bool(false));
    }

    #[test]
    fn what_is_valid_reaches_beyond_the_slider() {
        let wide = float(0.3, -1.0, 2.0, 0.05).unbounded().named("wide", "");
        let weights = per_model(1.0, 0.0, 2.0, 0.1).at_least(0.0).named("weights", "");
        let share = float(0.2, 0.1, 0.9, 0.05).above(0.0).up_to(1.0).named("share", "");
        let rank = int(32, 1, 64, 8).at_least(1.0).named("rank", "");
        let valid = [(&wide, "-7.5"), (&weights, "[9, 0]"), (&share, "1"), (&share, "0.001"), (&rank, "4096")];
        for (spec, text) in valid {
            assert!(Value::parse(spec, text).is_ok(), "{} = {text}", spec.name);
        }
        let error = |spec, text| Value::parse(spec, text).unwrap_err().to_string();
        assert_eq!(error(&wide, "inf"), "`wide` = inf is out of bounds (finite)");
        assert_eq!(error(&weights, "[1, -0.5]"), "`weights` = -0.5 is out of bounds (0 or more)");
        assert_eq!(error(&share, "0"), "`share` = 0 is out of bounds (above 0, up to 1)");
        assert_eq!(error(&rank, "0"), "`rank` = 0 is out of bounds (1 or more)");

        // A slider that stands outside of its range stays there until it is moved, and moves inwards only.
        assert_eq!(wide.range(), Some((-1.0, 2.0)));
        for (x, steps, expected) in [(3.0, 0, 3.0), (3.0, 1, 3.0), (3.0, -2, 2.9), (3.0, -99, -1.0), (-4.0, 1, -3.95)] {
            assert_eq!(wide.nudge(&Value::Float(x), steps), Value::Float(expected), "{x} by {steps}");
        }
        assert_eq!(rank.nudge(&Value::Int(100), 1), Value::Int(100));
        assert_eq!(rank.nudge(&Value::Int(100), -1), Value::Int(92));

        let schema = crate::params::json_schema(&[wide, weights, share, rank]);
        let of = |name: &str, key: &str| schema["properties"][name][key].clone();
        assert_eq!((of("wide", "minimum"), of("wide", "maximum")), (().into(), ().into()));
        assert_eq!(schema["properties"]["weights"]["anyOf"][1]["items"]["minimum"], 0.0);
        assert_eq!((of("share", "exclusiveMinimum"), of("share", "maximum")), (0.0.into(), 1.0.into()));
        assert_eq!((of("rank", "minimum"), of("rank", "maximum")), (1.into(), ().into()));
    }

    #[test]
    fn a_set_survives_toml_and_json() {
        let mut set = set();
        set.set_text(Params::SPECS, "layers", "[[0.1,0.2],[0.3,0.4]]").unwrap();
        let back: ParamSet = toml::from_str(&toml::to_string(&set).unwrap()).unwrap();
        assert_eq!(back, set);
        let back: ParamSet = serde_json::from_str(&serde_json::to_string(&set).unwrap()).unwrap();
        assert_eq!(back, set);
        assert_eq!(set.changed(Params::SPECS).iter().count(), 1);
    }
}
