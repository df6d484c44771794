//! Models as experts behind routers: what a document says of it.

mod mergekit;

use super::error::Fault;
use super::node::{Map, Node};
use super::{Document, Source};
pub(super) use mergekit::read as read_mergekit;
use serde::{Deserialize, Serialize};

/// More experts than any configuration has had.
const MOST_EXPERTS: usize = 1024;

/// A mixture of experts as Mixtral has it: the feed-forward networks of the models side by side in every layer, a router
/// before them, everything else from the base.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mixture {
    /// How often each model stands among the experts.
    pub copies: usize,
    /// How many experts work on a token.
    pub experts_per_token: usize,
    pub router: Router,
    /// Of a random router.
    pub seed: u64,
}

/// What routers are before anybody trains them. Until then no router knows more than this: one made from hidden states
/// needs prompts and a forward pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Router {
    /// Normal with σ = 0.02, as transformers initialises it.
    Random,
    /// Normal with σ = 1, as mergekit's `random`.
    Normal,
    /// Uniform within ±1/√width, as PyTorch initialises a linear layer and mergekit's `uniform_random`.
    Uniform,
    /// Zero: all experts count the same, and the first ones are taken.
    Zero,
}

impl Mixture {
    /// Models up-scaled or merged so by default.
    pub(super) fn new(copies: usize, experts_per_token: usize) -> Self {
        Self { copies, experts_per_token, router: Router::Random, seed: 0 }
    }

    /// `mixture = { copies = 1, experts_per_token = 2, router = "random", seed = 0 }`; what is missing is so.
    pub(super) fn read(node: &Node) -> Result<Self, Fault> {
        let map = node.map("mixture")?;
        map.only(&["copies", "experts_per_token", "router", "seed"])?;
        let count = |key: &str, usual: usize| map.get(key).map_or(Ok(usual), |node| node.count(key, MOST_EXPERTS));
        let mut mixture = Self::new(count("copies", 1)?, count("experts_per_token", 2)?);
        mixture.seed = map.get("seed").map_or(Ok(0), |node| node.count("seed", usize::MAX))? as u64;
        mixture.router = match map.get("router") {
            None => Router::Random,
            Some(node) => match node.text("router")? {
                "random" => Router::Random,
                "normal" => Router::Normal,
                "uniform" => Router::Uniform,
                "zero" => Router::Zero,
                _ => return Err(node.wrong("router", "`random`, `normal`, `uniform` or `zero`")),
            },
        };
        Ok(mixture)
    }

    /// As `num_experts` and `experts_per_token` of FusionBench say it, `models` being the experts of a merge.
    pub(super) fn of_fusionbench(map: &Map<'_>, upscaling: bool) -> Result<Self, Fault> {
        let count = |key: &str, usual: usize| map.get(key).map_or(Ok(usual), |node| node.count(key, MOST_EXPERTS));
        map.only(&["_target_", "_recursive_", "name", "num_experts", "experts_per_token", "save_checkpoint"])?;
        Ok(Self::new(if upscaling { count("num_experts", 4)? } else { 1 }, count("experts_per_token", 2)?))
    }

    /// The experts, in their order.
    pub(in crate::engine) fn experts<'a>(&self, sources: &'a [Source]) -> impl Iterator<Item = &'a Source> {
        let copies = self.copies;
        sources.iter().flat_map(move |source| std::iter::repeat_n(source, copies))
    }
}

impl Document {
    /// Checks a mixture: whole models, enough experts.
    pub(super) fn check_mixture(&self, mixture: Mixture, map: &Map<'_>) -> Result<(), Fault> {
        let at = map.get("mixture").map_or(map.at, |node| node.at);
        if self.models.is_empty() || self.method != "passthrough" || !self.parameters.is_empty() {
            return Err(Fault::at(at, "a mixture takes its models as they are")
                .hint("method = \"passthrough\", `models`, and no parameters"));
        }
        let experts = self.models.len() * mixture.copies;
        if !(2..=MOST_EXPERTS).contains(&experts) {
            return Err(Fault::at(at, format!("{experts} experts: 2 to {MOST_EXPERTS} are wanted"))
                .hint("name several models, or set `copies`"));
        }
        if mixture.experts_per_token == 0 || mixture.experts_per_token > experts {
            return Err(Fault::at(at, format!("{} experts a token: there are {experts}", mixture.experts_per_token)));
        }
        Ok(())
    }
}
