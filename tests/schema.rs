//! The JSON Schema of presets says the same as the program: what one refuses, the other refuses.

use fusebench::engine::preset_schema;
use fusebench::fusion::METHODS;
use serde_json::Value as Json;

#[test]
fn the_committed_schema_is_fresh() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/schema/preset.json");
    let committed: Json = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!(committed, preset_schema(), "out of date: cargo run -- schema > assets/schema/preset.json");
}

#[test]
fn every_method_and_parameter_is_described() {
    let schema = preset_schema();
    let alternatives = schema["properties"]["method"]["oneOf"].as_array().unwrap();
    assert_eq!(alternatives.len(), METHODS.len());
    for (alternative, method) in alternatives.iter().zip(METHODS) {
        assert_eq!(alternative["properties"]["id"]["const"], method.id);
        assert_eq!(alternative["additionalProperties"], false);
        let params = &alternative["properties"]["params"];
        assert_eq!(params["additionalProperties"], false);
        for spec in method.specs {
            let property = &params["properties"][spec.name];
            assert!(property["description"].as_str().unwrap().starts_with(spec.help), "{}.{}", method.id, spec.name);
            assert!(!property["default"].is_null(), "{}.{}", method.id, spec.name);
        }
    }
}

#[test]
fn nothing_unknown_is_allowed_anywhere() {
    let schema = preset_schema();
    for object in [&schema, &schema["properties"]["pool"], &schema["properties"]["evaluate"]] {
        assert_eq!(object["additionalProperties"], false);
    }
    assert_eq!(schema["required"], serde_json::json!(["method"]));
}
