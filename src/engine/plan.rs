//! A job checked against the zoo: everything named exists, every parameter is in range.

use super::{EngineError, Job, JobKind, Recipe};
use crate::fusion::{FusionError, Method, Pool, find};
use crate::params::ParamSet;
use crate::tasks::{Data, Split};
use crate::zoo::Zoo;

/// A job whose names have been resolved. Holds no tensors.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub method: &'static Method,
    pub params: ParamSet,
    pub pool: Pool,
    /// Ids of the tasks, with how many samples each is evaluated on.
    pub tasks: Vec<(String, usize)>,
    pub data: Data,
    /// Whether whole splits are evaluated.
    pub complete: bool,
}

impl Plan {
    /// Resolves a job against the zoo.
    ///
    /// # Errors
    /// Unknown method, expert or task, parameters out of range, a pool that the method cannot fuse.
    pub fn new(zoo: &Zoo, job: &Job) -> Result<Self, EngineError> {
        let method = find(&job.recipe.method)?;
        let given = job.recipe.params.iter().map(|(name, value)| (name, value.clone()));
        let params = ParamSet::checked(method.specs, given)
            .map_err(|source| FusionError::Param { method: method.id, source })?;
        let pool = zoo.pool().select(&job.recipe.experts).map_err(|name| {
            EngineError::unknown_expert(&name, zoo.pool().experts().iter().map(|(name, _)| name.as_str()))
        })?;
        method.check(pool.base().is_some(), pool.experts().len())?;
        if job.tasks.is_empty() {
            return Err(EngineError::NoTasks);
        }
        if job.limit == Some(0) {
            return Err(EngineError::ZeroLimit);
        }
        let mut tasks = Vec::with_capacity(job.tasks.len());
        let mut complete = true;
        for name in &job.tasks {
            let known = || zoo.tasks().iter().map(|task| task.id.as_str());
            let task = zoo.task(name).ok_or_else(|| EngineError::unknown_task(name, known()))?;
            let all = task.len(job.split);
            let samples = job.limit.map_or(all, |limit| limit.min(all));
            complete &= samples == all;
            tasks.push((name.clone(), samples));
        }
        Ok(Self { method, params, pool, tasks, data: Data { split: job.split, corruption: job.corruption }, complete })
    }

    /// Method, parameters and experts in one text: what the fused model depends on, the zoo being what it is.
    pub fn recipe(&self) -> String {
        let experts: Vec<&str> = self.pool.experts().iter().map(|(name, _)| name.as_str()).collect();
        let params = serde_json::to_string(&self.params).unwrap_or_default();
        format!("{} {params} {}", self.method.id, experts.join(","))
    }

    /// The slot of the expert that was fine-tuned on a task, which has its name.
    pub fn expert_of(&self, task: &str) -> Option<usize> {
        self.pool.experts().iter().position(|(name, _)| name == task)
    }

    /// The tasks that have no expert in the recipe.
    pub fn without_expert(&self) -> Vec<String> {
        let tasks = self.tasks.iter().map(|(task, _)| task);
        tasks.filter(|task| self.expert_of(task).is_none()).cloned().collect()
    }

    /// Samples over all tasks.
    pub fn samples(&self) -> usize {
        self.tasks.iter().map(|(_, samples)| samples).sum()
    }
}

/// A run of `method` with default parameters, all experts that it can take, on every task's whole test split.
#[must_use]
pub fn default_job(zoo: &Zoo, method: &Method) -> Job {
    let experts = zoo.own_experts().map(str::to_owned);
    Job {
        kind: JobKind::Run,
        recipe: Recipe {
            method: method.id.to_owned(),
            params: ParamSet::defaults(method.specs),
            experts: experts.take(method.needs.max_models.unwrap_or(usize::MAX)).collect(),
        },
        tasks: zoo.tasks().iter().map(|task| task.id.clone()).collect(),
        split: Split::Test,
        limit: None,
        corruption: None,
    }
}
