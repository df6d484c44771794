//! JSON Schema of preset files: completion and checks in editors through the `#:schema` line.

use crate::fusion::{METHODS, Method};
use crate::params::json_schema;
use crate::tasks::corruption::{Kind, MOST, USUAL};
use serde_json::{Value as Json, json};

/// The schema of a preset, one alternative a method. `assets/schema/preset.json` holds it; a test keeps it fresh.
#[must_use]
pub fn preset_schema() -> Json {
    let names = |description: &str| {
        json!({
            "type": "array", "items": { "type": "string" }, "minItems": 1, "uniqueItems": true,
            "description": description,
        })
    };
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "fusebench preset",
        "description": "A fusion method with its parameters, the experts it combines, and what to evaluate the result on.",
        "type": "object",
        "required": ["method"],
        "additionalProperties": false,
        "properties": {
            "method": { "oneOf": METHODS.iter().map(|method| alternative(method)).collect::<Vec<_>>() },
            "pool": {
                "type": "object",
                "description": "Which experts are fused.",
                "additionalProperties": false,
                "properties": {
                    "experts": names("Names of experts, in the order that per-expert parameters follow; all of the zoo when missing."),
                },
            },
            "models": {
                "type": "object",
                "description": "Checkpoints that `fusebench merge` merges.",
                "additionalProperties": false,
                "properties": {
                    "base": { "type": "string", "description": "The model that the experts were fine-tuned from: a path or hub id." },
                    "experts": names("WHERE or NAME=WHERE, in the order that per-expert parameters follow."),
                    "dtype": { "enum": ["f32", "bf16", "f16", "f64"], "description": "Of the result; each tensor's own in the base when missing." },
                },
            },
            "evaluate": {
                "type": "object",
                "description": "What the fused model is evaluated on.",
                "additionalProperties": false,
                "properties": {
                    "tasks": names("Ids of tasks, in the order shown; all of the zoo when missing."),
                    "split": {
                        "enum": ["train", "validation", "test"], "default": "test",
                        "description": "Choose on validation, report on test.",
                    },
                    "limit": {
                        "type": "integer", "minimum": 1,
                        "description": "At most so many samples a task, the same ones in every run; all when missing.",
                    },
                    "corruption": {
                        "description": format!(
                            "What is done to the images, and how strongly (1 to {MOST}; {USUAL} when missing): gaussian_noise:5. \
                             Several of them, or all, are looked at in turn beside images as they are."
                        ),
                        "anyOf": [corruption(), { "type": "array", "items": corruption() }],
                    },
                },
            },
        },
    })
}

fn corruption() -> Json {
    let kinds = Kind::ALL.map(Kind::id).join("|");
    json!({ "type": "string", "pattern": format!("^(all|{kinds})(:[1-{MOST}])?$") })
}

fn alternative(method: &Method) -> Json {
    json!({
        "type": "object",
        "title": method.name,
        "description": method.summary,
        "required": ["id"],
        "additionalProperties": false,
        "properties": {
            "id": { "const": method.id, "description": format!("{}: {}", method.name, method.formula) },
            "params": json_schema(method.specs),
        },
    })
}
