//! `fusebench merge`: checkpoints on disk into a checkpoint on disk.

use super::args::Merge;
use super::error::CliError;
use super::output;
use super::progress::Line;
use super::signals::{Signals, when_a_file_is_cut_short};
use super::size;
use crate::cancel::Cancel;
use crate::engine::merge::{Inputs, MergeJob, MergePlan, Merged, default_memory, merge};
use crate::engine::{EngineError, Preset, Problem};
use crate::fusion::{Method, find};
use crate::params::{ParamError, ParamSet};
use crate::text::printable;
use serde_json::json;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

pub fn run(args: &Merge) -> Result<(), CliError> {
    let (method, params) = recipe(&args.method, &args.set)?;
    let watched = watch()?;
    let inputs = Inputs::open(args.base.as_deref(), &args.expert)?;
    // Already set only if this ran twice.
    let _ = watched.set(inputs.clone());
    let job = MergeJob {
        method,
        params,
        dtype: args.dtype.map(Into::into),
        not_finite: args.nan.into(),
        shard: args.shard_size,
        memory: args.memory.unwrap_or_else(default_memory),
    };
    let plan = MergePlan::new(&job, &inputs, Some(&args.out))?;
    let mut line = Line::new(args.quiet);
    for note in &inputs.notes {
        line.note(&format!("note: {}", printable(note)));
    }
    line.note(&describe(&job, &inputs, &plan, &args.out));
    if args.dry_run {
        return report(args, &job, &plan, None, Duration::ZERO);
    }
    let start = Instant::now();
    let cancel = Cancel::default();
    let stop = cancel.clone();
    let signals = Signals::listen(move |_| stop.cancel())?;
    let mut progress = |done: u64, total: u64| line.draw(&status(done, total, start.elapsed()));
    let merged = merge(&job, &inputs, &plan, &args.out, &cancel, &mut progress);
    line.clear();
    signals.check().map_err(|error| {
        if merged.is_ok() { error } else { error.hint("the same command goes on where it was stopped") }
    })?;
    let merged = merged?;
    line.note(&sentence(&merged, &args.out, start.elapsed()));
    report(args, &job, &plan, Some(&merged), start.elapsed())
}

/// An input that is cut short while it is read ends the process: with a message that names it, once the inputs are
/// known.
fn watch() -> Result<Arc<OnceLock<Inputs>>, CliError> {
    let inputs = Arc::<OnceLock<Inputs>>::default();
    let opened = inputs.clone();
    when_a_file_is_cut_short(move || {
        let changed = opened.get().and_then(|inputs| inputs.check_unchanged().err());
        let unknown = || {
            CliError::failure(
                "an input could not be read any further: the disk failed, or something cut the file short",
            )
            .hint("see that nothing writes to the models, and repeat the command")
        };
        let error = changed.map_or_else(unknown, |error| EngineError::from(error).into());
        output::complain(&error.to_string());
    })?;
    Ok(inputs)
}

/// A preset's method and parameters, or a method with its defaults; changed by what `--set` says.
fn recipe(name: &str, settings: &[String]) -> Result<(&'static Method, ParamSet), CliError> {
    let (method, mut params) = match Preset::resolve(name) {
        Ok(preset) => (preset.method(), preset.params().clone()),
        Err(error) if matches!(*error.problem, Problem::NoSuchPreset { .. }) && find(name).is_ok() => {
            let method = find(name)?;
            (method, ParamSet::defaults(method.specs))
        }
        Err(error) => return Err(error.into()),
    };
    for setting in settings {
        let place = format!("--set {setting}");
        let (key, value) = setting
            .split_once('=')
            .ok_or_else(|| CliError::input(format!("`{setting}` is not of the form PARAM=VALUE")).at(place.clone()))?;
        let key = key.trim().strip_prefix(&format!("{}.", method.id)).unwrap_or(key.trim());
        params.set_text(method.specs, key, value.trim()).map_err(|error| refused(method, &place, &error))?;
    }
    Ok((method, params))
}

fn refused(method: &Method, place: &str, error: &ParamError) -> CliError {
    CliError::input(error.to_string())
        .at(place.to_owned())
        .hint(format!("`fusebench methods {}` shows its parameters and their ranges", method.id))
}

/// The plan, as it is printed before work starts.
fn describe(job: &MergeJob, inputs: &Inputs, plan: &MergePlan, out: &Path) -> String {
    let base = if inputs.base.is_some() { "base and " } else { "" };
    let free = plan.free.map_or_else(String::new, |free| format!(", {} free", size::show(free)));
    format!(
        "plan: {} of {base}{} experts, {} tensors, {:.1} M parameters\n\
         plan: reads {}, writes {} in {} file(s) to {}{free}\n\
         plan: at most {} of memory; about {} at the speed of this disk and memory, more for methods that compute much",
        job.method.name,
        inputs.experts.len(),
        plan.tensors,
        plan.parameters as f64 / 1e6,
        size::show(plan.read),
        size::show(plan.written),
        plan.files,
        printable(&out.display().to_string()),
        size::show(plan.memory),
        seconds(plan.seconds),
    )
}

fn status(done: u64, total: u64, elapsed: Duration) -> String {
    let percent = (100 * done).checked_div(total).unwrap_or(100);
    let elapsed = elapsed.as_secs_f64();
    let left = if done > 0 && elapsed > 0.5 {
        format!(", {} left", seconds(elapsed * (total - done) as f64 / done as f64))
    } else {
        String::new()
    };
    format!("merge  {percent:>3} %  {} of {}{left}", size::show(done), size::show(total))
}

fn seconds(seconds: f64) -> String {
    match seconds {
        s if s < 10.0 => format!("{s:.1} s"),
        s if s < 120.0 => format!("{s:.0} s"),
        s => format!("{:.0} min", s / 60.0),
    }
}

fn sentence(merged: &Merged, out: &Path, elapsed: Duration) -> String {
    let out = printable(&out.display().to_string()).into_owned();
    if merged.existed {
        return format!("{out} is there already, from the same recipe and the same models");
    }
    let resumed = match merged.resumed {
        0 => String::new(),
        tensors => format!("; {tensors} of {} tensors were there from an interrupted run", merged.tensors),
    };
    format!("wrote {out} in {}{resumed}", seconds(elapsed.as_secs_f64()))
}

fn report(
    args: &Merge,
    job: &MergeJob,
    plan: &MergePlan,
    merged: Option<&Merged>,
    elapsed: Duration,
) -> Result<(), CliError> {
    if !args.json {
        return Ok(());
    }
    output::json(&json!({
        "method": job.method.id,
        "params": job.params,
        "out": args.out,
        "plan": plan,
        "parents": merged.map(|merged| &merged.provenance),
        "result": merged,
        "seconds": merged.map(|_| elapsed.as_secs_f64()),
    }))
}
