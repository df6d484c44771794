//! One recipe on images as they are and corrupted, in the form of the paper's tables.

use super::Outcome;
use super::averages::{Reference, named};
use super::report::about;
use crate::cli::output::Columns;
use crate::engine::Report;
use crate::zoo::Zoo;
use serde_json::{Map, Value as Json, json};

/// `clean`, or what was done to the images.
fn name(report: &Report) -> String {
    report.corruption.map_or_else(|| "clean".to_owned(), |corruption| corruption.to_string())
}

/// One entry a kind of images, the clean ones first.
pub fn json(zoo: &Zoo, outcomes: &[Outcome]) -> Json {
    let entry = |outcome: &Outcome| {
        let report = &outcome.report;
        let tasks = report.tasks.iter().map(|task| (task.task.clone(), Json::from(task.accuracy)));
        json!({
            "images": name(report),
            "corruption": report.corruption,
            "average": report.average,
            "generalization": report.generalization,
            "tasks": tasks.collect::<Map<_, _>>(),
        })
    };
    let Some(first) = outcomes.first() else { return Json::Null };
    let reference = Reference::of(zoo, &first.report);
    json!({
        "robustness": outcomes.iter().map(entry).collect::<Vec<_>>(),
        "average": {
            "base": reference.map(|reference| reference.base),
            "expert": reference.map(|reference| reference.expert),
        },
        "fusebench": about(zoo, first, outcomes),
    })
}

/// One row a kind of images, one column a task and average, in per cent.
pub fn table(title: &str, outcomes: &[Outcome]) -> String {
    let Some(first) = outcomes.first() else { return String::new() };
    let percent = |share: f64| format!("{:.1}", 100.0 * share);
    let tasks = first.report.tasks.iter().map(|task| task.task.clone());
    let mut columns = Columns::default();
    let averages = named(&first.report).into_iter().map(|(name, _)| name.to_owned());
    columns.cells(["images".to_owned()].into_iter().chain(tasks).chain(averages).collect());
    for Outcome { report, .. } in outcomes {
        let cells = report.tasks.iter().map(|task| percent(task.accuracy));
        let averages = named(report).into_iter().map(|(_, share)| percent(share));
        columns.cells([name(report)].into_iter().chain(cells).chain(averages).collect());
    }
    format!("{title}\n\n{}\n", columns.render())
}
