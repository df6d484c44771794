//! The JSON report: FusionBench's keys, so that its users' scripts go on working, and ours beside them.
//!
//! `model_info`, one key a task, and `average` are FusionBench's; what it does not know stands under further keys in
//! the same objects (`n`, `correct`, `low`, `high`, `base`, `expert`, `seen`) and under `fusebench`. Where experts of some
//! tasks are not in the recipe, `average` has `seen` and `unseen` beside the mean over all.

use super::averages::{Average, Reference, averages};
use super::{Outcome, plan::Sweep};
use crate::cli::error::CliError;
use crate::engine::{MixtureReport, PerTaskReport, Report, TaskReport};
use crate::fusion::{self, Family, PER_TASK};
use crate::tasks::{Split, metrics};
use crate::weights::TensorInfo;
use crate::zoo::Zoo;
use serde_json::{Map, Value as Json, json};

/// The report of one run.
pub fn single(zoo: &Zoo, outcome: &Outcome) -> Json {
    let Outcome { job, report, .. } = outcome;
    let mut json = Map::new();
    json.insert("model_info".to_owned(), model_info(zoo, outcome));
    for task in &report.tasks {
        let mut entry = task_json(zoo, task, report.split);
        entry["seen"] = json!(job.recipe.has_seen(&task.task));
        json.insert(task.task.clone(), entry);
    }
    json.insert("average".to_owned(), average_json(zoo, report));
    let mut about = about(zoo, outcome, std::slice::from_ref(outcome));
    about["seconds"] = json!({ "fuse": report.fuse_seconds, "evaluate": report.evaluate_seconds });
    about["memory"] = json!({ "fuse": report.fuse_memory });
    if let Some(mixture) = &report.mixture {
        about["mixture"] = mixture_json(mixture);
    }
    if let Some(models) = &report.per_task {
        about["per_task"] = per_task_json(models);
    }
    json.insert("fusebench".to_owned(), about);
    Json::Object(json)
}

/// What it takes to know what the numbers are of: of one outcome, with the warnings of all.
pub fn about(zoo: &Zoo, outcome: &Outcome, all: &[Outcome]) -> Json {
    let Outcome { job, report, .. } = outcome;
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "zoo": zoo.fingerprint(),
        "recipe": job.recipe,
        "transductive": job.recipe.is_transductive(),
        "fitted": job.recipe.is_fitted_to(report.split),
        "split": report.split,
        "corruption": report.corruption,
        "limit": job.limit,
        "complete": report.complete,
        "device": report.device,
        "warnings": warnings(all),
    })
}

/// What was not as it should be, everything once.
pub fn warnings(outcomes: &[Outcome]) -> Vec<&str> {
    let mut found: Vec<&str> = Vec::new();
    for warning in outcomes.iter().flat_map(|outcome| &outcome.warnings) {
        if !found.contains(&warning.as_str()) {
            found.push(warning);
        }
    }
    found
}

/// The mean over all tasks, and below it those over seen and unseen ones, where there are both.
fn average_json(zoo: &Zoo, report: &Report) -> Json {
    let whole = report.complete && report.corruption.is_none();
    let one = |average: &Average| {
        let reference = average.reference;
        json!({
            "accuracy": average.accuracy,
            "loss": average.loss,
            "base": reference.map(|reference| reference.base),
            "expert": reference.map(|reference| reference.expert),
            "gap_recovered": reference.filter(|_| whole).and_then(|known| known.gap_recovered(average.accuracy)),
        })
    };
    let averages = averages(zoo, report);
    let (all, apart) = averages.split_last().map_or((Json::Null, &[][..]), |(all, apart)| (one(all), apart));
    apart.iter().fold(all, |mut json, average| {
        json[average.over] = one(average);
        json
    })
}

/// What has to be said of a result with one model per task; sizes in bytes.
fn per_task_json(models: &PerTaskReport) -> Json {
    let storage = models.storage;
    json!({
        "note": PER_TASK,
        "bytes": {
            "base": storage.base,
            "shared": storage.shared,
            "own": storage.own,
            "total": storage.total(),
            "experts": storage.experts,
        },
        "share_of_experts": storage.share(),
        "without_expert": models.without_expert,
    })
}

/// What has to be said of a mixture; sizes in bytes of f32. The tasks' `routing` is a row a place and a column an expert.
fn mixture_json(mixture: &MixtureReport) -> Json {
    let storage = mixture.storage;
    json!({
        "bytes": {
            "backbone": storage.base,
            "routers": storage.shared,
            "experts": storage.own,
            "total": storage.total(),
        },
        "places": mixture.places,
        "experts": mixture.columns,
    })
}

/// One entry a value, in the order of the sweep, and which value was best on which split.
pub fn sweep(zoo: &Zoo, sweep: &Sweep, outcomes: &[Outcome]) -> Result<Json, CliError> {
    let best = best(outcomes).ok_or_else(|| CliError::failure("the sweep has no runs"))?;
    let entry = |outcome: &Outcome| {
        let accuracy = |task: &TaskReport| (task.task.clone(), Json::from(task.accuracy));
        json!({
            "value": outcome.value,
            "average": outcome.report.average,
            "generalization": outcome.report.generalization,
            "gap_recovered": Reference::gap_of(zoo, &outcome.report),
            "tasks": outcome.report.tasks.iter().map(accuracy).collect::<Map<_, _>>(),
        })
    };
    let reference = Reference::of(zoo, &best.report);
    let mut json = json!({
        "sweep": outcomes.iter().map(entry).collect::<Vec<_>>(),
        "best": { "value": best.value, "average": best.report.average, "split": best.report.split },
        "average": {
            "base": reference.map(|reference| reference.base),
            "expert": reference.map(|reference| reference.expert),
        },
        "fusebench": about(zoo, best, outcomes),
    });
    json["fusebench"]["parameter"] = json!(sweep.name);
    if let Some(models) = &best.report.per_task {
        json["fusebench"]["per_task"] = per_task_json(models);
    }
    Ok(json)
}

/// The run with the highest average; the first of equals.
pub fn best(outcomes: &[Outcome]) -> Option<&Outcome> {
    outcomes.iter().reduce(|best, outcome| if outcome.report.average > best.report.average { outcome } else { best })
}

fn task_json(zoo: &Zoo, task: &TaskReport, split: Split) -> Json {
    let (low, high) = metrics::wilson(task.correct, task.n);
    let mut json = json!({
        "accuracy": task.accuracy,
        "loss": task.loss,
        "n": task.n,
        "correct": task.correct,
        "low": low,
        "high": high,
        "base": zoo.scores().base(&task.task, split),
        "expert": zoo.scores().expert(&task.task, split),
    });
    if !task.routing.is_empty() {
        json["routing"] = json!(task.routing);
    }
    json
}

/// Nothing is frozen in a fused model, so all of its parameters count as trainable, as FusionBench counts.
fn model_info(zoo: &Zoo, outcome: &Outcome) -> Json {
    let recipe = &outcome.job.recipe;
    let one: usize = zoo.pool().reference().map_or(0, |model| model.tensors().iter().map(TensorInfo::len).sum());
    let ensemble = fusion::find(&recipe.method).is_ok_and(|method| method.family == Family::Ensemble);
    let all = match &outcome.report.mixture {
        Some(mixture) => usize::try_from(mixture.storage.total() / 4).unwrap_or(usize::MAX),
        None if ensemble => one * recipe.experts.len(),
        None => one,
    };
    // Of several models, only one at a time is in use.
    json!({ "trainable_params": all, "all_params": all, "trainable_percentage": 1.0, "name": recipe.method })
}
