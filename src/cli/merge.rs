//! `fusebench merge`: checkpoints on disk into a checkpoint on disk.

use super::args::Merge;
use super::error::CliError;
use super::output;
use super::progress::Line;
use super::recipe::{self, Step};
use super::signals::{Signals, watch};
use crate::cancel::Cancel;
use crate::engine::EngineError;
use crate::engine::merge::{Input, Inputs, MergeJob, MergePlan, Merged, Options, Work, default_memory, merge_all};
use crate::fusion::{Method, PER_TASK};
use crate::params::ParamSet;
use crate::text::{bytes, printable};
use serde_json::{Value as Json, json};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

pub fn run(args: &Merge) -> Result<(), CliError> {
    let (steps, notes) = recipe::read(&args.recipe)?;
    let mut line = Line::new(args.quiet);
    for note in &notes {
        line.note(&format!("note: {}", printable(note)));
    }
    let watched: Watched = watch(|inputs: &Inputs| inputs.check_unchanged().err().map(EngineError::from))?;
    let cancel = Cancel::default();
    let stop = cancel.clone();
    let signals = Signals::listen(move |_| stop.cancel())?;
    let folder = args.steps.clone().unwrap_or_else(|| beside(&args.out));
    let mut results: Vec<(String, String)> = Vec::new();
    for step in steps {
        let out = step.name.as_ref().map_or_else(|| args.out.clone(), |name| folder.join(name));
        let name = step.name.clone();
        if let Some(name) = &name {
            line.note(&format!(
                "merge `{}`, which others need, to {}",
                printable(name),
                printable(&out.display().to_string())
            ));
        }
        let merged = merge_step(args, step.with_results(&results), &out, &watched, (&cancel, &signals), &mut line)?;
        if let Some(name) = name {
            if !merged {
                line.note("the merges that need it can be planned once it is there");
                return Ok(());
            }
            results.push((name, out.display().to_string()));
        }
    }
    Ok(())
}

/// `OUT.steps`.
fn beside(out: &Path) -> PathBuf {
    let name = out.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    out.with_file_name(format!("{name}.steps"))
}

/// One merge; whether its result is there.
fn merge_step(
    args: &Merge,
    step: Step,
    out: &Path,
    watched: &Watched,
    (cancel, signals): (&Cancel, &Signals),
    line: &mut Line,
) -> Result<bool, CliError> {
    let method = step.method()?;
    let step_name = step.name.clone();
    let dtype = args.dtype.map(Into::into).or_else(|| step.dtype());
    let options = Options {
        vocab: args.vocab.map(Into::into),
        scratch: out.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned(),
    };
    let (inputs, params, document) = match step.work {
        recipe::Work::Plain(plain) => {
            (Inputs::open_with(plain.base.as_deref(), &plain.experts, &options)?, plain.params, None)
        }
        recipe::Work::Document(document) => {
            (Inputs::of_document(&document, None, &options)?, ParamSet::default(), Some(*document))
        }
    };
    *watched.lock().unwrap_or_else(PoisonError::into_inner) = Some(inputs.clone());
    let results = results(method, &inputs, out, step_name.is_some() || document.is_some())?;
    let job = MergeJob {
        method,
        params,
        task: None,
        dtype,
        not_finite: args.nan.into(),
        shard: args.shard_size,
        memory: args.memory.unwrap_or_else(default_memory),
        vocab: options.vocab,
        document,
    };
    for note in &inputs.notes {
        line.note(&format!("note: {}", printable(note)));
    }
    if method.is_per_task() {
        let folder = out.to_string_lossy();
        line.note(&format!("plan: {PER_TASK}; {} folders in {}", results.len(), printable(&folder)));
    }
    let work = |(task, out): (Option<String>, PathBuf)| {
        let job = MergeJob { task, ..job.clone() };
        MergePlan::new(&job, &inputs, Some(&out)).map(|plan| Work { job, plan, out })
    };
    let works: Vec<Work> = results.into_iter().map(work).collect::<Result<_, _>>()?;
    line.note(&describe(&works, &inputs, out));
    let start = Instant::now();
    let merged = if args.dry_run {
        None
    } else {
        let mut progress = |done: u64, total: u64| line.draw(&status(done, total, start.elapsed()));
        let merged = merge_all(&works, &inputs, cancel, &mut progress);
        line.clear();
        signals.check().map_err(|error| {
            if merged.is_ok() { error } else { error.hint("the same command goes on where it was stopped") }
        })?;
        Some((merged?, start.elapsed()))
    };
    if let Some((merged, elapsed)) = &merged {
        for sentence in sentences(&works, merged, out, *elapsed) {
            line.note(&sentence);
        }
    }
    // Only the last merge is the result.
    if args.json && out == args.out {
        output::json(&report(method, &works, merged.as_ref()))?;
    }
    Ok(!args.dry_run || out.is_dir())
}

/// What is to be written where: one model, or one for each expert in a folder of its name.
fn results(
    method: &Method,
    inputs: &Inputs,
    out: &Path,
    within_more: bool,
) -> Result<Vec<(Option<String>, PathBuf)>, CliError> {
    if !method.is_per_task() {
        return Ok(vec![(None, out.to_owned())]);
    }
    if within_more {
        return Err(CliError::input(format!("{} gives {PER_TASK}: no other merge can go on from that", method.name))
            .hint("merge with it alone: fusebench merge METHOD --base DIR --expert DIR …"));
    }
    let folder = |input: &Input| {
        let name = &input.name;
        // `..` would lie outside.
        if Path::new(name).file_name().is_none_or(|last| last != name.as_str()) {
            return Err(CliError::input(format!("`{name}` cannot be the name of a folder"))
                .hint("give the expert another name: --expert NAME=DIR"));
        }
        Ok((Some(name.clone()), out.join(name)))
    };
    inputs.experts.iter().map(folder).collect()
}

/// The models that are being read.
type Watched = Arc<Mutex<Option<Inputs>>>;

/// The plan, as it is printed before work starts.
fn describe(works: &[Work], inputs: &Inputs, out: &Path) -> String {
    let Some(Work { job, plan, .. }) = works.first() else { return String::new() };
    let base = if inputs.base.is_some() { "base and " } else { "" };
    let free = plan.free.map_or_else(String::new, |free| format!(", {} free", bytes(free)));
    let models = match (inputs.experts.len(), &job.document) {
        (1, None) => format!("{base}1 expert"),
        (experts, None) => format!("{base}{experts} experts"),
        (experts, Some(_)) => format!("{} models", experts + usize::from(inputs.base.is_some())),
    };
    format!(
        "plan: {} of {models}, {} tensors, {:.1} M parameters\n\
         plan: reads {}, writes {} in {} file(s) to {}{free}\n\
         plan: at most {} of memory; about {} at the speed of this disk and memory, more for methods that compute much",
        job.title(),
        plan.tensors,
        plan.parameters as f64 / 1e6,
        bytes(plan.read),
        bytes(works.iter().map(|work| work.plan.written).sum()),
        works.iter().map(|work| work.plan.files).sum::<usize>(),
        printable(&out.display().to_string()),
        bytes(plan.memory),
        seconds(plan.seconds_for(works.len())),
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
    format!("merge  {percent:>3} %  {} of {}{left}", bytes(done), bytes(total))
}

fn seconds(seconds: f64) -> String {
    match seconds {
        s if s < 10.0 => format!("{s:.1} s"),
        s if s < 120.0 => format!("{s:.0} s"),
        s => format!("{:.0} min", s / 60.0),
    }
}

/// What became of the models, in sentences.
fn sentences(works: &[Work], merged: &[Merged], out: &Path, elapsed: Duration) -> Vec<String> {
    let show = |path: &Path| printable(&path.display().to_string()).into_owned();
    let there = works.iter().zip(merged).filter(|(_, merged)| merged.existed);
    let there = there
        .map(|(work, _)| format!("{} is there already, from the same recipe and the same models", show(&work.out)));
    let written: Vec<&Merged> = merged.iter().filter(|merged| !merged.existed).collect();
    let [resumed, tensors] = written.iter().fold([0, 0], |[a, b], one| [a + one.resumed, b + one.tensors]);
    let resumed = match resumed {
        0 => String::new(),
        resumed => format!("; {resumed} of {tensors} tensors were there from an interrupted run"),
    };
    let elapsed = seconds(elapsed.as_secs_f64());
    let written = match (written.len(), works) {
        (0, _) => None,
        (1, [work]) => Some(format!("wrote {} in {elapsed}{resumed}", show(&work.out))),
        (models, _) => Some(format!("wrote {models} models to {} in {elapsed}{resumed}", show(out))),
    };
    there.chain(written).collect()
}

/// What `--json` prints: of one model, or of one for each task.
fn report(method: &Method, works: &[Work], merged: Option<&(Vec<Merged>, Duration)>) -> Json {
    let seconds = merged.map(|(_, elapsed)| elapsed.as_secs_f64());
    let of = |(at, Work { job, plan, out }): (usize, &Work)| {
        let merged = merged.and_then(|(merged, _)| merged.get(at));
        let mut report = json!({
            "method": job.method.id,
            "params": job.params,
            "document": job.document,
            "out": out,
            "plan": plan,
            "parents": merged.map(|merged| &merged.provenance),
            "result": merged,
        });
        if let Some(task) = &job.task {
            report["task"] = task.as_str().into();
        }
        report
    };
    let mut models: Vec<Json> = works.iter().enumerate().map(of).collect();
    match models.pop() {
        Some(mut one) if !method.is_per_task() => {
            one["seconds"] = seconds.into();
            one
        }
        last => {
            models.extend(last);
            json!({ "method": method.id, "note": PER_TASK, "models": models, "seconds": seconds })
        }
    }
}
