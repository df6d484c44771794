//! The result for people: one row a task, or one row a value of a sweep.

use super::averages::{self, Reference, averages, named};
use super::plan::{Plan, SEED, Sweep};
use super::report::best;
use super::{Outcome, against, report, robustness, seeds};
use crate::cli::output::Columns;
use crate::engine::{FITTED, Report, TRANSDUCTIVE};
use crate::fusion;
use crate::tasks::{Split, metrics};
use crate::text::{bytes, printable};
use crate::zoo::Zoo;
use std::fmt::Write;

pub fn render(zoo: &Zoo, plan: &Plan, outcomes: &[Outcome]) -> String {
    match (&plan.sweep, outcomes) {
        (Some(sweep), _) => sweep_table(zoo, sweep, outcomes),
        (None, [first, ..]) if !plan.seeds.is_empty() => {
            seeds::table(&title(first, Some(SEED)), outcomes) + &footer(outcomes)
        }
        (None, [first, ..]) if plan.is_robustness() => {
            robustness::table(&title(first, None), outcomes) + &footer(outcomes)
        }
        (None, [outcome]) => single(zoo, outcome),
        (None, [first, second]) => against::table(first, second) + &footer(outcomes),
        (None, _) => String::new(),
    }
}

fn single(zoo: &Zoo, outcome: &Outcome) -> String {
    let report = &outcome.report;
    let mut columns = Columns::with_header(["task", "base", "fused", "expert", "Δ base", "95 % interval", "n"]);
    for task in &report.tasks {
        let (base, expert) =
            (zoo.scores().base(&task.task, report.split), zoo.scores().expert(&task.task, report.split));
        let (low, high) = metrics::wilson(task.correct, task.n);
        let unseen = report.generalization.as_ref().is_some_and(|both| !both.is_seen(&task.task));
        columns.row([
            format!("{}{}", task.task, if unseen { " (unseen)" } else { "" }),
            percent(base),
            percent(Some(task.accuracy)),
            percent(expert),
            difference(base, task.accuracy),
            format!("{:.1} – {:.1}", 100.0 * low, 100.0 * high),
            task.n.to_string(),
        ]);
    }
    for average in averages(zoo, report) {
        let base = average.reference.map(|reference| reference.base);
        columns.row([
            average.title().to_owned(),
            percent(base),
            percent(Some(average.accuracy)),
            percent(average.reference.map(|reference| reference.expert)),
            difference(base, average.accuracy),
            String::new(),
            average.n.to_string(),
        ]);
    }
    let mut text = format!("{}\n\n{}\n", title(outcome, None), columns.render());
    if let Some(share) = Reference::gap_of(zoo, report) {
        let _ = writeln!(text, "gap recovered: {:.1} % of the way from the base to the experts", 100.0 * share);
    }
    text + &footer(std::slice::from_ref(outcome))
}

fn sweep_table(zoo: &Zoo, sweep: &Sweep, outcomes: &[Outcome]) -> String {
    let Some(best) = best(outcomes) else { return String::new() };
    let mut columns = Columns::default();
    let averages = named(&best.report).into_iter().map(|(name, _)| name);
    let header = [sweep.name.as_str()].into_iter().chain(averages).chain(["gap recovered", ""]);
    columns.cells(header.map(str::to_owned).collect());
    for outcome in outcomes {
        let report = &outcome.report;
        let gap = Reference::gap_of(zoo, report);
        let mark = if std::ptr::eq(outcome, best) { "best" } else { "" };
        let value = outcome.value.map_or_else(String::new, |value| value.to_string());
        let gap = gap.map_or_else(|| "-".to_owned(), |share| format!("{:.1} %", 100.0 * share));
        let averages = named(report).into_iter().map(|(_, share)| percent(Some(share)));
        columns.cells([value].into_iter().chain(averages).chain([gap, mark.to_owned()]).collect());
    }
    let method = fusion::find(&best.job.recipe.method).map_or(best.job.recipe.method.as_str(), |method| method.name);
    let mut text = format!(
        "{method}{}, {} experts, {}, {}\n\n{}\n",
        mark(best),
        best.job.recipe.experts.len(),
        on(&best.report),
        best.report.device,
        columns.render()
    );
    if best.report.split == Split::Test && outcomes.len() > 1 {
        text.push_str(
            "note: a value chosen on the test split looks better than it is; choose with --split validation\n",
        );
    }
    text + &footer(outcomes)
}

/// `varied` is a parameter that has several values.
fn title(outcome: &Outcome, varied: Option<&str>) -> String {
    let (recipe, report) = (&outcome.job.recipe, &outcome.report);
    let (recipe_line, experts, on) = (line_without(outcome, varied), recipe.experts.len(), on(report));
    format!("{recipe_line}, {experts} experts, {on}, {}", report.device)
}

/// What has to be known of a result that looks better than it is.
fn mark(outcome: &Outcome) -> String {
    if outcome.job.recipe.is_transductive() {
        format!(" ({TRANSDUCTIVE}: it adapted to test inputs)")
    } else if outcome.job.recipe.is_fitted_to(outcome.report.split) {
        format!(" ({FITTED})")
    } else {
        String::new()
    }
}

/// `Task arithmetic, λ = 0.3`: the method and the parameters that people look at.
pub fn recipe_line(outcome: &Outcome) -> String {
    line_without(outcome, None)
}

fn line_without(outcome: &Outcome, param: Option<&str>) -> String {
    let recipe = &outcome.job.recipe;
    let Ok(method) = fusion::find(&recipe.method) else { return recipe.method.clone() };
    let shown = method.specs.iter().filter(|spec| !spec.advanced && param != Some(spec.name));
    let values = shown.filter_map(|spec| Some(format!(", {} = {}", spec.label(), recipe.params.get(spec.name)?)));
    let mark = mark(outcome);
    // Before the values: where there is little room, these are cut.
    format!("{}{mark}{}", method.name, values.collect::<String>())
}

/// `test split`, with what was done to its images.
pub fn on(report: &Report) -> String {
    let corruption = report.corruption.map_or_else(String::new, |corruption| format!(", {}", corruption.title()));
    format!("{} split{corruption}", report.split)
}

fn footer(outcomes: &[Outcome]) -> String {
    let mut text = String::new();
    for warning in report::warnings(outcomes) {
        let _ = writeln!(text, "warning: {}", printable(warning));
    }
    if outcomes.iter().any(|outcome| !outcome.report.complete) {
        text.push_str("note: only a part of the split was evaluated; base and expert are of the whole split\n");
    }
    if outcomes.iter().any(|outcome| outcome.report.corruption.is_some()) {
        text.push_str("note: scores of base and experts, and what methods look at, are of images as they are\n");
    }
    if let Some(unseen) = averages::note(outcomes) {
        let _ = writeln!(text, "note: {unseen}");
    }
    if let Some(models) = outcomes.iter().find_map(|outcome| outcome.report.per_task.as_ref()) {
        let _ = writeln!(text, "note: {}", models.summary());
    }
    if let Some(mixture) = outcomes.iter().find_map(|outcome| outcome.report.mixture.as_ref()) {
        let _ = writeln!(text, "note: {}", mixture.summary());
    }
    let total = |seconds: fn(&Report) -> f64| outcomes.iter().map(|outcome| seconds(&outcome.report)).sum::<f64>();
    let own: fn(&Report) -> f64 = |report| if report.learned_before { 0.0 } else { report.fuse_seconds };
    let (fuse, evaluate) = (total(own), total(|report| report.evaluate_seconds));
    let memory = outcomes.iter().filter_map(|outcome| outcome.report.fuse_memory).max();
    let memory = memory.map_or_else(String::new, |most| format!(" and at most {} of memory", bytes(most)));
    let _ = writeln!(text, "fused in {fuse:.2} s{memory}, evaluated in {evaluate:.2} s");
    text
}

fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "-".to_owned(), |share| format!("{:.1}", 100.0 * share))
}

fn difference(base: Option<f64>, fused: f64) -> String {
    base.map_or_else(|| "-".to_owned(), |base| format!("{:+.1}", 100.0 * (fused - base)))
}
