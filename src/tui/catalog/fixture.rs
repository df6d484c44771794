//! A small catalogue made of real (tiny) checkpoints, for the tests of all screens.
#![allow(clippy::missing_panics_doc)]

use super::{Catalog, Recorded};
use crate::fusion::{Method, Pool};
use crate::tasks::{Images, Split, Task};
use crate::weights::{Checkpoint, DType, Data, Source, Tensor};

/// Ids of the tasks, which are also the experts' names.
pub const TASKS: [&str; 8] = ["mnist", "fashion", "animals", "optdigits", "letters", "scripts", "emoji", "clipart"];

const BASE: [f64; 8] = [0.87, 0.49, 0.61, 0.87, 0.59, 0.24, 0.34, 0.46];
const EXPERT: [f64; 8] = [0.96, 0.79, 0.83, 0.98, 0.79, 0.44, 0.58, 0.56];

/// Eight tasks, one base, eight experts of two layers each.
#[must_use]
pub fn catalog() -> Catalog {
    with_methods(&[])
}

/// The same with methods to choose from.
#[must_use]
pub fn with_methods(methods: &'static [&'static Method]) -> Catalog {
    let recorded = |id: &str, _: Split| {
        let at = TASKS.iter().position(|task| *task == id).unwrap();
        Recorded { base: Some(BASE[at]), expert: Some(EXPERT[at]) }
    };
    Catalog::new(&tasks(), &pool(), methods, recorded)
}

#[must_use]
pub fn tasks() -> Vec<Task> {
    let task = |id: &&str| Task {
        id: (*id).to_owned(),
        title: format!("{id} pictures, 28×28"),
        classes: (0..10).map(|class| format!("{id} {class}")).collect(),
        train: 5000,
        validation: 500,
        test: 2000,
        source: format!("npm `{id}` 1.1.0"),
        licence: "MIT".to_owned(),
    };
    TASKS.iter().map(task).collect()
}

/// A base and eight experts that differ from it by a small step of their own.
#[must_use]
pub fn pool() -> Pool {
    let base = checkpoint("base", 0.0);
    let experts =
        TASKS.iter().enumerate().map(|(at, name)| ((*name).to_owned(), checkpoint(name, 0.25 * (at + 1) as f32)));
    Pool::new(Some(base), experts.collect()).unwrap()
}

fn checkpoint(label: &str, step: f32) -> Checkpoint {
    let mut shapes: Vec<(String, Vec<usize>)> = vec![
        ("vision_model.embeddings.class_embedding".into(), vec![4]),
        ("vision_model.embeddings.patch_embedding.weight".into(), vec![4, 3, 7, 7]),
    ];
    for layer in 0..2 {
        let prefix = format!("vision_model.encoder.layers.{layer}");
        shapes.push((format!("{prefix}.self_attn.q_proj.weight"), vec![4, 4]));
        shapes.push((format!("{prefix}.self_attn.q_proj.bias"), vec![4]));
        shapes.push((format!("{prefix}.mlp.fc1.weight"), vec![8, 4]));
    }
    shapes.push(("visual_projection.weight".into(), vec![2, 4]));
    let tensor = |(name, shape): (String, Vec<usize>)| {
        let turn = (4.0 * step) as usize;
        let values =
            (0..shape.iter().product()).map(|at: usize| 1.0 + step * ((at * (turn + 2)) % 11) as f32 / 50.0).collect();
        Tensor { name, shape, dtype: DType::F16, data: Data::Float(values) }
    };
    let tensors: Vec<Tensor> = shapes.into_iter().map(tensor).collect();
    let bytes = safetensors::serialize(tensors.iter().map(|tensor| (tensor.name.as_str(), tensor)), None).unwrap();
    Checkpoint::from_source(label, Source::Owned(bytes.into())).unwrap()
}

/// `n` grayscale pictures of 8×8, left half black and right half as bright as the label.
#[must_use]
pub fn images(n: usize, classes: u16) -> Images {
    let labels: Vec<u16> = (0..n).map(|at| at as u16 % classes).collect();
    let pixels = labels.iter().flat_map(|label| {
        let bright = 255 - *label as u8 * 10;
        (0..64).map(move |at| if at % 8 < 4 { 0 } else { bright })
    });
    Images { height: 8, width: 8, channels: 1, pixels: pixels.collect(), labels }
}
