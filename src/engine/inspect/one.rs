//! What one checkpoint holds.

use super::alarms::{Alarm, Kind, count};
use super::blocks::Blocks;
use super::facts::{self, AdapterFacts, ConfigFact, Origin};
use crate::cancel::Cancel;
use crate::engine::EngineError;
use crate::engine::merge::{Input, open};
use crate::fusion::{Patterns, layer};
use crate::weights::{Checkpoint, Location, Stats, TensorRef, Tie, is_adapter, ties};
use serde::Serialize;
use std::collections::BTreeMap;

/// One tensor.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TensorSummary {
    pub name: String,
    pub shape: Vec<usize>,
    pub dtype: String,
    pub bytes: usize,
    /// Whether the adapter that lies over the model changes it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub adapted: bool,
    #[serde(skip_serializing_if = "Option::is_none", flatten)]
    pub stats: Option<StatsSummary>,
}

/// Statistics with what follows from them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct StatsSummary {
    #[serde(flatten)]
    pub stats: Stats,
    pub std: f64,
    pub norm: f64,
    pub zero_share: f64,
}

impl From<Stats> for StatsSummary {
    fn from(stats: Stats) -> Self {
        Self { std: stats.std(), norm: stats.norm(), zero_share: stats.zero_share(), stats }
    }
}

/// Consecutive blocks that are built the same, told once.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BlockSummary {
    pub name: String,
    /// How many there are of it.
    pub times: usize,
    /// Of all of them together.
    pub tensors: usize,
    pub parameters: usize,
    pub bytes: usize,
    /// The tensors of one, by their names below the block, as indices into [`Inspection::tensors`] of the first.
    #[serde(skip)]
    pub members: Vec<(String, usize)>,
    #[serde(skip_serializing_if = "Option::is_none", flatten)]
    pub stats: Option<StatsSummary>,
}

/// All that is known of a checkpoint.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Inspection {
    /// As it was asked for, and where it was found.
    pub checkpoint: String,
    pub path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    pub files: Vec<String>,
    /// Elements of float tensors.
    pub parameters: usize,
    /// Bytes of tensors.
    pub bytes: usize,
    /// Dtypes with the number of tensors that have them.
    pub dtypes: BTreeMap<String, usize>,
    pub config: Vec<ConfigFact>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adapter: Option<AdapterFacts>,
    pub ties: Vec<Tie>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// The header's `__metadata__`, without what `origin` says.
    pub metadata: BTreeMap<String, String>,
    pub blocks: Vec<BlockSummary>,
    pub tensors: Vec<TensorSummary>,
    pub alarms: Vec<Alarm>,
}

/// Looks into the checkpoint at `given`: a folder, file, hub id, adapter or `MODEL+ADAPTER`. Only tensors that match
/// `filter` (all when missing) are looked at; `statistics` reads their values. `progress` is told bytes done, of all.
///
/// # Errors
/// What cannot be found or opened; a filter that nothing matches; cancellation.
pub fn inspect(
    given: &str,
    filter: Option<&str>,
    statistics: bool,
    cancel: &Cancel,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Inspection, EngineError> {
    let Input { location, adapter, checkpoint, .. } = find(given)?;
    let kept = match filter {
        None => checkpoint.clone(),
        Some(pattern) => {
            let patterns = Patterns::new(pattern);
            let kept = checkpoint.renamed(|name| Some(name.to_owned()).filter(|name| patterns.matches(name)));
            if kept.tensors().is_empty() {
                return Err(EngineError::NothingMatches { pattern: pattern.to_owned(), label: given.to_owned() });
            }
            kept
        }
    };
    let adapter_folder = adapter.as_ref().unwrap_or(&location).path.clone();
    let origin = Origin::read(&checkpoint);
    let told = |key: &str| origin.is_some() && key.starts_with("fusebench.");
    let mut inspection = Inspection {
        checkpoint: given.to_owned(),
        path: location.path.display().to_string(),
        commit: location.commit.clone(),
        files: checkpoint.paths().map(|path| path.display().to_string()).collect(),
        parameters: kept.parameters(),
        bytes: kept.tensors().iter().map(|info| info.bytes()).sum(),
        dtypes: BTreeMap::new(),
        config: checkpoint.folder().map(facts::config).unwrap_or_default(),
        adapter: AdapterFacts::read(&adapter_folder),
        ties: ties(&checkpoint),
        metadata: checkpoint
            .metadata()
            .iter()
            .filter(|(key, _)| !told(key))
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect(),
        origin,
        blocks: Vec::new(),
        tensors: Vec::new(),
        alarms: Vec::new(),
    };
    let (mut done, total) = (0, inspection.bytes as u64);
    for tensor in kept.iter() {
        cancel.check()?;
        progress(done, total);
        let stats = if statistics { Some(Stats::of(&tensor, cancel)?) } else { None };
        done += tensor.info.bytes() as u64;
        *inspection.dtypes.entry(tensor.info.dtype.to_string()).or_default() += 1;
        inspection.tensors.push(summary(&tensor, stats));
    }
    inspection.blocks = blocks(&kept, &inspection.tensors);
    inspection.alarms = alarms(&inspection);
    checkpoint.check_unchanged()?;
    Ok(inspection)
}

/// An adapter alone is looked at as it is; its model need not be there.
fn find(given: &str) -> Result<Input, EngineError> {
    match Location::find(given) {
        Ok(location) if is_adapter(&location.path) => {
            let checkpoint = Checkpoint::open(&location.path.join("adapter_model.safetensors"))?.labelled(given);
            Ok(Input { name: given.to_owned(), location, adapter: None, checkpoint })
        }
        _ => open(given.to_owned(), given, None),
    }
}

fn summary(tensor: &TensorRef<'_>, stats: Option<Stats>) -> TensorSummary {
    let info = tensor.info;
    TensorSummary {
        name: info.name.clone(),
        shape: info.shape.clone(),
        dtype: info.dtype.to_string(),
        bytes: info.bytes(),
        adapted: tensor.is_adapted(),
        stats: stats.map(StatsSummary::from),
    }
}

/// Blocks in order; neighbours with the same tensors become one, unless their statistics tell them apart.
fn blocks(checkpoint: &Checkpoint, tensors: &[TensorSummary]) -> Vec<BlockSummary> {
    let mut summaries: Vec<BlockSummary> = Vec::new();
    let blocks = Blocks::of(checkpoint.tensors());
    // What a member is within its block: its name below the layer's number, its shape and dtype.
    let below = |name: &str| layer(name).map_or(name, |(_, _, rest)| rest).to_owned();
    let mut ends: Vec<String> = Vec::new();
    for (name, members) in blocks.iter() {
        let floats = |&&at: &&usize| checkpoint.tensors()[at].dtype.is_float();
        let stats = members.iter().filter(floats).filter_map(|&at| tensors[at].stats).map(|summary| summary.stats);
        let block = BlockSummary {
            name: name.to_owned(),
            times: 1,
            tensors: members.len(),
            parameters: members.iter().filter(floats).map(|&at| checkpoint.tensors()[at].len()).sum(),
            bytes: members.iter().map(|&at| tensors[at].bytes).sum(),
            members: members.iter().map(|&at| (below(&tensors[at].name), at)).collect(),
            stats: stats.reduce(Stats::with).map(StatsSummary::from),
        };
        let same = |other: &&mut BlockSummary| {
            let alike = |((a, i), (b, j)): (&(String, usize), &(String, usize))| {
                a == b && tensors[*i].shape == tensors[*j].shape && tensors[*i].dtype == tensors[*j].dtype
            };
            other.stats.is_none()
                && other.members.len() == block.members.len()
                && other.members.iter().zip(&block.members).all(alike)
        };
        match summaries.last_mut().filter(same) {
            Some(last) => {
                last.times += 1;
                last.tensors += block.tensors;
                last.parameters += block.parameters;
                last.bytes += block.bytes;
                if let Some(end) = ends.last_mut() {
                    *end = block.name;
                }
            }
            None => {
                ends.push(block.name.clone());
                summaries.push(block);
            }
        }
    }
    for (summary, end) in summaries.iter_mut().zip(ends).filter(|(summary, _)| summary.times > 1) {
        let number = end.rsplit(' ').next().unwrap_or(&end);
        summary.name = format!("{} to {number}", summary.name.replacen("layer ", "layers ", 1));
    }
    summaries
}

/// What is wrong with the model by itself.
fn alarms(inspection: &Inspection) -> Vec<Alarm> {
    let model = inspection.checkpoint.as_str();
    let named = |wanted: &dyn Fn(&TensorSummary, &Stats) -> bool| -> Vec<String> {
        let stats = inspection.tensors.iter().filter_map(|tensor| Some((tensor, tensor.stats?.stats)));
        stats.filter(|(tensor, stats)| wanted(tensor, stats)).map(|(tensor, _)| tensor.name.clone()).collect()
    };
    let mut alarms = Vec::new();
    let broken = named(&|_, stats| stats.finite() < stats.count);
    if !broken.is_empty() {
        let text = format!("{} with NaN or infinities", count(broken.len(), "tensor"));
        alarms.push(Alarm::error(Kind::NotFinite, model, text).about(&broken));
    }
    // Biases of zero and norms of one are how layers begin; a matrix of one value is not.
    let dead = named(&|tensor, stats| tensor.shape.iter().filter(|&&side| side > 1).count() > 1 && stats.is_constant());
    if !dead.is_empty() {
        let text = format!("{} with one and the same value everywhere", count(dead.len(), "tensor"));
        alarms.push(Alarm::warning(Kind::Dead, model, text).about(&dead));
    }
    alarms
}
