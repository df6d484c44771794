//! The value of one parameter, and how typed code reads it.

use super::{Kind, ParamError, Spec, closest};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A parameter's value as it stands in TOML, JSON and history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<f64>),
    Table(Vec<Vec<f64>>),
}

impl Value {
    /// The value that `spec` declares as its default.
    #[must_use]
    pub fn default_of(spec: &Spec) -> Self {
        match spec.kind {
            Kind::Float { default, .. } | Kind::PerModel { default, .. } | Kind::PerGroup { default, .. } => {
                Self::Float(default)
            }
            Kind::Int { default, .. } => Self::Int(default),
            Kind::Bool { default } => Self::Bool(default),
            Kind::Choice { default, .. } | Kind::Text { default } => Self::Text(default.to_owned()),
            Kind::Seed { default } => Self::Int(i64::try_from(default).unwrap_or(i64::MAX)),
        }
    }

    /// Reads a value as a person writes it: `0.3`, `true`, `mean`, `0.1,0.2,0.3`, `[[0.1, 0.2], [0.3, 0.4]]`.
    ///
    /// # Errors
    /// When the text is not of the parameter's kind, or out of bounds.
    pub fn parse(spec: &Spec, text: &str) -> Result<Self, ParamError> {
        let text = text.trim();
        let value = match spec.kind {
            Kind::Choice { .. } | Kind::Text { .. } => Self::Text(text.to_owned()),
            Kind::Bool { .. } => match text {
                "true" | "yes" | "on" | "1" => Self::Bool(true),
                "false" | "no" | "off" | "0" => Self::Bool(false),
                _ => Self::Text(text.to_owned()),
            },
            Kind::Int { .. } | Kind::Seed { .. } => {
                text.parse().map_or_else(|_| Self::Text(text.to_owned()), Self::Int)
            }
            Kind::Float { .. } => text.parse().map_or_else(|_| Self::Text(text.to_owned()), Self::Float),
            Kind::PerModel { .. } | Kind::PerGroup { .. } => parse_numbers(text),
        };
        value.checked(spec)
    }

    /// The same value in the spec's own type, or the reason why it does not fit.
    ///
    /// # Errors
    /// Wrong type, out of bounds, not a known choice.
    pub fn checked(self, spec: &Spec) -> Result<Self, ParamError> {
        let wrong = |value: &Self| ParamError::WrongType {
            name: spec.name.to_owned(),
            expected: expected(spec),
            got: value.to_string(),
        };
        match (&spec.kind, self) {
            (Kind::Float { .. }, Self::Int(n)) => Self::Float(n as f64).checked(spec),
            (Kind::Float { .. }, Self::Float(x)) => in_bounds(spec, x).map(Self::Float),
            (Kind::Int { .. }, Self::Int(n)) => in_bounds(spec, n as f64).map(|_| Self::Int(n)),
            (Kind::Seed { .. }, Self::Int(n)) if n >= 0 => Ok(Self::Int(n)),
            (Kind::Bool { .. }, Self::Bool(b)) => Ok(Self::Bool(b)),
            (Kind::Text { .. }, Self::Text(text)) => Ok(Self::Text(text)),
            (Kind::Choice { options, .. }, Self::Text(text)) => {
                if options.contains(&text.as_str()) {
                    return Ok(Self::Text(text));
                }
                Err(ParamError::NotAChoice {
                    name: spec.name.to_owned(),
                    closest: closest(&text, options.iter().copied()).map(str::to_owned),
                    options: options.iter().map(|&option| option.to_owned()).collect(),
                    value: text,
                })
            }
            (Kind::PerModel { .. } | Kind::PerGroup { .. }, Self::Int(n)) => Self::Float(n as f64).checked(spec),
            (Kind::PerModel { .. } | Kind::PerGroup { .. }, Self::Float(x)) => in_bounds(spec, x).map(Self::Float),
            (Kind::PerModel { .. } | Kind::PerGroup { .. }, Self::List(list)) => {
                list.iter().try_for_each(|&x| in_bounds(spec, x).map(drop))?;
                Ok(Self::List(list))
            }
            (Kind::PerGroup { .. }, Self::Table(table)) => {
                table.iter().flatten().try_for_each(|&x| in_bounds(spec, x).map(drop))?;
                Ok(Self::Table(table))
            }
            (_, value) => Err(wrong(&value)),
        }
    }

    /// The value as one number, where it is one.
    #[must_use]
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Float(x) => Some(*x),
            Self::Int(n) => Some(*n as f64),
            _ => None,
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(b) => write!(f, "{b}"),
            Self::Int(n) => write!(f, "{n}"),
            Self::Float(x) => write!(f, "{}", tidy(*x)),
            Self::Text(text) => write!(f, "{text}"),
            Self::List(list) => write!(f, "[{}]", join(list)),
            Self::Table(table) => {
                let rows: Vec<String> = table.iter().map(|row| format!("[{}]", join(row))).collect();
                write!(f, "[{}]", rows.join(", "))
            }
        }
    }
}

fn join(list: &[f64]) -> String {
    list.iter().map(|x| tidy(*x).to_string()).collect::<Vec<_>>().join(", ")
}

/// Rounds away the dust that repeated slider steps leave (0.30000000000000004 → 0.3).
pub(super) fn tidy(x: f64) -> f64 {
    (x * 1e9).round() / 1e9
}

fn in_bounds(spec: &Spec, value: f64) -> Result<f64, ParamError> {
    let bounds = spec.bounds;
    if bounds.contains(value) {
        Ok(value)
    } else {
        Err(ParamError::OutOfBounds { name: spec.name.to_owned(), value, bounds })
    }
}

fn parse_numbers(text: &str) -> Value {
    if let Ok(x) = text.parse() {
        return Value::Float(x);
    }
    let bracketed = if text.starts_with('[') { text.to_owned() } else { format!("[{text}]") };
    serde_json::from_str(&bracketed).unwrap_or_else(|_| Value::Text(text.to_owned()))
}

fn expected(spec: &Spec) -> String {
    let bounds = spec.bounds;
    match spec.kind {
        Kind::Float { .. } => format!("a number ({bounds})"),
        Kind::Int { .. } => format!("a whole number ({bounds})"),
        Kind::Bool { .. } => "true or false".to_owned(),
        Kind::Choice { options, .. } => format!("one of {}", options.join(", ")),
        Kind::PerModel { .. } => format!("a number ({bounds}), or a list with one per expert"),
        Kind::PerGroup { .. } => {
            format!("a number ({bounds}), a list with one per expert, or a table [expert][block]")
        }
        Kind::Seed { .. } => "a whole number, zero or more".to_owned(),
        Kind::Text { .. } => "text".to_owned(),
    }
}

/// One number per expert, or one for all.
#[derive(Debug, Clone, PartialEq)]
pub struct PerModel(Value);

impl PerModel {
    /// One number for each of `models` experts.
    ///
    /// # Errors
    /// When a list of another length was given; `name` is the parameter's, for the message.
    pub fn resolve(&self, name: &str, models: usize) -> Result<Vec<f32>, ParamError> {
        Ok(self.resolve_exact(name, models)?.into_iter().map(|x| x as f32).collect())
    }

    /// As [`resolve`](Self::resolve), for what is multiplied by counts: 0.7 of ten elements are seven, and 0.7 in f32 is
    /// less than that.
    ///
    /// # Errors
    /// As [`resolve`](Self::resolve).
    pub fn resolve_exact(&self, name: &str, models: usize) -> Result<Vec<f64>, ParamError> {
        match &self.0 {
            Value::List(list) if list.len() == models => Ok(list.clone()),
            Value::List(list) => Err(ParamError::WrongLength {
                name: name.to_owned(),
                got: list.len(),
                expected: models,
                per: "one per expert",
            }),
            value => Ok(vec![value.as_f64().unwrap_or_default(); models]),
        }
    }
}

/// One number per expert and block, one per expert, or one for all.
#[derive(Debug, Clone, PartialEq)]
pub struct PerGroup(Value);

impl PerGroup {
    /// The whole table, `models` rows of `groups` numbers.
    ///
    /// # Errors
    /// When the rows or columns given do not match; `name` is the parameter's, for the message.
    pub fn resolve(&self, name: &str, models: usize, groups: usize) -> Result<Vec<Vec<f32>>, ParamError> {
        let length = |got, expected, per| ParamError::WrongLength { name: name.to_owned(), got, expected, per };
        match &self.0 {
            Value::Table(table) => {
                if table.len() != models {
                    return Err(length(table.len(), models, "rows, one per expert"));
                }
                if let Some(row) = table.iter().find(|row| row.len() != groups) {
                    return Err(length(row.len(), groups, "columns, one per block"));
                }
                Ok(table.iter().map(|row| row.iter().map(|&x| x as f32).collect()).collect())
            }
            list_or_number => {
                let per_model = PerModel(list_or_number.clone()).resolve(name, models)?;
                Ok(per_model.into_iter().map(|x| vec![x; groups]).collect())
            }
        }
    }
}

/// Typed reading of a [`Value`]; the value has been checked against its spec before.
pub trait FromValue: Sized {
    fn from_value(value: &Value) -> Option<Self>;
}

impl FromValue for f32 {
    fn from_value(value: &Value) -> Option<Self> {
        value.as_f64().map(|x| x as Self)
    }
}

impl FromValue for f64 {
    fn from_value(value: &Value) -> Option<Self> {
        value.as_f64()
    }
}

impl FromValue for usize {
    fn from_value(value: &Value) -> Option<Self> {
        if let Value::Int(n) = value { Self::try_from(*n).ok() } else { None }
    }
}

impl FromValue for i64 {
    fn from_value(value: &Value) -> Option<Self> {
        if let Value::Int(n) = value { Some(*n) } else { None }
    }
}

impl FromValue for u64 {
    fn from_value(value: &Value) -> Option<Self> {
        if let Value::Int(n) = value { Self::try_from(*n).ok() } else { None }
    }
}

impl FromValue for bool {
    fn from_value(value: &Value) -> Option<Self> {
        if let Value::Bool(b) = value { Some(*b) } else { None }
    }
}

impl FromValue for String {
    fn from_value(value: &Value) -> Option<Self> {
        if let Value::Text(text) = value { Some(text.clone()) } else { None }
    }
}

impl FromValue for PerModel {
    fn from_value(value: &Value) -> Option<Self> {
        matches!(value, Value::Float(_) | Value::Int(_) | Value::List(_)).then(|| Self(value.clone()))
    }
}

impl FromValue for PerGroup {
    fn from_value(value: &Value) -> Option<Self> {
        matches!(value, Value::Float(_) | Value::Int(_) | Value::List(_) | Value::Table(_)).then(|| Self(value.clone()))
    }
}
