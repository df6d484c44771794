//! TOML as a tree of [`Node`]s.

use super::error::Fault;
use super::node::{Key, Kind, Node};
use crate::engine::Position;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The whole file as one map.
pub(super) fn read(text: &str) -> Result<Node, Fault> {
    let table = DeTable::parse(text).map_err(|error| {
        let at = error.span().map_or(Position { line: 1, column: 1 }, |span| Position::of(text, span.start));
        Fault::at(at, error.message().trim().to_owned())
    })?;
    Ok(Node { at: Position { line: 1, column: 1 }, kind: map(text, table.get_ref()) })
}

fn map(text: &str, table: &DeTable<'_>) -> Kind {
    let field = |(key, value): (&Spanned<std::borrow::Cow<'_, str>>, &Spanned<DeValue<'_>>)| {
        let name = Key { text: key.get_ref().to_string(), at: Position::of(text, key.span().start) };
        (name, node(text, value))
    };
    let mut fields: Vec<(Key, Node)> = table.iter().map(field).collect();
    fields.sort_by_key(|(key, _)| (key.at.line, key.at.column));
    Kind::Map(fields)
}

fn node(text: &str, value: &Spanned<DeValue<'_>>) -> Node {
    let plain = |text: &str| Kind::Scalar { text: text.to_owned(), plain: true };
    let kind = match value.get_ref() {
        DeValue::String(string) => Kind::Scalar { text: string.to_string(), plain: false },
        DeValue::Integer(integer) => match i64::from_str_radix(integer.as_str(), integer.radix()) {
            Ok(number) => plain(&number.to_string()),
            Err(_) => plain(integer.as_str()),
        },
        DeValue::Float(float) => plain(float.as_str()),
        DeValue::Boolean(flag) => plain(if *flag { "true" } else { "false" }),
        DeValue::Datetime(time) => Kind::Scalar { text: time.to_string(), plain: false },
        DeValue::Array(items) => Kind::List(items.iter().map(|item| node(text, item)).collect()),
        DeValue::Table(table) => map(text, table),
    };
    Node { at: Position::of(text, value.span().start), kind }
}
