//! Experts in parts of transformer blocks, or in all linear layers; everything else is task arithmetic.

use super::dare::is_linear_weight;
use super::rows::{Row, rows};
use super::spectral::Dense;
use super::tensors::{Task, each_tensor};
use crate::fusion::{Body, Change, Context, FusionError, Matrix, Mixed, Place, Pool, Unit};
use crate::weights::TensorInfo;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// How experts are kept.
pub(in crate::fusion) struct Experts<'a> {
    /// The method's name, for messages.
    pub method: &'static str,
    /// Coefficient of the task vectors of everything outside of the experts.
    pub lambda: f64,
    pub reach: Reach,
    pub unit: Unit,
    /// Whether biases are weighed with the weights; if not, they are task arithmetic too.
    pub biases: bool,
    /// Whether all places have the same router.
    pub shared: bool,
    /// What is kept of a change.
    #[allow(clippy::type_complexity)]
    pub keep: &'a (dyn Fn(&Task<'_>, &Dense) -> Result<Matrix, FusionError> + Sync),
    /// The same of a bias's.
    pub keep_bias: &'a (dyn Fn(&Dense) -> Vec<f32> + Sync),
}

/// Which layers have experts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::fusion) enum Reach {
    /// Those of the blocks' feed-forward networks; a network is a place.
    FeedForward,
    /// Those too, and those of the blocks' attention, which is a place of its own.
    Blocks,
    /// All linear layers, each a place.
    Linear,
}

/// What stands in the names of all tensors of a block's feed-forward network.
pub(in crate::fusion) const FEED_FORWARD: &str = ".mlp.";
/// And of its attention.
pub(in crate::fusion) const ATTENTION: &str = ".self_attn.";

/// The part of a block that a tensor is of, as `…layers.3.mlp`, if it is of such a one.
pub(in crate::fusion) fn within<'a>(name: &'a str, part: &str) -> Option<&'a str> {
    name.find(part).map(|at| &name[..at + part.len() - 1])
}

impl Reach {
    /// The place of a linear layer's weight, as `…layers.3.mlp`, if it has one.
    fn place(self, weight: &TensorInfo) -> Option<&str> {
        let name = weight.name.as_str();
        let place = match self {
            Self::FeedForward => within(name, FEED_FORWARD),
            Self::Blocks => within(name, FEED_FORWARD).or_else(|| within(name, ATTENTION)),
            Self::Linear => name.strip_suffix(".weight"),
        };
        place.filter(|_| is_linear_weight(weight))
    }
}

impl Experts<'_> {
    /// The base with an expert of every model in each of its feed-forward networks.
    ///
    /// Memory: all experts' networks.
    ///
    /// # Errors
    /// Models without such networks, or with such that cannot share a router; numbers that are not finite; cancellation.
    pub(in crate::fusion) fn upscale(&self, pool: &Pool, cx: &mut Context<'_>) -> Result<Arc<Body>, FusionError> {
        let all = rows(pool)?;
        let find = |name: &str| all.iter().find(|row| row.info.name == name);
        let has_place = |row: &Row<'_>| self.reach.place(row.info).is_some();
        let is_weighed = |bias: &str| {
            let weight = bias.strip_suffix("bias").map(|stem| format!("{stem}weight"));
            self.biases && weight.is_some_and(|weight| find(&weight).is_some_and(has_place))
        };
        let found = Mutex::new(BTreeMap::new());
        let backbone = each_tensor(self.method, pool, cx, |task, out| {
            let name = task.name();
            let Some(place) = self.reach.place(task.row.info) else {
                if is_weighed(name) {
                    out.copy_from_slice(&task.base());
                } else {
                    task.write(self.lambda, &task.sum(|_| 1.0)?, out);
                }
                return Ok(());
            };
            out.copy_from_slice(&task.base());
            let bias = name.strip_suffix("weight").filter(|_| self.biases).map(|stem| format!("{stem}bias"));
            let bias = bias.and_then(|bias| find(&bias)).map(|row| Task::new(row, self.method, task.cancel));
            let layer = self.layer(task, bias.as_ref())?;
            let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
            found.insert((place.to_owned(), name.to_owned()), layer);
            Ok(())
        })?;
        let mut places: Vec<Place> = Vec::new();
        // Names in their order: of fc1 and fc2, c_fc and c_proj, the first comes first.
        for ((name, _), layer) in found.into_inner().unwrap_or_else(PoisonError::into_inner) {
            match places.last_mut().filter(|place| place.name == name) {
                Some(place) => place.layers.push(layer),
                None => places.push(Place { name, router: 0, unit: self.unit, layers: vec![layer] }),
            }
        }
        self.check(&places)?;
        places.sort_by_key(|place| pool.groups().index(&place.layers[0].weight));
        if !self.shared {
            places.iter_mut().enumerate().for_each(|(at, place)| place.router = at);
        }
        let experts = pool.experts().iter().map(|(name, _)| name.clone()).collect();
        Ok(Arc::new(Body { backbone, experts, places }))
    }

    fn layer(&self, task: &Task<'_>, bias: Option<&Task<'_>>) -> Result<Mixed, FusionError> {
        let change = |expert: usize| {
            let delta = task.delta(expert)?;
            let bias = bias.map(|bias| bias.delta(expert)).transpose()?;
            Ok(Change {
                weight: (self.keep)(task, &delta)?,
                bias: bias.map_or_else(Vec::new, |bias| (self.keep_bias)(&bias)),
            })
        };
        let changes = (0..task.experts()).map(change).collect::<Result<_, FusionError>>()?;
        let shape = &task.row.info.shape;
        Ok(Mixed { weight: task.name().to_owned(), outputs: shape[0], inputs: shape[1], changes })
    }

    fn check(&self, places: &[Place]) -> Result<(), FusionError> {
        let unusable = |reason: String| Err(FusionError::Unusable { method: self.method, reason });
        let Some(first) = places.first() else {
            let what = match self.reach {
                Reach::FeedForward | Reach::Blocks => {
                    format!("no weight matrix of these models has `{FEED_FORWARD}` in its name")
                }
                Reach::Linear => "these models have no linear layers".to_owned(),
            };
            return unusable(format!("{what}, so there are no experts"));
        };
        let width = |place: &Place| place.layers[0].inputs;
        let same_inputs = self.shared && self.reach != Reach::Linear;
        match places.iter().find(|place| same_inputs && width(place) != width(first)) {
            Some(other) => unusable(format!(
                "{} and {} cannot share a router: they are {} and {} wide",
                first.name,
                other.name,
                width(first),
                width(other)
            )),
            None => Ok(()),
        }
    }
}

/// All of a change.
pub(in crate::fusion) fn dense(delta: &Dense) -> Vec<f32> {
    delta.values.iter().map(|x| *x as f32).collect()
}
