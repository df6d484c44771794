//! FusionBench's model pools, as they are now and as they were before version 0.2.

use super::super::error::Fault;
use super::super::node::{Kind, Map, Node};
use super::super::reference;
use super::compose::{Tree, last, target};
use crate::weights::DType;

/// The models of a pool.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pool {
    /// `_pretrained_`.
    pub base: Option<String>,
    /// Name and place, in order.
    pub experts: Vec<(String, String)>,
    /// In which the models are loaded, and so merged.
    pub dtype: Option<String>,
}

/// Names that are no experts.
const SPECIAL: &str = "_pretrained_";

pub(super) fn read(node: &Node, tree: &Tree, notes: &mut Vec<String>) -> Result<Pool, Fault> {
    let map = node.map("the model pool")?;
    let models = map.get("models").ok_or_else(|| Fault::at(map.at, "`models` is missing in the model pool"))?;
    // `path` is where a key stands in the file, for relative references.
    let at_root = std::ptr::eq(node, &raw const tree.node);
    let mut path: Vec<&str> = if at_root { vec![] } else { vec!["modelpool"] };
    path.push("models");
    let mut pool = Pool { dtype: dtype(&map)?, ..Pool::default() };
    let mut entries: Vec<(String, String, &Node)> = Vec::new();
    match &models.kind {
        Kind::Map(fields) => {
            for (key, value) in fields.iter().filter(|(_, value)| !value.is_null()) {
                path.push(&key.text);
                let place = reference::checked(value, "models", &place(value, tree, &path)?)?;
                entries.push((key.text.clone(), place, value));
                path.pop();
            }
        }
        Kind::List(items) => {
            notes.push("this pool has the form of FusionBench before 0.2 (`models` is a list)".to_owned());
            for item in items {
                let legacy = "a model of the legacy form, which has `name` and `path`";
                let map = item.map("a model").map_err(|_| item.wrong("models", legacy))?;
                let name = map.get("name").ok_or_else(|| item.wrong("models", legacy))?.text("name")?.to_owned();
                let found = map.get("path").ok_or_else(|| item.wrong("models", legacy))?;
                entries.push((name, reference::checked(found, "path", &tree.text(found, &["path"])?)?, item));
            }
        }
        Kind::Scalar { .. } => {
            // `???`, or a reference to something that is not text.
            tree.text(models, &path)?;
            return Err(models.wrong("models", "a map of names and places"));
        }
    }
    for (name, place, node) in entries {
        if name == SPECIAL {
            pool.base = Some(place);
        } else if name.len() > 2 && name.starts_with('_') && name.ends_with('_') {
            notes.push(format!("`{name}` is a special name and no expert"));
        } else if pool.experts.iter().any(|(known, _)| *known == name) {
            return Err(node.fault(format!("two models are called `{name}`")));
        } else {
            pool.experts.push((name, place));
        }
    }
    if pool.experts.is_empty() && pool.base.is_none() {
        return Err(models.fault("the pool has no models"));
    }
    Ok(pool)
}

/// Where a model lies: text, or a loader with its arguments.
fn place(node: &Node, tree: &Tree, path: &[&str]) -> Result<String, Fault> {
    let Kind::Map(_) = &node.kind else { return tree.text(node, path) };
    let map = node.map("a model")?;
    let loader = match map.get("_target_") {
        Some(node) => tree.text(node, &[path, &["_target_"]].concat())?,
        None => String::new(),
    };
    let argument = |key: &str| map.get(key).map(|node| tree.text(node, &[path, &[key]].concat())).transpose();
    let first = |keys: &[&str]| -> Result<Option<String>, Fault> {
        keys.iter().find_map(|key| argument(key).transpose()).transpose()
    };
    if last(&loader) == "load_l_lora_vision_model_hf" {
        return Err(node
            .fault("a linearised LoRA (L-LoRA) cannot be folded into a model's weights exactly")
            .hint("use an ordinary LoRA adapter or the full fine-tune"));
    }
    let adapter = first(&["peft_name", "peft_model_path"])?;
    let model = first(&[
        "base_model_name",
        "base_model_path",
        "pretrained_model_name_or_path",
        "pickle_path",
        "state_dict_path",
        "path",
        "model_name",
    ])?;
    match (model, adapter) {
        (Some(model), Some(adapter)) => Ok(format!("{model}+{adapter}")),
        (Some(model), None) => Ok(model),
        (None, _) => {
            let name = path.last().copied().unwrap_or_default();
            let loader = if loader.is_empty() { String::new() } else { format!(" (`{loader}`)") };
            Err(node
                .fault(format!("it is not clear where the model `{name}`{loader} lies"))
                .hint("give it as text: a path or a hub id"))
        }
    }
}

/// `model_kwargs.torch_dtype`, or `dtype`.
fn dtype(map: &Map<'_>) -> Result<Option<String>, Fault> {
    let kwargs = map.get("model_kwargs").map(|node| node.map("model_kwargs")).transpose()?;
    let inner = kwargs.and_then(|kwargs| kwargs.get("torch_dtype").or_else(|| kwargs.get("dtype")));
    let Some(node) = inner.or_else(|| map.get("dtype")) else { return Ok(None) };
    let name = node.text("torch_dtype")?;
    let short = match last(name) {
        "auto" => return Ok(None),
        "bf16" => "bfloat16",
        "fp16" | "half" => "float16",
        "fp32" | "float" => "float32",
        other => other,
    };
    let found =
        [DType::F64, DType::F32, DType::F16, DType::Bf16].into_iter().find(|dtype| dtype.torch_name() == Some(short));
    found.map(|dtype| Some(dtype.to_string())).ok_or_else(|| node.wrong("torch_dtype", "float32, bfloat16 or float16"))
}

/// Whether a map is a pool's.
pub(super) fn is_pool(map: &Map<'_>) -> Result<bool, Fault> {
    Ok(map.get("models").is_some() || target(map)?.is_some_and(|name| last(&name).ends_with("Pool")))
}
