//! A base and its experts, compared block by block.

use super::alarms::{Alarm, Kind, Severity, count};
use super::blocks::Blocks;
use super::measures::{BlockMeasures, Rank};
use super::structure::{self, Fit};
use crate::cancel::Cancel;
use crate::engine::EngineError;
use crate::engine::merge::open_all;
use crate::fusion::{Divergence, Pool, divergence, effective_rank};
use crate::weights::{Checkpoint, TensorInfo, align};
use serde::Serialize;
use std::path::Path;

/// Below this median cosine between the matrices of two models they are not related: independent weights have 0.
const UNRELATED: f64 = 0.3;
/// Below this one they are hardly: fine-tuned models stay above 0.9.
const DISTANT: f64 = 0.8;
/// So much of a model must be unrelated to be worth a word where the rest is not.
const REPLACED: f64 = 0.1;

/// The models to compare, under the same names where that was possible.
#[derive(Debug, Clone)]
pub struct Models {
    base: Checkpoint,
    experts: Vec<(String, Checkpoint)>,
    /// What was found before they were made comparable.
    alarms: Vec<Alarm>,
    /// What had to be done to make them comparable.
    notes: Vec<String>,
}

impl Models {
    /// Opens a base and experts as [`Inputs`](crate::engine::merge::Inputs) does, but lets them differ.
    ///
    /// # Errors
    /// What cannot be found or read; names that stand twice.
    pub fn open(base: &str, experts: &[String]) -> Result<Self, EngineError> {
        let (base, experts) = open_all(Some(base), experts)?;
        let Some(base) = base else { return Err(EngineError::NothingToCompare) };
        let experts: Vec<(String, Checkpoint)> =
            experts.into_iter().map(|input| (input.name, input.checkpoint)).collect();
        let folders: Vec<(&str, Option<&Path>)> =
            experts.iter().map(|(name, expert)| (name.as_str(), expert.folder())).collect();
        let mut alarms = structure::vocabularies(base.checkpoint.folder(), &folders);
        alarms.extend(structure::tied(&base.checkpoint, &experts));
        let mut models: Vec<Checkpoint> =
            std::iter::once(&base.checkpoint).chain(experts.iter().map(|(_, e)| e)).cloned().collect();
        let notes = align(&mut models);
        let mut models = models.into_iter();
        let base = models.next().unwrap_or(base.checkpoint);
        let experts = experts.into_iter().zip(models).map(|((name, _), model)| (name, model)).collect();
        Ok(Self { base, experts, alarms, notes })
    }

    /// The models of a pool that has a base.
    #[must_use]
    pub fn of(pool: &Pool) -> Option<Self> {
        let base = pool.base()?.clone();
        let experts = pool.experts().to_vec();
        let alarms = structure::tied(&base, &experts);
        Some(Self { base, experts, alarms, notes: Vec::new() })
    }

    /// Sees that no file has changed since it was opened.
    ///
    /// # Errors
    /// The first that has.
    pub fn check_unchanged(&self) -> Result<(), EngineError> {
        self.base.check_unchanged()?;
        Ok(self.experts.iter().try_for_each(|(_, expert)| expert.check_unchanged())?)
    }
}

/// One thing that was found out.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// What will be compared; said first.
    Begin {
        experts: Vec<String>,
        left_out: Vec<String>,
        blocks: Vec<String>,
        notes: Vec<String>,
    },
    /// A block's numbers, and those of all blocks so far.
    Block {
        at: usize,
        block: Box<BlockMeasures>,
        whole: Box<BlockMeasures>,
    },
    /// A block's effective ranks, one an expert.
    Ranks {
        at: usize,
        ranks: Vec<Rank>,
    },
    Alarm(Alarm),
    /// Bytes of tensors compared, of all.
    Progress {
        done: u64,
        total: u64,
    },
}

/// What became of a comparison; while it is going on, as much of it as is known.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Diff {
    /// The experts that were compared, in the order of all numbers.
    pub experts: Vec<String>,
    /// Experts that share too little with the base to be compared; alarms say why.
    pub left_out: Vec<String>,
    /// What had to be done to make the models comparable.
    pub notes: Vec<String>,
    pub alarms: Vec<Alarm>,
    /// All blocks together.
    pub whole: BlockMeasures,
    pub blocks: Vec<BlockMeasures>,
    /// Names of all blocks, measured yet or not.
    #[serde(skip)]
    pub names: Vec<String>,
}

impl Diff {
    /// Takes in one step.
    pub fn apply(&mut self, step: &Step) {
        match step {
            Step::Begin { experts, left_out, blocks, notes } => {
                *self = Self {
                    experts: experts.clone(),
                    left_out: left_out.clone(),
                    names: blocks.clone(),
                    notes: notes.clone(),
                    ..Self::default()
                };
            }
            Step::Block { at, block, whole } => {
                self.blocks.truncate(*at);
                self.blocks.push((**block).clone());
                self.whole = (**whole).clone();
            }
            Step::Ranks { at, ranks } => {
                let of_block = self.blocks.get_mut(*at).map_or(&mut [][..], |block| &mut block.experts[..]);
                for (expert, rank) in of_block.iter_mut().zip(ranks) {
                    expert.rank = Some(*rank);
                }
                for (expert, rank) in self.whole.experts.iter_mut().zip(ranks) {
                    expert.rank = Some(expert.rank.unwrap_or_default().with(*rank));
                }
            }
            Step::Alarm(alarm) => self.alarms.push(alarm.clone()),
            Step::Progress { .. } => {}
        }
    }

    /// How many alarms there are of a severity.
    #[must_use]
    pub fn count(&self, severity: Severity) -> usize {
        self.alarms.iter().filter(|alarm| alarm.severity == severity).count()
    }
}

/// Compares `models`, block by block, and tells `sink` what is found as soon as it is; with `ranks` also in how many
/// directions the experts went, which takes much longer. Memory: the chunks that the cores are at.
///
/// # Errors
/// Files that change meanwhile; cancellation.
pub fn diff(models: &Models, ranks: bool, cancel: &Cancel, sink: &mut dyn FnMut(Step)) -> Result<Diff, EngineError> {
    let mut result = Diff::default();
    let mut say = |step: Step| {
        result.apply(&step);
        sink(step);
    };
    let Fit { experts, common, alarms } = structure::fit(&models.base, &models.experts);
    let names = |keep: bool| -> Vec<String> {
        let all = models.experts.iter().enumerate().filter(|(at, _)| experts.contains(at) == keep);
        all.map(|(_, (name, _))| name.clone()).collect()
    };
    let keep = || common.iter().map(String::as_str);
    let base = models.base.subset(keep());
    let compared = experts.iter().map(|&at| (models.experts[at].0.clone(), models.experts[at].1.subset(keep())));
    let pool = Pool::new(Some(base.clone()), compared.collect())?;
    let blocks = Blocks::of(base.tensors());
    say(Step::Begin {
        experts: names(true),
        left_out: names(false),
        blocks: blocks.names().to_vec(),
        notes: models.notes.clone(),
    });
    alarms.into_iter().chain(models.alarms.iter().cloned()).for_each(|alarm| say(Step::Alarm(alarm)));

    let (mut done, total) = (0, base.tensors().iter().map(|info| info.bytes() as u64).sum());
    let mut by_tensor: Vec<(&TensorInfo, Divergence)> = Vec::new();
    let (mut whole, mut tensors) = (Divergence::default(), 0);
    let window = |members: &[usize]| pool.window(members.iter().map(|&at| base.tensors()[at].name.as_str()));
    for (at, (name, members)) in blocks.iter().enumerate() {
        say(Step::Progress { done, total });
        let measured = divergence(&window(members), cancel)?;
        models.check_unchanged()?;
        let block = measured.iter().cloned().fold(Divergence::default(), Divergence::with);
        whole = whole.with(block.clone());
        tensors += members.len();
        let of = |name: &str, tensors: usize, measured: &Divergence| {
            Box::new(BlockMeasures::of(name, tensors, measured, experts.len()))
        };
        say(Step::Block { at, block: of(name, members.len(), &block), whole: of("all", tensors, &whole) });
        by_tensor.extend(members.iter().map(|&at| &base.tensors()[at]).zip(measured));
        done += members.iter().map(|&at| base.tensors()[at].bytes() as u64).sum::<u64>();
    }
    say(Step::Progress { done, total });
    for alarm in value_alarms(&names(true), &by_tensor) {
        say(Step::Alarm(alarm));
    }
    if ranks {
        for (at, (_, members)) in blocks.iter().enumerate() {
            let found = effective_rank(&window(members), cancel)?;
            let sum = |expert: usize| {
                let ranks = found.iter().filter_map(|tensor| tensor.get(expert).copied().flatten());
                ranks.fold(Rank::default(), |sum, rank| sum.with(rank.into()))
            };
            say(Step::Ranks { at, ranks: (0..experts.len()).map(sum).collect() });
        }
        models.check_unchanged()?;
    }
    Ok(result)
}

/// What the values say is wrong.
fn value_alarms(experts: &[String], tensors: &[(&TensorInfo, Divergence)]) -> Vec<Alarm> {
    let mut alarms = Vec::new();
    let models = || std::iter::once(None).chain((0..experts.len()).map(Some));
    let label = |model: Option<usize>| model.map_or("base", |at| experts[at].as_str());
    let named = |wanted: &dyn Fn(&TensorInfo, &Divergence) -> bool| -> Vec<String> {
        tensors.iter().filter(|(info, d)| wanted(info, d)).map(|(info, _)| info.name.clone()).collect()
    };
    for model in models() {
        let name = label(model);
        let broken = named(&|_, d| d.not_finite(model) > 0);
        if !broken.is_empty() {
            let text = format!("{name}: {} with NaN or infinities", count(broken.len(), "tensor"));
            alarms.push(Alarm::error(Kind::NotFinite, name, text).about(&broken));
        }
        // Biases of zero and norms of one are how layers begin. A matrix of one value is not, nor is a vector that had
        // several values in the base.
        let dead = named(&|info, d| {
            let fresh = model.is_some() && d.constant(None).is_none();
            d.constant(model).is_some() && (fresh || (model.is_none() && is_matrix(info)))
        });
        if !dead.is_empty() {
            let text = format!("{name}: {} with one and the same value everywhere", count(dead.len(), "tensor"));
            alarms.push(Alarm::warning(Kind::Dead, name, text).about(&dead));
        }
    }
    let unchanged =
        |expert: usize| tensors.iter().all(|(_, d)| d.changed(expert) == 0.0 && d.not_finite(Some(expert)) == 0);
    for (at, name) in experts.iter().enumerate() {
        alarms.extend(ancestor(at, name, tensors));
        if tensors.is_empty() {
            continue;
        }
        if unchanged(at) {
            let text = format!("{name}: has the very values of the base");
            alarms.push(Alarm::new(Severity::Warning, Kind::Duplicate, &[name, "base"], text));
            continue;
        }
        let twin = (0..at).find(|&other| tensors.iter().all(|(_, d)| d.looks_same(other, at)));
        if let Some(other) = twin.map(|other| experts[other].as_str()) {
            let text = format!("{name}: has the very values of {other}");
            alarms.push(Alarm::new(Severity::Warning, Kind::Duplicate, &[name, other], text));
        }
    }
    alarms
}

fn is_matrix(info: &TensorInfo) -> bool {
    info.shape.iter().filter(|&&side| side > 1).count() > 1
}

/// Whether an expert can have been trained from the base: by the cosine between the weights of each matrix, since norms
/// and biases are alike in models that have nothing else in common.
fn ancestor(expert: usize, name: &str, tensors: &[(&TensorInfo, Divergence)]) -> Option<Alarm> {
    let meaningful = |d: &Divergence| {
        let moved = d.norm(expert) > 0.0;
        d.base_norm() > 0.0 && !(moved && d.constant(Some(expert)) == Some(0.0)) && d.constant(None).is_none()
    };
    let any_matrix = tensors.iter().any(|(info, d)| is_matrix(info) && meaningful(d));
    let mut cosines: Vec<(f64, u64, &str)> = tensors
        .iter()
        .filter(|(info, d)| meaningful(d) && (is_matrix(info) || !any_matrix))
        .map(|(info, d)| (d.cosine_to_base(expert), d.parameters(), info.name.as_str()))
        .collect();
    cosines.sort_by(|a, b| a.0.total_cmp(&b.0));
    let all: u64 = cosines.iter().map(|(_, parameters, _)| parameters).sum();
    let mut seen = 0;
    let median = cosines.iter().find(|(_, parameters, _)| {
        seen += parameters;
        2 * seen >= all
    })?;
    let whole = tensors.iter().fold(Divergence::default(), |sum, (_, d)| sum.with(d.clone()));
    let evidence = format!(
        "half of its matrices have a cosine with the base's of {:.2} or less, and its task vector is {:.2} times as long as \
         the base",
        median.0,
        whole.relative(expert)
    );
    if median.0 < UNRELATED {
        return Some(Alarm::error(Kind::Ancestor, name, format!("{name}: not fine-tuned from this base: {evidence}")));
    }
    if median.0 < DISTANT {
        return Some(Alarm::warning(Kind::Ancestor, name, format!("{name}: far from this base: {evidence}")));
    }
    let foreign: Vec<&(f64, u64, &str)> = cosines.iter().filter(|(cosine, ..)| *cosine < UNRELATED).collect();
    let share = foreign.iter().map(|(_, parameters, _)| parameters).sum::<u64>() as f64 / all as f64;
    let names: Vec<String> = foreign.iter().map(|(_, _, name)| (*name).to_owned()).collect();
    let text = || {
        let matrices = if names.len() == 1 { "1 matrix".to_owned() } else { format!("{} matrices", names.len()) };
        format!("{name}: {matrices}, {:.0} % of its weights, unrelated to the base's", 100.0 * share)
    };
    (share >= REPLACED).then(|| Alarm::warning(Kind::Ancestor, name, text()).about(&names))
}
