//! The value of a parameter for one tensor: the innermost scope that has one, as in mergekit.

use super::setting::{Scalar, Setting};
use super::{Settings, Source};
use crate::fusion::Method;
use crate::params::{Kind, ParamError, ParamSet, Spec, Value};

/// Where settings of a slice are looked for, from the inside out.
#[derive(Debug, Clone)]
pub struct Scopes<'a> {
    /// Slice, module, document.
    pub outer: Vec<&'a Settings>,
    /// Parameters that no default stands in for.
    pub required: &'a [String],
}

/// An expert's settings, and what its tensor is called.
#[derive(Debug, Clone, Copy)]
pub struct Of<'a> {
    pub source: &'a Source,
    pub tensor: &'a str,
}

impl Scopes<'_> {
    /// The parameters of the tensor `name` of the result, `t` of the way through its layers, made of `experts`.
    ///
    /// # Errors
    /// A value that the method does not take; a required one that is missing.
    pub fn params(&self, method: &Method, name: &str, t: f64, experts: &[Of<'_>]) -> Result<ParamSet, ParamError> {
        let mut set = ParamSet::defaults(method.specs);
        for spec in method.specs {
            let value =
                if is_per_model(spec) { self.each(spec, t, experts)? } else { self.shared(spec, name, t, experts)? };
            if let Some(value) = value {
                set.set(method.specs, spec.name, value)?;
            }
        }
        Ok(set)
    }

    fn shared(&self, spec: &Spec, name: &str, t: f64, experts: &[Of<'_>]) -> Result<Option<Value>, ParamError> {
        // With a single expert, what is said of it is said of all.
        let inner = if let [only] = experts { Some((&only.source.parameters, only.tensor)) } else { None };
        let scopes = inner.into_iter().chain(self.outer.iter().map(|settings| (*settings, name)));
        let found = first(scopes, spec.name, t);
        found.map_or_else(|| self.missing(spec, name), |scalar| value(spec, &scalar).map(Some))
    }

    fn each(&self, spec: &Spec, t: f64, experts: &[Of<'_>]) -> Result<Option<Value>, ParamError> {
        let of = |expert: &Of<'_>| -> Result<Option<f64>, ParamError> {
            let scopes = std::iter::once(&expert.source.parameters).chain(self.outer.iter().copied());
            let found = first(scopes.map(|settings| (settings, expert.tensor)), spec.name, t);
            let Some(scalar) = found else {
                self.missing(spec, &format!("{} of {}", expert.tensor, expert.source.model))?;
                return Ok(None);
            };
            Ok(value(spec, &scalar)?.as_f64())
        };
        let values: Vec<Option<f64>> = experts.iter().map(of).collect::<Result<_, _>>()?;
        if values.iter().all(Option::is_none) {
            return Ok(None);
        }
        let default = Value::default_of(spec).as_f64().unwrap_or_default();
        Ok(Some(Value::List(values.into_iter().map(|value| value.unwrap_or(default)).collect())))
    }

    fn missing(&self, spec: &Spec, of: &str) -> Result<Option<Value>, ParamError> {
        if !self.required.iter().any(|name| name == spec.name) {
            return Ok(None);
        }
        let name = format!("{} (for {of})", spec.name);
        Err(ParamError::WrongType { name, expected: "given".to_owned(), got: "nothing".to_owned() })
    }
}

/// Whether every expert has a value of its own.
pub(super) fn is_per_model(spec: &Spec) -> bool {
    matches!(spec.kind, Kind::PerModel { .. } | Kind::PerGroup { .. })
}

fn first<'a>(scopes: impl Iterator<Item = (&'a Settings, &'a str)>, parameter: &str, t: f64) -> Option<Scalar> {
    let mut values = scopes.filter_map(|(settings, tensor)| settings.get(parameter)?.at(tensor, t));
    values.next()
}

/// A value as the parameter takes it.
pub(super) fn value(spec: &Spec, scalar: &Scalar) -> Result<Value, ParamError> {
    let value = match (scalar, &spec.kind) {
        (Scalar::Number(number), Kind::Bool { .. }) if *number == 0.0 || *number == 1.0 => Value::Bool(*number == 1.0),
        (Scalar::Number(number), Kind::Int { .. } | Kind::Seed { .. })
            if number.fract() == 0.0 && number.abs() < 9e15 =>
        {
            Value::Int(*number as i64)
        }
        (Scalar::Number(number), Kind::Choice { .. } | Kind::Text { .. }) => Value::Text(number.to_string()),
        (Scalar::Flag(flag), _) => Value::Bool(*flag),
        (Scalar::Number(number), _) => Value::Float(*number),
        (Scalar::Text(text), _) => Value::Text(text.clone()),
    };
    value.checked(spec)
}

/// Checks every value that stands in a setting.
pub(super) fn check(spec: &Spec, setting: &Setting) -> Result<(), ParamError> {
    setting.scalars().into_iter().try_for_each(|scalar| value(spec, scalar).map(drop))
}
