//! Vision towers, prefixes, buffers and tied weights.

use super::super::{Checkpoint, Source};
use super::*;

/// A checkpoint with one-element f32 tensors.
fn model(label: &str, tensors: &[(&str, f32)]) -> Checkpoint {
    let mut offset = 0;
    let entry = |(name, _): &(&str, f32)| {
        offset += 4;
        format!(r#""{name}":{{"dtype":"F32","shape":[1],"data_offsets":[{},{offset}]}}"#, offset - 4)
    };
    let header = format!("{{{}}}", tensors.iter().map(entry).collect::<Vec<_>>().join(","));
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend(tensors.iter().flat_map(|(_, value)| value.to_le_bytes()));
    Checkpoint::from_source(label, Source::Owned(bytes.into())).unwrap()
}

fn names(model: &Checkpoint) -> Vec<&str> {
    model.tensors().iter().map(|info| info.name.as_str()).collect()
}

fn value(model: &Checkpoint, name: &str) -> f32 {
    model.get(name).unwrap().to_vec()[0]
}

const TOWER: [(&str, f32); 2] = [("embeddings.class_embedding", 1.0), ("encoder.layers.0.mlp.fc1.bias", 2.0)];
const PREFIXED: [(&str, f32); 2] =
    [("vision_model.embeddings.class_embedding", 3.0), ("vision_model.encoder.layers.0.mlp.fc1.bias", 4.0)];
const FULL: [(&str, f32); 6] = [
    ("logit_scale", 9.0),
    ("text_model.encoder.layers.0.mlp.fc1.bias", 9.0),
    ("vision_model.embeddings.class_embedding", 5.0),
    ("vision_model.embeddings.position_ids", 0.0),
    ("vision_model.encoder.layers.0.mlp.fc1.bias", 6.0),
    ("visual_projection.weight", 9.0),
];

#[test]
fn a_full_clip_gives_its_vision_tower_in_either_form() {
    for tower in [TOWER, PREFIXED] {
        let mut models = [model("full", &FULL), model("tower", &tower), model("bare", &TOWER)];
        let notes = align(&mut models);
        assert_eq!(names(&models[0]), names(&models[1]), "{notes:?}");
        assert_eq!(names(&models[2]), names(&models[1]));
        assert_eq!(value(&models[0], tower[1].0), 6.0);
        assert_eq!(value(&models[2], tower[1].0), 2.0);
        assert!(!notes.is_empty());
    }
}

#[test]
fn two_full_clips_stay_full_and_equal_models_are_untouched() {
    let mut models = [model("a", &FULL), model("b", &FULL)];
    assert_eq!(align(&mut models), Vec::<String>::new());
    assert_eq!(models[0].tensors().len(), 6);
}

#[test]
fn models_that_do_not_belong_together_are_left_to_the_pool() {
    let mut models = [model("a", &TOWER), model("b", &[("w", 1.0), ("x", 2.0), ("y", 3.0)])];
    assert!(align(&mut models).is_empty());
    assert_eq!(models[1].tensors().len(), 3);
}

#[test]
fn tied_heads_are_kept_once_or_untied_for_all() {
    let tied = [("lm_head.weight", 1.0), ("model.embed_tokens.weight", 1.0)];
    let left_out = [("model.embed_tokens.weight", 2.0)];
    let untied = [("lm_head.weight", 5.0), ("model.embed_tokens.weight", 3.0)];
    let mut models = [model("tied", &tied), model("left out", &left_out)];
    align(&mut models);
    assert!(models.iter().all(|model| names(model) == ["model.embed_tokens.weight"]));
    let mut models = [model("left out", &left_out), model("untied", &untied), model("tied", &tied)];
    align(&mut models);
    assert_eq!(value(&models[0], "lm_head.weight"), 2.0);
    assert_eq!(value(&models[1], "lm_head.weight"), 5.0);
    // All store both and no configuration says that they are tied.
    let mut models = [model("a", &tied), model("b", &tied)];
    align(&mut models);
    assert!(models.iter().all(|model| model.tensors().len() == 2));
}
