//! JSON Schema of a method's parameters, for editors and for form builders.

use super::{Kind, Spec, Value};
use serde_json::{Map, Value as Json, json};

/// An object schema with one property a parameter; unknown keys are not allowed.
#[must_use]
pub fn json_schema(specs: &[Spec]) -> Json {
    let properties: Map<String, Json> = specs.iter().map(|spec| (spec.name.to_owned(), property(spec))).collect();
    json!({ "type": "object", "properties": properties, "additionalProperties": false })
}

fn property(spec: &Spec) -> Json {
    let number = || bounded("number", spec);
    let mut schema = match spec.kind {
        Kind::Float { .. } => number(),
        Kind::Int { .. } => bounded("integer", spec),
        Kind::Bool { .. } => json!({ "type": "boolean" }),
        Kind::Choice { options, .. } => json!({ "enum": options }),
        Kind::Text { .. } => json!({ "type": "string" }),
        Kind::Seed { .. } => json!({ "type": "integer", "minimum": 0 }),
        Kind::PerModel { .. } => json!({ "anyOf": [number(), { "type": "array", "items": number() }] }),
        Kind::PerGroup { .. } => {
            let row = json!({ "type": "array", "items": number() });
            json!({ "anyOf": [number(), row, { "type": "array", "items": row }] })
        }
    };
    schema["description"] =
        Json::from(if spec.unit.is_empty() { spec.help.to_owned() } else { format!("{} ({})", spec.help, spec.unit) });
    schema["default"] = json!(Value::default_of(spec));
    schema
}

/// Numbers of a type within the parameter's bounds; whole ones are written as such.
fn bounded(kind: &str, spec: &Spec) -> Json {
    let number = |x: f64| if kind == "integer" { json!(x as i64) } else { json!(x) };
    let mut schema = json!({ "type": kind });
    if let Some(min) = spec.bounds.lower() {
        schema[if spec.bounds.open { "exclusiveMinimum" } else { "minimum" }] = number(min);
    }
    if let Some(max) = spec.bounds.upper() {
        schema["maximum"] = number(max);
    }
    schema
}
