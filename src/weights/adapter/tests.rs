//! Adapters as PEFT writes them, against the product multiplied out.

use super::super::{Checkpoint, DType, Data, StateDict, Tensor, WeightsError, write_safetensors};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

fn tensor(name: &str, shape: &[usize], seed: usize) -> Tensor {
    let values = (0..shape.iter().product::<usize>()).map(|at| ((at * 7 + seed * 5) % 11) as f32 - 5.0).collect();
    Tensor { name: name.to_owned(), shape: shape.to_vec(), dtype: DType::F32, data: Data::Float(values) }
}

struct World(TempDir);

impl World {
    fn new(model: Vec<Tensor>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        write(&folder.path().join("model/model.safetensors"), model);
        Self(folder)
    }

    fn adapter(&self, config: &str, tensors: Vec<Tensor>) -> PathBuf {
        let folder = self.0.path().join("adapter");
        write(&folder.join("adapter_model.safetensors"), tensors);
        fs::write(folder.join("adapter_config.json"), config).unwrap();
        folder
    }

    fn with(&self, config: &str, tensors: Vec<Tensor>) -> Result<Checkpoint, WeightsError> {
        Checkpoint::open(&self.0.path().join("model")).unwrap().with_adapter(&self.adapter(config, tensors))
    }
}

fn write(path: &Path, tensors: Vec<Tensor>) {
    write_safetensors(path, &StateDict::new(tensors), &BTreeMap::new()).unwrap();
}

/// W + s·B·A with `flipped` for weights stored `[in, out]`.
fn expected(w: &Tensor, a: &Tensor, b: &Tensor, scale: f32, flipped: bool) -> Vec<f32> {
    let (rank, outputs) = (a.shape[0], b.shape[0]);
    let inputs = a.values().unwrap().len() / rank;
    let mut out = w.values().unwrap().to_vec();
    for o in 0..outputs {
        for i in 0..inputs {
            let sum: f32 =
                (0..rank).map(|k| b.values().unwrap()[o * rank + k] * a.values().unwrap()[k * inputs + i]).sum();
            out[if flipped { i * outputs + o } else { o * inputs + i }] += scale * sum;
        }
    }
    out
}

const LAYER: &str = "encoder.layers.0.self_attn.q_proj";

fn names(module: &str, a: &str, b: &str) -> (String, String) {
    (format!("base_model.model.{module}.{a}.weight"), format!("base_model.model.{module}.{b}.weight"))
}

#[test]
fn scales_patterns_and_prefixes() {
    let w = tensor(&format!("vision_model.{LAYER}.weight"), &[6, 4], 1);
    // The text tower's layer of the same name has another shape.
    let text = tensor(&format!("text_model.{LAYER}.weight"), &[3, 3], 2);
    let world = World::new(vec![w.clone(), text.clone()]);
    let (a, b) = names(LAYER, "lora_A", "lora_B");
    let (a, b) = (tensor(&a, &[2, 4], 3), tensor(&b, &[6, 2], 4));
    for (config, scale) in [
        (r#"{"peft_type":"LORA","r":2,"lora_alpha":6}"#, 3.0),
        (r#"{"r":2,"lora_alpha":6,"use_rslora":true}"#, (6.0 / 2f64.sqrt()) as f32),
        (r#"{"r":9,"lora_alpha":6,"rank_pattern":{"q_proj":2},"alpha_pattern":{"self_attn.q_proj":1}}"#, 0.5),
        (r#"{"r":2,"lora_alpha":6,"alpha_pattern":{"^q_proj":1,"k_proj":7,"proj":9}}"#, 3.0),
    ] {
        let laid = world.with(config, vec![a.clone(), b.clone()]).unwrap();
        let found = laid.require(&w.name).unwrap();
        let exact = expected(&w, &a, &b, scale, false);
        assert_eq!(found.to_vec(), exact, "{config}");
        assert_eq!(found.read(5..19, &mut Vec::new()), &exact[5..19]);
        assert_eq!(found.to_f64_vec(), exact.iter().map(|x| f64::from(*x)).collect::<Vec<_>>());
        assert_eq!(laid.require(&text.name).unwrap().to_vec(), text.values().unwrap());
        // Under another name it is the same.
        let renamed = laid.renamed(|name| name.strip_prefix("vision_model.").map(str::to_owned));
        assert_eq!(renamed.require(&format!("{LAYER}.weight")).unwrap().to_vec(), exact);
    }
}

#[test]
fn transposed_weights_embeddings_convolutions_and_replaced_modules() {
    let conv1d = tensor("h.0.attn.c_attn.weight", &[4, 6], 1);
    let square = tensor("h.0.attn.c_proj.weight", &[4, 4], 2);
    let embedding = tensor("wte.weight", &[5, 4], 3);
    let conv = tensor("patch.weight", &[6, 2, 2, 1], 4);
    let (bias, head) = (tensor("h.0.attn.c_attn.bias", &[6], 5), tensor("score.weight", &[2, 4], 6));
    let world = World::new([&conv1d, &square, &embedding, &conv, &bias, &head].map(Clone::clone).to_vec());
    let pair = |module: &str, a: (&str, &[usize]), b: (&str, &[usize])| {
        let (first, second) = names(module, a.0, b.0);
        [tensor(&first, a.1, 7), tensor(&second, b.1, 8)]
    };
    let pairs = [
        (&conv1d, pair("h.0.attn.c_attn", ("lora_A", &[2, 4]), ("lora_B", &[6, 2])), true),
        (&square, pair("h.0.attn.c_proj", ("lora_A.default", &[2, 4]), ("lora_B.default", &[4, 2])), true),
        (&conv, pair("patch", ("lora_A", &[2, 2, 2, 1]), ("lora_B", &[6, 2, 1, 1])), false),
    ];
    let mut embedded = pair("wte", ("lora_embedding_A", &[2, 5]), ("lora_embedding_B", &[4, 2]));
    for tensor in &mut embedded {
        tensor.name = tensor.name.trim_end_matches(".weight").to_owned();
    }
    let mut tensors: Vec<Tensor> = pairs.iter().flat_map(|(_, pair, _)| pair.clone()).collect();
    tensors.extend(embedded.clone());
    let new_bias = tensor("base_model.model.h.0.attn.c_attn.bias", &[6], 9);
    let new_head = tensor("base_model.model.score.modules_to_save.default.weight", &[2, 4], 10);
    tensors.extend([new_bias.clone(), new_head.clone()]);
    let laid = world.with(r#"{"r":2,"lora_alpha":4,"fan_in_fan_out":true}"#, tensors).unwrap();
    for (w, [a, b], flipped) in &pairs {
        assert_eq!(laid.require(&w.name).unwrap().to_vec(), expected(w, a, b, 2.0, *flipped), "{}", w.name);
    }
    let [a, b] = &embedded;
    assert_eq!(laid.require("wte.weight").unwrap().to_vec(), expected(&embedding, a, b, 2.0, true));
    assert_eq!(laid.require(&bias.name).unwrap().to_vec(), new_bias.values().unwrap());
    assert_eq!(laid.require(&head.name).unwrap().to_vec(), new_head.values().unwrap());
    assert_eq!(laid.tensors().len(), 6);
}

#[test]
fn what_does_not_fit_is_said() {
    let world = World::new(vec![tensor(&format!("{LAYER}.weight"), &[6, 4], 1)]);
    let (a, b) = names(LAYER, "lora_A", "lora_B");
    let pair = |rank| vec![tensor(&a, &[rank, 4], 3), tensor(&b, &[6, rank], 4)];
    let message = |config: &str, tensors| {
        let error = world.with(config, tensors).unwrap_err();
        assert!(!error.hint().is_empty());
        error.to_string()
    };
    assert!(message(r#"{"r":4}"#, pair(2)).contains("has rank 2, its configuration says 4"));
    assert!(message(r#"{"peft_type":"IA3"}"#, pair(2)).contains("of kind IA3"));
    assert!(message(r#"{"use_dora":true}"#, pair(2)).contains("DoRA"));
    assert!(message(r#"{"r":2,"alpha_pattern":{"layers\\.[0-9]+.*":3}}"#, pair(2)).contains("regular expression"));
    assert!(message("{}", pair(2)[..1].to_vec()).contains("only one of its two matrices"));
    assert!(message("[", pair(2)).contains("configuration cannot be read"));
    let (other_a, other_b) = names("decoder.fc", "lora_A", "lora_B");
    let other = vec![tensor(&other_a, &[2, 4], 3), tensor(&other_b, &[6, 2], 4)];
    assert!(message(r#"{"r":2}"#, other).contains("`decoder.fc.weight` is missing"));
    let alone = Checkpoint::open(&world.adapter(r#"{"r":2}"#, pair(2))).unwrap_err();
    assert!(matches!(alone, WeightsError::Adapter { .. }), "{alone}");
    assert!(super::is_adapter(&world.0.path().join("adapter")) && !super::is_adapter(&world.0.path().join("model")));
}
