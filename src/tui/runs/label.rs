//! A recipe in one line, as lists, legends and the history show it.

use crate::engine::{Recipe, TRANSDUCTIVE};
use crate::fusion::Method;
use crate::params::{Kind, Spec, Value};
use crate::tasks::Data;

/// What marks results whose parameters were moved after a test result of the method was seen.
pub const TUNED_ON_TEST: &str = "tuned on test";

/// The same in one column, with and without more than ASCII.
pub const TUNED_MARK: (&str, &str) = ("†", "!");

/// What marks tasks whose expert is not in the recipe, with and without more than ASCII.
pub const UNSEEN: (&str, &str) = ("∅", "u");

/// The method's id and its parameters: `task_arithmetic λ=0.4`. Seeds and advanced parameters appear when changed.
#[must_use]
pub fn recipe(recipe: &Recipe, method: Option<&Method>) -> String {
    let params = method.map(|method| params(method, recipe)).unwrap_or_default();
    // Before the parameters: where there is little room, these are cut.
    let mark = if recipe.is_transductive() { format!(" ({TRANSDUCTIVE})") } else { String::new() };
    if params.is_empty() { recipe.method.clone() } else { format!("{}{mark} {params}", recipe.method) }
}

/// What is evaluated on, in a title: `test split`, `test split, gaussian noise 3`.
#[must_use]
pub fn on(data: Data) -> String {
    let corruption = data.corruption.map_or_else(String::new, |corruption| format!(", {}", corruption.title()));
    format!("{} split{corruption}", data.split)
}

/// The parameters alone: `λ=0.4`. Empty for a method without parameters.
#[must_use]
pub fn params(method: &Method, recipe: &Recipe) -> String {
    let shown = method.specs.iter().filter_map(|spec| {
        let value = recipe.params.get(spec.name)?;
        let quiet = spec.advanced || matches!(spec.kind, Kind::Seed { .. });
        (!quiet || *value != Value::default_of(spec)).then(|| format!("{}={}", spec.label(), short(spec, value)))
    });
    shown.collect::<Vec<_>>().join(" ")
}

/// A value in a few columns; many numbers become their range.
#[must_use]
pub fn short(spec: &Spec, value: &Value) -> String {
    let all: Vec<f64> = match value {
        Value::List(list) => list.clone(),
        Value::Table(table) => table.iter().flatten().copied().collect(),
        one => return format!("{one}{}", spec.unit),
    };
    let (low, high) = all.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), &x| (l.min(x), h.max(x)));
    if low > high { "none".to_owned() } else { format!("{}..{}", Value::Float(low), Value::Float(high)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::{ParamSet, flag, float, per_model, seed};

    const SPECS: &[Spec] = &[
        float(0.3, 0.0, 2.0, 0.05).symbol("λ").named("scaling", "Coefficient."),
        per_model(1.0, 0.0, 2.0, 0.1).named("weights", "One an expert."),
        flag(true).advanced().named("rescale", "Divide by the kept share."),
        seed(0).named("seed", "Seed."),
    ];

    #[test]
    fn many_numbers_become_a_range_and_quiet_ones_show_when_changed() {
        let mut set = ParamSet::defaults(SPECS);
        let spec = |name| SPECS.iter().find(|spec| spec.name == name).unwrap();
        assert_eq!(short(spec("scaling"), set.get("scaling").unwrap()), "0.3");
        set.set_text(SPECS, "weights", "0.5, 1, 0.7").unwrap();
        assert_eq!(short(spec("weights"), set.get("weights").unwrap()), "0.5..1");
        assert_eq!(short(spec("rescale"), &Value::Bool(false)), "false");
    }
}
