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
    let number = |min: f64, max: f64| json!({ "type": "number", "minimum": min, "maximum": max });
    let mut schema = match spec.kind {
        Kind::Float { min, max, .. } => number(min, max),
        Kind::Int { min, max, .. } => json!({ "type": "integer", "minimum": min, "maximum": max }),
        Kind::Bool { .. } => json!({ "type": "boolean" }),
        Kind::Choice { options, .. } => json!({ "enum": options }),
        Kind::Text { .. } => json!({ "type": "string" }),
        Kind::Seed { .. } => json!({ "type": "integer", "minimum": 0 }),
        Kind::PerModel { min, max, .. } => {
            json!({ "anyOf": [number(min, max), { "type": "array", "items": number(min, max) }] })
        }
        Kind::PerGroup { min, max, .. } => {
            let row = json!({ "type": "array", "items": number(min, max) });
            json!({ "anyOf": [number(min, max), row, { "type": "array", "items": row }] })
        }
    };
    schema["description"] =
        Json::from(if spec.unit.is_empty() { spec.help.to_owned() } else { format!("{} ({})", spec.help, spec.unit) });
    schema["default"] = json!(Value::default_of(spec));
    schema
}
