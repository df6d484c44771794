//! Writing charts, tables, recipes and checkpoints; every function gives a sentence for the footer.

use crate::cancel::Cancel;
use crate::charts::{self, Bars, ChartError, Series, table};
use crate::engine::{self, Generalization, Job, Lessons, Preset};
use crate::files::write_bytes;
use crate::fusion::{self, Method, PER_TASK};
use crate::store::NewRun;
use crate::tasks::Split;
use crate::tui::catalog::Catalog;
use crate::tui::runs;
use crate::tui::screens::compare::judge::{generalization, is_per_task};
use crate::zoo::Zoo;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bars of `runs` beside base and experts as SVG and PNG, and the numbers as CSV and Markdown.
///
/// # Errors
/// A sentence that says what could not be written and what to do.
pub fn runs(runs: &[NewRun], catalog: &Catalog, folder: &Path) -> Result<String, String> {
    let first = runs.first().ok_or("there is no run to export")?;
    let name = if runs.len() == 1 {
        slug(&first.label)
    } else {
        format!("{}-and-{}-more", slug(&first.label), runs.len() - 1)
    };
    let stem = unused(folder, &name, &["svg", "png", "csv", "md"]);
    let chart = bars(runs, catalog);
    let failed = |error: ChartError| format!("{error} ({})", error.hint());
    charts::bars(&chart, &stem.with_extension("svg")).map_err(failed)?;
    charts::bars(&chart, &stem.with_extension("png")).map_err(failed)?;
    let numbers = numbers(&chart, runs);
    for (extension, text) in [("csv", table::csv(&numbers)), ("md", table::markdown(&numbers))] {
        let path = stem.with_extension(extension);
        write_bytes(&path, text.as_bytes()).map_err(|error| unwritable(&path, &error))?;
    }
    Ok(format!("written: {}.svg, .png, .csv, .md", stem.display()))
}

/// The recipe as a preset TOML.
///
/// # Errors
/// A sentence that says what could not be written and what to do.
pub fn recipe(job: &Job, folder: &Path) -> Result<String, String> {
    let preset = Preset::from_job(job).map_err(|error| error.to_string())?;
    let path = unused(folder, &slug(&job.recipe.method), &["toml"]).with_extension("toml");
    write_bytes(&path, preset.to_toml().as_bytes()).map_err(|error| unwritable(&path, &error))?;
    Ok(format!("written: {}; `fusebench run` repeats it", path.display()))
}

/// The fused weights as safetensors; a folder with a file for each expert, where every task has a model of its own.
///
/// # Errors
/// A sentence that says what could not be written and what to do.
pub fn checkpoint(
    (zoo, lessons): (&Arc<Zoo>, &Lessons),
    job: &Job,
    folder: &Path,
    cancel: &Cancel,
) -> Result<String, String> {
    let mut path = unused(folder, &slug(&job.recipe.method), &["safetensors", ""]);
    // Several models go into a folder of their own.
    if !fusion::find(&job.recipe.method).is_ok_and(Method::is_per_task) {
        path = path.with_extension("safetensors");
    }
    engine::write_checkpoint(zoo, lessons, job, &path, cancel)
        .map_err(|error| format!("{error} ({})", error.hint()))?;
    Ok(format!("written: {}", path.display()))
}

fn unwritable(path: &Path, error: &io::Error) -> String {
    format!("cannot write {}: {error} (choose a folder that you can write with FUSEBENCH_HOME)", path.display())
}

/// The runs beside what is known of base and experts on the same split.
fn bars(runs: &[NewRun], catalog: &Catalog) -> Bars {
    let mut categories: Vec<String> = Vec::new();
    for score in runs.iter().flat_map(|run| &run.tasks) {
        if !categories.contains(&score.task) {
            categories.push(score.task.clone());
        }
    }
    let split = match runs.first().map(|run| run.split.as_str()) {
        Some("validation") => Split::Validation,
        Some("train") => Split::Train,
        _ => Split::Test,
    };
    let reference = |name: &str, of: &dyn Fn(&str) -> Option<f64>| Series {
        name: name.to_owned(),
        values: categories.iter().map(|task| of(task)).collect(),
        reference: true,
        ..Series::default()
    };
    let mut series = vec![
        reference("base", &|task| catalog.base(task, split)),
        reference("own expert", &|task| catalog.expert(task, split)),
    ];
    series.retain(|series| series.values.iter().any(Option::is_some));
    series.extend(runs.iter().map(|run| Series {
        name: format!("{}{}", runs::title(run), if is_per_task(run) { " (task known)" } else { "" }),
        values: categories.iter().map(|task| run.task(task).map(|score| score.accuracy)).collect(),
        ..Series::default()
    }));
    let mut title = match runs {
        [run] => format!("{} ({split})", runs::title(run)),
        _ => format!("{} recipes ({split})", runs.len()),
    };
    if runs.iter().any(is_per_task) {
        title += &format!("; task known: {PER_TASK}");
    }
    Bars { title, categories, series, y_label: String::new() }
}

/// The chart's numbers in percent, one row a series, with their mean; with those over seen and unseen tasks too, where a
/// run has both.
fn numbers(chart: &Bars, runs: &[NewRun]) -> table::Table {
    let apart = apart(chart, runs);
    let has_unseen = apart.iter().any(Option::is_some);
    let mut header = vec!["recipe".to_owned()];
    header.extend(chart.categories.iter().cloned());
    if has_unseen {
        header.extend(["seen average", "unseen average"].map(str::to_owned));
    }
    header.push("average".to_owned());
    let percent = |value: f64| format!("{:.2}", 100.0 * value);
    let row = |(series, apart): (&Series, &Option<Generalization>)| {
        let known: Vec<f64> = series.values.iter().copied().flatten().collect();
        let mut row = vec![series.name.clone()];
        row.extend(series.values.iter().map(|value| value.map(percent).unwrap_or_default()));
        if has_unseen {
            row.extend(
                [apart.as_ref().map(|both| both.seen), apart.as_ref().map(|both| both.unseen)]
                    .map(|mean| mean.map(percent).unwrap_or_default()),
            );
        }
        // A mean over other tasks would not be comparable.
        let complete = known.len() == series.values.len() && !known.is_empty();
        row.push(if complete { percent(known.iter().sum::<f64>() / known.len() as f64) } else { String::new() });
        row
    };
    table::Table { header, rows: chart.series.iter().zip(&apart).map(row).collect() }
}

/// Of every series of the chart: base and experts are averaged as the runs are, if these all saw the same tasks.
fn apart(chart: &Bars, runs: &[NewRun]) -> Vec<Option<Generalization>> {
    let own: Vec<Option<Generalization>> = runs.iter().map(generalization).collect();
    let first = own.first().and_then(Option::as_ref);
    let same = |both: &&Generalization| {
        own.iter().all(|other| other.as_ref().is_some_and(|other| other.unseen_tasks == both.unseen_tasks))
    };
    let shared = first.filter(same);
    let reference = |series: &Series| {
        let values: Option<Vec<f64>> = series.values.iter().copied().collect();
        let values = values?;
        let tasks = chart.categories.iter().map(String::as_str).zip(values);
        shared.and_then(|both| Generalization::of(tasks, |task| both.is_seen(task)))
    };
    let references = chart.series.len() - runs.len();
    chart.series.iter().take(references).map(reference).chain(own.iter().cloned()).collect()
}

/// A label as a file name: small letters, digits, dots and dashes.
fn slug(label: &str) -> String {
    let mut slug = String::new();
    for c in label.replace('λ', "lambda").chars().take(60) {
        if c.is_ascii_alphanumeric() || c == '.' || c == '_' {
            slug.push(c.to_ascii_lowercase());
        } else if !slug.ends_with('-') {
            slug.push('-');
        }
    }
    let slug = slug.trim_matches(['-', '.']);
    if slug.is_empty() { "run".to_owned() } else { slug.to_owned() }
}

/// A path in `folder` that has none of the extensions yet: `name`, `name-2`, `name-3` and so on. Its own extension, if
/// the name has a dot, is protected by an empty one that [`Path::with_extension`] replaces.
fn unused(folder: &Path, name: &str, extensions: &[&str]) -> PathBuf {
    let name = name.replace('.', "_");
    (1_u32..)
        .map(|n| folder.join(if n == 1 { name.clone() } else { format!("{name}-{n}") }))
        .find(|stem| extensions.iter().all(|extension| !stem.with_extension(extension).exists()))
        .unwrap_or_else(|| folder.join(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::TaskScore;
    use crate::tui::catalog::fixture;

    fn run(label: &str, shift: f64) -> NewRun {
        let score = |(at, task): (usize, &&str)| TaskScore {
            task: (*task).to_owned(),
            accuracy: 0.5 + shift + at as f64 / 100.0,
            ..TaskScore::default()
        };
        let tasks = fixture::TASKS.iter().enumerate().map(score).collect();
        NewRun { label: label.into(), split: "test".into(), tasks, ..NewRun::default() }
    }

    #[test]
    fn charts_and_tables_are_written_and_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let both = [run("task_arithmetic λ=0.4", 0.0), run("ties", 0.1)];
        let told = runs(&both, &fixture::catalog(), folder.path()).unwrap();
        assert!(told.contains("task_arithmetic-lambda-0_4-and-1-more.svg"), "{told}");
        runs(&both, &fixture::catalog(), folder.path()).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 8);
        let csv = std::fs::read_to_string(folder.path().join("task_arithmetic-lambda-0_4-and-1-more.csv")).unwrap();
        let lines: Vec<&str> = csv.lines().collect();
        assert!(lines[0].starts_with("recipe,mnist,fashion,") && lines[0].ends_with(",average"), "{csv}");
        assert_eq!(lines.len(), 1 + 2 + 2);
        assert!(lines[4].starts_with("ties,60.00,61.00,") && lines[4].ends_with(",63.50"), "{csv}");
        let png = std::fs::read(folder.path().join("task_arithmetic-lambda-0_4-and-1-more-2.png")).unwrap();
        assert_eq!(&png[1..4], b"PNG");
    }

    #[test]
    fn tables_have_the_averages_of_seen_and_unseen_tasks_where_there_are_both() {
        let written = |experts: [&[&str]; 2]| {
            let of = |(label, shift), experts: &[&str]| NewRun {
                recipe_toml: format!("[method]\nid = \"ties\"\n[pool]\nexperts = {experts:?}\n"),
                ..run(label, shift)
            };
            let both = [of(("a", 0.0), experts[0]), of(("b", 0.1), experts[1])];
            table::csv(&numbers(&bars(&both, &fixture::catalog()), &both))
        };
        let seen = &fixture::TASKS[2..];
        let csv = written([seen, seen]);
        let lines: Vec<&str> = csv.lines().collect();
        assert!(lines[0].ends_with(",clipart,seen average,unseen average,average"), "{csv}");
        assert!(lines[1].starts_with("base,") && lines[1].ends_with(",51.83,68.00,55.88"), "{csv}");
        assert!(lines[3].ends_with(",54.50,50.50,53.50") && lines[4].ends_with(",64.50,60.50,63.50"), "{csv}");
        let csv = written([seen, &fixture::TASKS]);
        let lines: Vec<&str> = csv.lines().collect();
        assert!(lines[1].ends_with(",,,55.88"), "base beside runs that saw different tasks: {csv}");
        assert!(lines[3].ends_with(",54.50,50.50,53.50") && lines[4].ends_with(",,,63.50"), "{csv}");
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = runs(&[run("a", 0.0)], &fixture::catalog(), &file.path().join("exports")).unwrap_err();
        assert!(error.contains(&file.path().display().to_string()), "{error}");
        assert!(runs(&[], &fixture::catalog(), file.path()).is_err());
    }

    #[test]
    fn labels_become_harmless_file_names() {
        assert_eq!(slug("task_arithmetic λ=0.4"), "task_arithmetic-lambda-0.4");
        assert_eq!(slug("../../etc/passwd"), "etc-passwd");
        assert_eq!(slug("\x1b[2J"), "2j");
        assert_eq!(slug("日本"), "run");
    }
}
