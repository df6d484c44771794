//! From TOML text to a [`Preset`]. Walks the spanned tree by hand, so that every complaint has its line and column.

use super::{Models, Named, Places, Position, Preset, PresetError, Problem};
use crate::fusion::{self, Method};
use crate::params::{ParamError, ParamSet, Value, closest};
use crate::tasks::{Corruption, Split};
use crate::weights::DType;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

pub(super) fn read(text: &str, label: &str) -> Result<Preset, PresetError> {
    let reader = Reader { text, label };
    let document = DeTable::parse(text)
        .map_err(|error| reader.fail(error.span(), Problem::Syntax(error.message().trim().to_owned())))?;
    let document = document.get_ref();
    reader.only(document, &["method", "pool", "evaluate", "models"])?;

    let (method, params, params_at) = reader.method(document)?;
    let mut preset = Preset {
        label: label.to_owned(),
        method,
        params,
        params_at,
        experts: None,
        tasks: None,
        split: Split::default(),
        limit: None,
        corruptions: Vec::new(),
        models: None,
    };
    if let Some(pool) = reader.section(document, "pool")? {
        reader.only(pool, &["experts"])?;
        preset.experts = reader.names(pool, "experts")?;
    }
    if let Some(evaluate) = reader.section(document, "evaluate")? {
        reader.only(evaluate, &["tasks", "split", "limit", "corruption"])?;
        preset.tasks = reader.names(evaluate, "tasks")?;
        preset.split = reader.split(evaluate)?.unwrap_or_default();
        preset.limit = reader.limit(evaluate)?;
        preset.set_corruptions(reader.corruptions(evaluate)?);
    }
    if let Some(models) = reader.section(document, "models")? {
        reader.only(models, &["base", "experts", "dtype"])?;
        preset.models = Some(Models {
            base: reader.string(models, "base")?,
            experts: reader.names(models, "experts")?.unwrap_or_default().into_iter().map(|named| named.name).collect(),
            dtype: reader.dtype(models)?,
        });
    }
    Ok(preset)
}

struct Reader<'a> {
    text: &'a str,
    label: &'a str,
}

impl Reader<'_> {
    fn at(&self, span: Range<usize>) -> Position {
        Position::of(self.text, span.start)
    }

    fn fail(&self, span: Option<Range<usize>>, problem: Problem) -> PresetError {
        PresetError::new(self.label, span.map(|span| self.at(span)), problem)
    }

    fn wrong(&self, key: &str, expected: &'static str, got: &Spanned<DeValue<'_>>) -> PresetError {
        let problem = Problem::WrongType { key: key.to_owned(), expected, got: describe(got.get_ref()) };
        self.fail(Some(got.span()), problem)
    }

    /// Refuses keys that mean nothing here: a typo must not silently leave a default in force.
    fn only(&self, table: &DeTable<'_>, known: &[&'static str]) -> Result<(), PresetError> {
        let unknown = table.iter().find(|(key, _)| !known.contains(&key.get_ref().as_ref()));
        unknown.map_or(Ok(()), |(key, _)| {
            let name = key.get_ref().to_string();
            let closest = closest(&name, known.iter().copied()).map(str::to_owned);
            Err(self.fail(Some(key.span()), Problem::UnknownKey { key: name, closest }))
        })
    }

    fn string(&self, table: &DeTable<'_>, key: &str) -> Result<Option<String>, PresetError> {
        let Some(value) = table.get(key) else { return Ok(None) };
        value.get_ref().as_str().map(|text| Some(text.to_owned())).ok_or_else(|| self.wrong(key, "text", value))
    }

    fn dtype(&self, table: &DeTable<'_>) -> Result<Option<String>, PresetError> {
        let Some(name) = self.string(table, "dtype")? else { return Ok(None) };
        let wrong =
            || table.get("dtype").map(|value| self.wrong("dtype", "\"f32\", \"bf16\", \"f16\" or \"f64\"", value));
        match (DType::parse_float(&name), wrong()) {
            (None, Some(wrong)) => Err(wrong),
            _ => Ok(Some(name)),
        }
    }

    fn section<'t, 'i>(&self, table: &'t DeTable<'i>, key: &str) -> Result<Option<&'t DeTable<'i>>, PresetError> {
        table
            .get(key)
            .map(|value| value.get_ref().as_table().ok_or_else(|| self.wrong(key, "a table", value)))
            .transpose()
    }

    fn method(&self, document: &DeTable<'_>) -> Result<(&'static Method, ParamSet, Places), PresetError> {
        let Some(section) = self.section(document, "method")? else {
            return Err(self.fail(Some(0..0), Problem::NoMethod));
        };
        self.only(section, &["id", "params"])?;
        let Some(id) = section.get("id") else {
            let span = document.get("method").map(Spanned::span);
            return Err(self.fail(span, Problem::NoMethod));
        };
        let name = id.get_ref().as_str().ok_or_else(|| self.wrong("id", "the id of a method", id))?;
        let method =
            fusion::find(name).map_err(|error| self.fail(Some(id.span()), Problem::Method(error.to_string())))?;
        let mut params = ParamSet::defaults(method.specs);
        let mut places = Places::new();
        for (key, value) in self.section(section, "params")?.into_iter().flatten() {
            places.insert(key.get_ref().to_string(), self.at(value.span()));
            let number = self.value(key.get_ref(), value)?;
            params.set(method.specs, key.get_ref(), number).map_err(|error| {
                let span = if matches!(error, ParamError::Unknown { .. }) { key.span() } else { value.span() };
                self.fail(Some(span), Problem::Param(error))
            })?;
        }
        Ok((method, params, places))
    }

    fn names(&self, table: &DeTable<'_>, key: &str) -> Result<Option<Vec<Named>>, PresetError> {
        let expected = "a list of names";
        let Some(value) = table.get(key) else { return Ok(None) };
        let list = value.get_ref().as_array().ok_or_else(|| self.wrong(key, expected, value))?;
        let mut names: Vec<Named> = Vec::new();
        for item in list {
            let name = item.get_ref().as_str().ok_or_else(|| self.wrong(key, expected, item))?.to_owned();
            if names.iter().any(|known| known.name == name) {
                return Err(self.fail(Some(item.span()), Problem::Twice { key: key.to_owned(), name }));
            }
            names.push(Named { name, at: Some(self.at(item.span())) });
        }
        if names.is_empty() {
            return Err(self.fail(Some(value.span()), Problem::Empty { key: key.to_owned() }));
        }
        Ok(Some(names))
    }

    fn split(&self, table: &DeTable<'_>) -> Result<Option<Split>, PresetError> {
        let Some(value) = table.get("split") else { return Ok(None) };
        [Split::Train, Split::Validation, Split::Test]
            .into_iter()
            .find(|split| value.get_ref().as_str() == Some(&split.to_string()))
            .map(Some)
            .ok_or_else(|| self.wrong("split", "\"train\", \"validation\" or \"test\"", value))
    }

    fn limit(&self, table: &DeTable<'_>) -> Result<Option<usize>, PresetError> {
        let Some(value) = table.get("limit") else { return Ok(None) };
        integer(value.get_ref())
            .and_then(|limit| usize::try_from(limit).ok())
            .filter(|&limit| limit > 0)
            .map(Some)
            .ok_or_else(|| self.wrong("limit", "a whole number, one or more", value))
    }

    fn corruptions(&self, table: &DeTable<'_>) -> Result<Vec<Corruption>, PresetError> {
        let Some(value) = table.get("corruption") else { return Ok(Vec::new()) };
        let texts = value.get_ref().as_array().map_or_else(|| vec![value], |list| list.iter().collect());
        let mut all = Vec::new();
        for value in texts {
            let text = value
                .get_ref()
                .as_str()
                .ok_or_else(|| self.wrong("corruption", "a text, or a list of texts", value))?;
            let named = Corruption::named(text);
            all.extend(named.map_err(|error| self.fail(Some(value.span()), Problem::Corruption(error)))?);
        }
        Ok(all)
    }

    fn value(&self, key: &str, value: &Spanned<DeValue<'_>>) -> Result<Value, PresetError> {
        let expected = "a number, a list of numbers, a list of such lists, a text, true or false";
        let wrong = || self.wrong(key, expected, value);
        Ok(match value.get_ref() {
            DeValue::Boolean(flag) => Value::Bool(*flag),
            DeValue::String(text) => Value::Text(text.to_string()),
            DeValue::Integer(_) => Value::Int(integer(value.get_ref()).ok_or_else(wrong)?),
            DeValue::Float(_) => Value::Float(number(value.get_ref()).ok_or_else(wrong)?),
            DeValue::Array(rows) if rows.iter().any(|row| row.get_ref().is_array()) => {
                let row = |row: &Spanned<DeValue<'_>>| row.get_ref().as_array().and_then(|row| numbers(row.iter()));
                Value::Table(rows.iter().map(row).collect::<Option<_>>().ok_or_else(wrong)?)
            }
            DeValue::Array(list) => Value::List(numbers(list.iter()).ok_or_else(wrong)?),
            DeValue::Datetime(_) | DeValue::Table(_) => return Err(wrong()),
        })
    }
}

fn numbers<'t, 'i: 't>(list: impl Iterator<Item = &'t Spanned<DeValue<'i>>>) -> Option<Vec<f64>> {
    list.map(|item| number(item.get_ref())).collect()
}

fn integer(value: &DeValue<'_>) -> Option<i64> {
    value.as_integer().and_then(|integer| i64::from_str_radix(integer.as_str(), integer.radix()).ok())
}

fn number(value: &DeValue<'_>) -> Option<f64> {
    match value {
        DeValue::Float(float) => float.as_str().parse().ok(),
        _ => integer(value).map(|integer| integer as f64),
    }
}

/// The value as it stands in the file if it is short, else its type.
fn describe(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) if text.chars().count() <= 40 => format!("\"{text}\""),
        DeValue::Integer(integer) => integer.to_string(),
        DeValue::Float(float) => float.to_string(),
        DeValue::Boolean(flag) => flag.to_string(),
        other => match other.type_str() {
            article @ ("array" | "integer") => format!("an {article}"),
            other => format!("a {other}"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        Preset::parse(text, "p.toml").unwrap_err().to_string()
    }

    #[test]
    fn a_whole_preset_is_read() {
        let preset = Preset::parse(
            "# why\n[method]\nid = \"task_arithmetic\"\n[method.params]\nscaling = 0.4\n\
             [pool]\nexperts = [\"mnist\", \"emoji\"]\n[evaluate]\ntasks = [\"mnist\"]\nsplit = \"validation\"\nlimit = 500\n",
            "p.toml",
        )
        .unwrap();
        assert_eq!(preset.method().id, "task_arithmetic");
        assert_eq!(preset.params().get("scaling"), Some(&Value::Float(0.4)));
        let names = |names: &Option<Vec<Named>>| -> Vec<String> {
            names.iter().flatten().map(|named| named.name.clone()).collect()
        };
        assert_eq!(names(&preset.experts), ["mnist", "emoji"]);
        assert_eq!(names(&preset.tasks), ["mnist"]);
        assert_eq!((preset.split, preset.limit), (Split::Validation, Some(500)));
    }

    #[test]
    fn complaints_have_line_column_and_suggestion() {
        let method = "[method]\nid = \"task_arithmetic\"\n";
        for (text, expected) in [
            (
                format!("{method}[method.params]\nscalling = 0.3\n"),
                "p.toml:4:1: unknown parameter `scalling`, did you mean `scaling`?",
            ),
            (format!("{method}[method.params]\nscaling = \"x\"\n"), "p.toml:4:11: `scaling` must be a number (finite)"),
            (
                format!("{method}[method.params]\nscaling = -inf\n"),
                "p.toml:4:11: `scaling` = -inf is out of bounds (finite)",
            ),
            (format!("{method}[evalute]\n"), "p.toml:3:2: unknown key `evalute`, did you mean `evaluate`?"),
            (format!("{method}[evaluate]\nlimt = 3\n"), "p.toml:4:1: unknown key `limt`, did you mean `limit`?"),
            (
                format!("{method}[evaluate]\nlimit = 0\n"),
                "p.toml:4:9: `limit` must be a whole number, one or more, got 0",
            ),
            (
                format!("{method}[evaluate]\nsplit = \"dev\"\n"),
                "p.toml:4:9: `split` must be \"train\", \"validation\" or \"test\", got \"dev\"",
            ),
            (
                format!("{method}[evaluate]\ncorruption = \"contrats:2\"\n"),
                "p.toml:4:14: `contrats:2` is no corruption: did you mean `contrast`?",
            ),
            (
                format!("{method}[evaluate]\ncorruption = [\"all:2\", 3]\n"),
                "p.toml:4:24: `corruption` must be a text, or a list of texts, got 3",
            ),
            (format!("{method}[pool]\nexperts = []\n"), "p.toml:4:11: `experts` is an empty list"),
            (format!("{method}[pool]\nexperts = [\"a\", \"a\"]\n"), "p.toml:4:17: `a` stands twice in `experts`"),
            (
                "[method]\nid = \"task_arithmetics\"\n".to_owned(),
                "p.toml:2:6: unknown method `task_arithmetics`, did you mean `task_arithmetic`?",
            ),
            ("[method]\nid = \n".to_owned(), "p.toml:2:"),
            ("[pool]\n".to_owned(), "p.toml:1:1: no method is named"),
            ("method = 3\n".to_owned(), "p.toml:1:10: `method` must be a table, got 3"),
        ] {
            let message = error(&text);
            assert!(message.starts_with(expected), "{text}\n  got      {message}\n  expected {expected}");
        }
    }
}
