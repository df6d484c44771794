//! PEFT LoRA adapters: read, and laid over the model that they were trained on (Hu et al. 2022, arXiv:2106.09685).
//!
//! W = W₀ + s·B·A with s = α/r, or α/√r (rsLoRA, arXiv:2312.03732); rank and α may differ by module. Whatever else the
//! file holds (`modules_to_save`, biases) takes the place of the model's own.

use super::low_rank::{LowRank, transposed};
use super::open::File;
use super::{Checkpoint, TensorInfo, WeightsError, header};
use serde::Deserialize;
use serde_json::{Map, Value as Json};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// What says how an adapter is to be used.
const CONFIG: &str = "adapter_config.json";

#[derive(Debug, Deserialize)]
struct Config {
    #[serde(default)]
    peft_type: Option<String>,
    #[serde(default)]
    base_model_name_or_path: Option<String>,
    #[serde(default)]
    r: Option<f64>,
    #[serde(default)]
    lora_alpha: Option<f64>,
    #[serde(default)]
    use_rslora: bool,
    #[serde(default)]
    use_dora: bool,
    #[serde(default)]
    fan_in_fan_out: bool,
    #[serde(default)]
    rank_pattern: Map<String, Json>,
    #[serde(default)]
    alpha_pattern: Map<String, Json>,
}

/// Whether `path` is the folder of an adapter and not of a model.
#[must_use]
pub fn is_adapter(path: &Path) -> bool {
    path.join(CONFIG).exists() && !path.join("model.safetensors").exists() && !path.join(super::shards::INDEX).exists()
}

/// The model that an adapter says it was trained on.
///
/// # Errors
/// A configuration that cannot be read.
pub fn adapter_base(path: &Path) -> Result<Option<String>, WeightsError> {
    Ok(config(path)?.base_model_name_or_path.filter(|name| !name.is_empty()))
}

fn config(folder: &Path) -> Result<Config, WeightsError> {
    let path = folder.join(CONFIG);
    let bytes = std::fs::read(&path).map_err(|source| WeightsError::Io { path: path.clone(), source })?;
    serde_json::from_slice(&bytes).map_err(|error| WeightsError::Malformed {
        label: path.display().to_string(),
        reason: format!("the adapter's configuration cannot be read: {error}"),
    })
}

impl Checkpoint {
    /// This model with the LoRA adapter in `folder` laid over it. Nothing is multiplied out: each read adds what it needs.
    ///
    /// # Errors
    /// An adapter that cannot be read, is of another kind, or was trained on another model.
    pub fn with_adapter(&self, folder: &Path) -> Result<Self, WeightsError> {
        let adapter = Adapter::open(folder)?;
        let file = self.files.len();
        let mut tensors = self.tensors().to_vec();
        let mut deltas = (*self.deltas).clone();
        for (module, pair) in &adapter.pairs {
            let delta = adapter.delta(self, module, pair)?;
            deltas.insert(delta.0, Arc::new(delta.1));
        }
        for info in &adapter.replaced {
            let name = plain(&info.name);
            let target = matching(self, &name, |other| other.shape == info.shape);
            let moved = TensorInfo { name: target.map_or(name, |found| found.name.clone()), file, ..info.clone() };
            match tensors.iter_mut().find(|tensor| tensor.name == moved.name) {
                Some(tensor) => *tensor = moved,
                None => tensors.push(moved),
            }
        }
        let mut files = self.files.to_vec();
        files.push(adapter.file);
        Ok(self.with_files(files, deltas).with_tensors(tensors))
    }
}

/// A and B of one module.
#[derive(Debug, Default)]
struct Pair {
    a: Option<TensorInfo>,
    b: Option<TensorInfo>,
    embedding: bool,
}

struct Adapter {
    label: String,
    config: Config,
    file: File,
    weights: Checkpoint,
    pairs: BTreeMap<String, Pair>,
    replaced: Vec<TensorInfo>,
}

impl Adapter {
    fn open(folder: &Path) -> Result<Self, WeightsError> {
        let label = folder.display().to_string();
        let config = config(folder)?;
        let refuse = |reason: String| WeightsError::Malformed { label: label.clone(), reason };
        let kind = config.peft_type.as_deref().unwrap_or("LORA");
        if !kind.eq_ignore_ascii_case("LORA") {
            return Err(refuse(format!("an adapter of kind {kind}; only LORA can be merged into weights here")));
        }
        if config.use_dora {
            return Err(refuse(
                "a DoRA adapter, which also rescales the model's own weights; merge it with PEFT first".to_owned(),
            ));
        }
        let path = folder.join("adapter_model.safetensors");
        if !path.exists() && folder.join("adapter_model.bin").exists() {
            return Err(WeightsError::Pickle { path: folder.join("adapter_model.bin") });
        }
        let file = File::map(&path)?;
        let (tensors, metadata) = header::read(&path.display().to_string(), file.source.bytes(), 0)?;
        let weights = Checkpoint::assemble(label.clone(), vec![file.clone()], tensors.clone(), metadata);
        let (mut pairs, mut replaced) = (BTreeMap::<String, Pair>::new(), Vec::new());
        for info in tensors {
            let Some((module, part)) = info.name.split_once(".lora_") else {
                replaced.push(info);
                continue;
            };
            let pair = pairs.entry(plain(module)).or_default();
            let (kind, _) = part.split_once('.').unwrap_or((part, ""));
            match kind {
                "A" | "embedding_A" => (pair.embedding, pair.a) = (kind != "A", Some(info)),
                "B" | "embedding_B" => pair.b = Some(info),
                _ => return Err(refuse(format!("tensor `{}` is of no kind that is known", info.name))),
            }
        }
        Ok(Self { label, config, file, weights, pairs, replaced })
    }

    /// The change of one module's weight, and which tensor of `model` that is.
    fn delta(&self, model: &Checkpoint, module: &str, pair: &Pair) -> Result<((usize, usize), LowRank), WeightsError> {
        let refuse = |reason: String| WeightsError::Malformed { label: self.label.clone(), reason };
        let (Some(a), Some(b)) = (&pair.a, &pair.b) else {
            return Err(refuse(format!("`{module}` has only one of its two matrices")));
        };
        let (Some(&rank), Some(&outputs)) = (a.shape.first(), b.shape.first()) else {
            return Err(refuse(format!("`{module}` has a scalar for a matrix")));
        };
        let inputs: usize = a.shape[1..].iter().product();
        if rank == 0 || b.shape[1..].iter().product::<usize>() != rank || outputs == 0 || inputs == 0 {
            return Err(refuse(format!("`{module}` has matrices of shapes {:?} and {:?}", a.shape, b.shape)));
        }
        let fits = |info: &TensorInfo| {
            let (rows, columns) = matrix(info);
            (rows, columns) == (outputs, inputs) || (rows, columns) == (inputs, outputs)
        };
        let wanted = format!("{module}.weight");
        let target = matching(model, &wanted, fits).ok_or_else(|| WeightsError::MissingTensor {
            label: format!("{} (which {} changes)", model.label(), self.label),
            tensor: wanted.clone(),
        })?;
        let read = |info: &TensorInfo| self.weights.require(&info.name).map(|tensor| tensor.to_vec());
        let (a, b) = (read(a)?, read(b)?);
        let square = inputs == outputs;
        let flipped = if square { pair.embedding || self.config.fan_in_fan_out } else { matrix(target).0 == inputs };
        // Stored `[in, out]`, the change is (BA)ᵀ = AᵀBᵀ.
        let (left, right, columns) =
            if flipped { (transposed(&a, inputs), transposed(&b, rank), outputs) } else { (b, a, inputs) };
        let scale = self.scale(module, rank)?;
        Ok(((target.file, target.range.start), LowRank { left, right, rank, columns, scale }))
    }

    /// α/r or α/√r with what the patterns say of this module.
    fn scale(&self, module: &str, rank: usize) -> Result<f32, WeightsError> {
        let config = &self.config;
        let alpha = self.pattern(&config.alpha_pattern, module)?.or(config.lora_alpha).unwrap_or(8.0);
        let stated = self.pattern(&config.rank_pattern, module)?.or(config.r);
        if stated.is_some_and(|stated| stated != rank as f64) {
            return Err(WeightsError::Malformed {
                label: self.label.clone(),
                reason: format!("`{module}` has rank {rank}, its configuration says {}", stated.unwrap_or_default()),
            });
        }
        let rank = rank as f64;
        Ok((alpha / if config.use_rslora { rank.sqrt() } else { rank }) as f32)
    }

    /// The number of the first pattern that names the module: by its last parts, or from its start after `^`.
    fn pattern(&self, patterns: &Map<String, Json>, module: &str) -> Result<Option<f64>, WeightsError> {
        for (pattern, value) in patterns {
            let (anchored, literal) = pattern.strip_prefix('^').map_or((false, pattern.as_str()), |rest| (true, rest));
            let literal = literal.replace("\\.", ".");
            if literal.contains(['*', '+', '?', '[', '(', '|', '\\', '{', '$']) {
                let reason =
                    format!("the pattern `{pattern}` is a regular expression, of which only names are understood");
                return Err(WeightsError::Malformed { label: self.label.clone(), reason });
            }
            if module == literal || (!anchored && module.ends_with(&format!(".{literal}"))) {
                return Ok(value.as_f64());
            }
        }
        Ok(None)
    }
}

/// Rows and columns of a weight, convolutions flattened as PEFT does.
fn matrix(info: &TensorInfo) -> (usize, usize) {
    let rows = info.shape.first().copied().unwrap_or(1);
    (rows, info.shape.iter().skip(1).product())
}

/// A module's or tensor's name as the model has it, without what PEFT puts around it.
fn plain(name: &str) -> String {
    let name = name.strip_prefix("base_model.model.").unwrap_or(name);
    name.replace(".modules_to_save.default", "").replace(".modules_to_save", "").replace(".base_layer", "")
}

/// The model's tensor of that name, or the only one that fits and differs by a prefix.
fn matching<'a>(model: &'a Checkpoint, name: &str, fits: impl Fn(&TensorInfo) -> bool) -> Option<&'a TensorInfo> {
    let all = || model.tensors().iter().filter(|info| fits(info));
    if let Some(exact) = all().find(|info| info.name == name) {
        return Some(exact);
    }
    let longer = |long: &str, short: &str| long.strip_suffix(short).is_some_and(|rest| rest.ends_with('.'));
    let mut similar = all().filter(|info| longer(&info.name, name) || longer(name, &info.name));
    similar.next().filter(|_| similar.next().is_none())
}

#[cfg(test)]
mod tests;
