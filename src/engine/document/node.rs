//! A document as a tree of which every node knows its place, whatever it was written in.

use super::error::Fault;
use crate::engine::Position;
use crate::params::closest;

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub at: Position,
    pub kind: Kind,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    /// Text, a number or a flag; `plain` where it stands without quotes.
    Scalar {
        text: String,
        plain: bool,
    },
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

/// A key of a map; keys are different.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    pub text: String,
    pub at: Position,
}

/// Longest piece of a document that is quoted in a message.
const QUOTED: usize = 40;

impl Node {
    pub fn fault(&self, message: impl Into<String>) -> Fault {
        Fault::at(self.at, message)
    }

    /// That `what` (the key, or what it stands for) is not `expected`.
    pub fn wrong(&self, what: &str, expected: &str) -> Fault {
        self.fault(format!("`{what}` must be {expected}, got {}", self.describe()))
    }

    /// The value in a few words.
    pub fn describe(&self) -> String {
        match &self.kind {
            Kind::Scalar { .. } if self.is_null() => "nothing".to_owned(),
            Kind::Scalar { text, plain } if text.chars().count() <= QUOTED => {
                if *plain {
                    text.clone()
                } else {
                    format!("\"{text}\"")
                }
            }
            Kind::Scalar { text, .. } => format!("{}…", text.chars().take(QUOTED).collect::<String>()),
            Kind::List(_) => "a list".to_owned(),
            Kind::Map(_) => "a map".to_owned(),
        }
    }

    /// Nothing, as YAML writes it: `null`, `~`, or no value at all.
    pub fn is_null(&self) -> bool {
        matches!(&self.kind, Kind::Scalar { text, plain: true } if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    pub fn text(&self, what: &str) -> Result<&str, Fault> {
        match &self.kind {
            Kind::Scalar { text, .. } if !self.is_null() && !text.trim().is_empty() => Ok(text),
            _ => Err(self.wrong(what, "text")),
        }
    }

    /// A finite number, in quotes or not.
    pub fn number(&self, what: &str) -> Result<f64, Fault> {
        let Kind::Scalar { text, .. } = &self.kind else { return Err(self.wrong(what, "a number")) };
        match parse_number(text) {
            Some(number) if number.is_finite() => Ok(number),
            Some(_) => Err(self.wrong(what, "a number that is not infinite")),
            None => Err(self.wrong(what, "a number")),
        }
    }

    /// A whole number from 0 to `most`.
    pub fn count(&self, what: &str, most: usize) -> Result<usize, Fault> {
        let expected = format!("a whole number from 0 to {most}");
        let number = self.number(what).map_err(|_| self.wrong(what, &expected))?;
        if number.fract() == 0.0 && (0.0..=most as f64).contains(&number) {
            return Ok(number as usize);
        }
        Err(self.wrong(what, &expected))
    }

    pub fn flag(&self, what: &str) -> Result<bool, Fault> {
        let Kind::Scalar { text, .. } = &self.kind else { return Err(self.wrong(what, "true or false")) };
        parse_flag(text).ok_or_else(|| self.wrong(what, "true or false"))
    }

    pub fn list(&self, what: &str) -> Result<&[Node], Fault> {
        match &self.kind {
            Kind::List(items) => Ok(items),
            _ => Err(self.wrong(what, "a list")),
        }
    }

    pub fn map(&self, what: &str) -> Result<Map<'_>, Fault> {
        match &self.kind {
            Kind::Map(fields) => Ok(Map { at: self.at, fields }),
            _ => Err(self.wrong(what, "a map")),
        }
    }
}

/// The fields of a map.
#[derive(Debug, Clone, Copy)]
pub(super) struct Map<'a> {
    pub at: Position,
    pub fields: &'a [(Key, Node)],
}

impl<'a> Map<'a> {
    /// The value of a key; nothing where it is missing or null.
    pub fn get(&self, key: &str) -> Option<&'a Node> {
        self.fields.iter().find(|(name, node)| name.text == key && !node.is_null()).map(|(_, node)| node)
    }

    pub fn has(&self, key: &str) -> bool {
        self.fields.iter().any(|(name, _)| name.text == key)
    }

    /// The value of a key that must be there.
    pub fn require(&self, key: &str) -> Result<&'a Node, Fault> {
        self.get(key).ok_or_else(|| Fault::at(self.at, format!("`{key}` is missing")))
    }

    pub fn text(&self, key: &str) -> Result<Option<String>, Fault> {
        self.get(key).map(|node| node.text(key).map(str::to_owned)).transpose()
    }

    /// Refuses keys that mean nothing here: a typo must not silently leave a default in force.
    pub fn only(&self, known: &[&str]) -> Result<(), Fault> {
        let unknown = self.fields.iter().find(|(key, _)| !known.contains(&key.text.as_str()));
        unknown.map_or(Ok(()), |(key, _)| {
            Err(unknown_key(key, known.iter().copied()).hint(format!("known here: {}", known.join(", "))))
        })
    }
}

/// That a key is not known, with the closest that is.
pub(super) fn unknown_key<'a>(key: &Key, known: impl IntoIterator<Item = &'a str>) -> Fault {
    let closest = closest(&key.text, known);
    let suggestion = closest.map_or_else(String::new, |name| format!(", did you mean `{name}`?"));
    Fault::at(key.at, format!("unknown key `{}`{suggestion}", shortened(&key.text)))
}

/// A name, or its beginning where it is very long.
pub(super) fn shortened(text: &str) -> String {
    if text.chars().count() <= QUOTED {
        text.to_owned()
    } else {
        format!("{}…", text.chars().take(QUOTED).collect::<String>())
    }
}

/// A number as YAML, TOML and Python write it.
pub(super) fn parse_number(text: &str) -> Option<f64> {
    let text = text.trim();
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    match unsigned {
        ".inf" | ".Inf" | ".INF" | "inf" | "Infinity" => return Some(f64::INFINITY),
        ".nan" | ".NaN" | ".NAN" | "nan" | "NaN" => return Some(f64::NAN),
        _ => {}
    }
    // What Rust reads and nobody means as a number, such as `infinity`, starts with a letter.
    if !unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    text.replace('_', "").parse().ok()
}

/// A flag as YAML 1.1, which mergekit and FusionBench read, writes it.
pub(super) fn parse_flag(text: &str) -> Option<bool> {
    match text.trim() {
        "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Some(true),
        "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => Some(false),
        _ => None,
    }
}
