//! What `--out` leaves behind: report, table, recipe and charts. Every file is written beside its name and then renamed,
//! so a folder never holds half of one.

use super::averages::{Reference, averages, named};
use super::{Outcome, plan::Plan};
use crate::cancel::Cancel;
use crate::charts::{self, Bars, ChartError, Heatmap, Line, Lines, Mark, Series};
use crate::cli::error::CliError;
use crate::engine::Preset;
use crate::files::write_bytes;
use crate::fusion::{self, PER_TASK, similarity};
use crate::tasks::metrics;
use crate::zoo::Zoo;
use serde_json::Value as Json;
use std::fs;
use std::path::Path;

/// Makes the folder and proves that it can be written, before minutes of work.
pub fn prepare(folder: &Path) -> Result<(), CliError> {
    let refused = |error| CliError::write(folder, &error);
    fs::create_dir_all(folder).map_err(refused)?;
    let trial = folder.join(".fusebench.trial");
    write_bytes(&trial, b"").map_err(refused)?;
    fs::remove_file(&trial).map_err(refused)
}

/// Writes everything that belongs to the finished runs.
pub fn write(folder: &Path, plan: &Plan, zoo: &Zoo, outcomes: &[Outcome], json: &Json) -> Result<(), CliError> {
    let mut report = serde_json::to_vec_pretty(json).unwrap_or_default();
    report.push(b'\n');
    save(&folder.join("report.json"), &report)?;
    save(&folder.join("results.csv"), csv(plan, zoo, outcomes).as_bytes())?;
    save(&folder.join("recipe.toml"), recipe(plan, outcomes)?.as_bytes())?;
    match (&plan.sweep, outcomes) {
        (Some(_), _) => draw(folder, "sweep", |path| charts::lines(&lines(plan, zoo, outcomes), path))?,
        (None, [outcome]) => draw(folder, "bars", |path| charts::bars(&bars(zoo, outcome), path))?,
        (None, _) => {}
    }
    if let Some(map) = heatmap(zoo, outcomes)? {
        draw(folder, "cosine", |path| charts::heatmap(&map, path))?;
    }
    Ok(())
}

fn save(path: &Path, bytes: &[u8]) -> Result<(), CliError> {
    write_bytes(path, bytes).map_err(|error| CliError::write(path, &error))
}

fn draw(folder: &Path, name: &str, draw: impl Fn(&Path) -> Result<(), ChartError>) -> Result<(), CliError> {
    for ending in ["svg", "png"] {
        let path = folder.join(name).with_extension(ending);
        draw(&path).map_err(|error| CliError::write(&path, &error))?;
    }
    Ok(())
}

/// The recipe that was run; of a sweep, the best one. What it takes beside a recipe to make several runs of it stands above.
fn recipe(plan: &Plan, outcomes: &[Outcome]) -> Result<String, CliError> {
    let chosen = if plan.sweep.is_some() { super::report::best(outcomes) } else { outcomes.first() };
    let chosen = chosen.ok_or_else(|| CliError::failure("nothing was run"))?;
    let more = match plan.seeds.len() {
        0 => String::new(),
        seeds => format!("# fusebench run recipe.toml --seeds {seeds}\n"),
    };
    let mut preset = Preset::from_job(&chosen.job)?;
    if plan.is_robustness() {
        preset.set_corruptions(plan.preset.corruptions().to_vec());
    }
    Ok(more + &preset.to_toml())
}

/// One row a task, or a value and a task; below them the averages, where seen and unseen tasks have their own.
fn csv(plan: &Plan, zoo: &Zoo, outcomes: &[Outcome]) -> String {
    let swept = plan.sweep.as_ref().map(|sweep| sweep.name.as_str());
    let swept = swept.or((!plan.seeds.is_empty()).then_some("seed"));
    let mut header: Vec<String> = swept.map(str::to_owned).into_iter().collect();
    header.extend(
        ["task", "split", "corruption", "accuracy", "loss", "n", "correct", "low", "high", "base", "expert", "seen"]
            .map(String::from),
    );
    // What has to be known of a row wherever it is taken to.
    header.extend(["transductive", "fitted"].map(String::from));
    let recorded = |score: Option<f64>| score.map_or_else(String::new, |score| score.to_string());
    let mut rows = Vec::new();
    for outcome in outcomes {
        let (report, recipe) = (&outcome.report, &outcome.job.recipe);
        let marks = [recipe.is_transductive(), recipe.is_fitted_to(report.split)].map(|mark| mark.to_string());
        for task in &report.tasks {
            let (low, high) = metrics::wilson(task.correct, task.n);
            let mut row: Vec<String> = outcome.value.map(|value| value.to_string()).into_iter().collect();
            let corruption = report.corruption.map_or_else(String::new, |corruption| corruption.to_string());
            row.extend([task.task.clone(), report.split.to_string(), corruption]);
            row.extend([task.accuracy.to_string(), task.loss.to_string()]);
            row.extend([task.n.to_string(), task.correct.to_string(), low.to_string(), high.to_string()]);
            row.push(recorded(zoo.scores().base(&task.task, report.split)));
            row.push(recorded(zoo.scores().expert(&task.task, report.split)));
            row.push(recipe.has_seen(&task.task).to_string());
            row.extend(marks.clone());
            rows.push(row);
        }
        // Without unseen tasks there is one average, which everybody takes from the rows.
        for average in averages(zoo, report).iter().filter(|_| report.generalization.is_some()) {
            let mut row: Vec<String> = outcome.value.map(|value| value.to_string()).into_iter().collect();
            let corruption = report.corruption.map_or_else(String::new, |corruption| corruption.to_string());
            row.extend([average.title().to_owned(), report.split.to_string(), corruption]);
            row.extend([average.accuracy.to_string(), average.loss.to_string(), average.n.to_string()]);
            row.extend([(); 3].map(|()| String::new()));
            let reference = average.reference;
            row.extend([reference.map(|known| known.base), reference.map(|known| known.expert)].map(recorded));
            row.push(String::new());
            row.extend(marks.clone());
            rows.push(row);
        }
    }
    charts::table::csv(&charts::table::Table { header, rows })
}

fn bars(zoo: &Zoo, outcome: &Outcome) -> Bars {
    let report = &outcome.report;
    let (scores, split) = (zoo.scores(), report.split);
    let averages = averages(zoo, report);
    let recorded = |name: &str, score: &dyn Fn(&str) -> Option<f64>, average: fn(Reference) -> f64| Series {
        name: name.to_owned(),
        values: report
            .tasks
            .iter()
            .map(|task| score(&task.task))
            .chain(averages.iter().map(|known| known.reference.map(average)))
            .collect(),
        reference: true,
        ..Series::default()
    };
    let accuracies = report.tasks.iter().map(|task| task.accuracy);
    let fused = Series {
        name: format!("{}{}", method_name(outcome), if report.per_task.is_some() { " (task known)" } else { "" }),
        values: accuracies.chain(averages.iter().map(|average| average.accuracy)).map(Some).collect(),
        // An average over tasks is no share of anything, so it has no such interval.
        intervals: report
            .tasks
            .iter()
            .map(|task| Some(metrics::wilson(task.correct, task.n)))
            .chain(averages.iter().map(|_| None))
            .collect(),
        reference: false,
    };
    Bars {
        title: format!("{}, {}{}", super::table::recipe_line(outcome), super::table::on(report), note(outcome)),
        categories: report
            .tasks
            .iter()
            .map(|task| task.task.clone())
            .chain(averages.iter().map(|average| average.title().to_owned()))
            .collect(),
        series: vec![
            recorded("base", &|task| scores.base(task, split), |known| known.base),
            fused,
            recorded("expert", &|task| scores.expert(task, split), |known| known.expert),
        ],
        y_label: String::new(),
    }
}

/// What a title has to say of a result with one model per task.
fn note(outcome: &Outcome) -> String {
    if outcome.report.per_task.is_some() { format!("; {PER_TASK}") } else { String::new() }
}

fn lines(plan: &Plan, zoo: &Zoo, outcomes: &[Outcome]) -> Lines {
    let name = plan.sweep.as_ref().map_or("", |sweep| sweep.name.as_str());
    let spec = plan.preset.method().specs.iter().find(|spec| spec.name == name);
    let line = |name: &str, bold: bool, share: &dyn Fn(&Outcome) -> Option<f64>| Line {
        name: name.to_owned(),
        points: outcomes.iter().filter_map(|outcome| Some((outcome.value?, share(outcome)?))).collect(),
        bold,
    };
    let average = |outcome: &Outcome, name: &str| {
        named(&outcome.report).into_iter().find(|(known, _)| *known == name).map(|(_, share)| share)
    };
    let averages = outcomes.first().map(|first| named(&first.report)).unwrap_or_default();
    let mut series: Vec<Line> =
        averages.iter().map(|(name, _)| line(name, true, &|outcome| average(outcome, name))).collect();
    let tasks = outcomes.first().map_or(&[][..], |first| &first.report.tasks);
    for (at, task) in tasks.iter().enumerate() {
        series.push(line(&task.task, false, &|outcome| outcome.report.tasks.get(at).map(|task| task.accuracy)));
    }
    let best = super::report::best(outcomes);
    // Recorded scores are of images as they are.
    let clean = best.filter(|best| best.report.corruption.is_none());
    if let Some(reference) = clean.and_then(|best| Reference::of(zoo, &best.report)) {
        // Two points are enough for a level.
        let ends = [outcomes.first(), outcomes.last()].map(|outcome| outcome.and_then(|outcome| outcome.value));
        for (name, level) in [("base, average", reference.base), ("experts, average", reference.expert)] {
            let points = ends.iter().flatten().map(|&value| (value, level)).collect();
            series.push(Line { name: name.to_owned(), points, bold: false });
        }
    }
    let mark = best.and_then(|best| Some(Mark { x: best.value?, y: best.report.average, label: "best".to_owned() }));
    let split = best.map_or_else(String::new, |best| format!(", {}", super::table::on(&best.report)));
    Lines {
        title: format!(
            "{}: accuracy over {name}{split}{}",
            plan.preset.method().name,
            best.map_or_else(String::new, note)
        ),
        x_label: spec.map_or(name, |spec| spec.label()).to_owned(),
        y_label: "accuracy".to_owned(),
        series,
        marks: mark.into_iter().collect(),
        percent: true,
    }
}

/// Cosines between the task vectors that went into the recipe; nothing where there are no two.
fn heatmap(zoo: &Zoo, outcomes: &[Outcome]) -> Result<Option<Heatmap>, CliError> {
    let Some(first) = outcomes.first() else { return Ok(None) };
    let pool = zoo
        .pool()
        .select(&first.job.recipe.experts)
        .map_err(|name| CliError::input(format!("there is no expert `{name}` in this zoo")))?;
    if pool.base().is_none() || pool.experts().len() < 2 {
        return Ok(None);
    }
    let similarity = similarity(&pool, &Cancel::default())?;
    Ok(Some(Heatmap {
        title: "Cosine between task vectors".to_owned(),
        rows: similarity.names.clone(),
        columns: similarity.names,
        values: similarity.cosine,
        value_label: "cosine".to_owned(),
    }))
}

fn method_name(outcome: &Outcome) -> &str {
    let id = outcome.job.recipe.method.as_str();
    fusion::find(id).map_or(id, |method| method.name)
}
