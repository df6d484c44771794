//! Two recipes on the same samples: is the difference one, or chance?

use super::Outcome;
use super::table::{on, recipe_line};
use crate::cli::output::Columns;
use crate::engine::{Report, TaskReport};
use crate::tasks::metrics::{Paired, holm, margin, mcnemar};
use serde_json::{Map, Value as Json, json};
use std::fmt::Write;

/// Chance below which a difference is marked, after Holm's correction for the number of tasks.
const SIGNIFICANT: f64 = 0.05;

/// Both recipes on one task.
struct Row<'a> {
    first: &'a TaskReport,
    second: &'a TaskReport,
    paired: Paired,
    /// p as if this were the only task.
    adjusted: f64,
}

/// Both averages over the same tasks, and half the width of their difference's 95 % interval.
struct Average {
    first: f64,
    second: f64,
    margin: f64,
}

impl Average {
    fn difference(&self) -> f64 {
        self.first - self.second
    }
}

fn rows<'a>(first: &'a Report, second: &'a Report) -> Vec<Row<'a>> {
    let other = |task: &TaskReport| second.tasks.iter().find(|other| other.task == task.task);
    let mut rows: Vec<Row<'_>> = first
        .tasks
        .iter()
        .filter_map(|task| Some((task, other(task)?)))
        .map(|(first, second)| Row { first, second, paired: mcnemar(&first.outcomes, &second.outcomes), adjusted: 1.0 })
        .collect();
    let adjusted = holm(&rows.iter().map(|row| row.paired.p).collect::<Vec<_>>());
    rows.iter_mut().zip(adjusted).for_each(|(row, adjusted)| row.adjusted = adjusted);
    rows
}

fn average(rows: &[Row<'_>], pick: impl Fn(&str) -> bool) -> Average {
    let rows: Vec<&Row<'_>> = rows.iter().filter(|row| pick(&row.first.task)).collect();
    let n = rows.len().max(1) as f64;
    let mean = |of: fn(&Row<'_>) -> f64| rows.iter().map(|row| of(row)).sum::<f64>() / n;
    let variance: f64 = rows.iter().map(|row| row.paired.variance(row.first.n)).sum();
    Average {
        first: mean(|row| row.first.accuracy),
        second: mean(|row| row.second.accuracy),
        margin: margin(variance) / n,
    }
}

/// By name: over all tasks, and before them over seen and unseen ones where both recipes have the same of both.
fn averages(first: &Report, second: &Report, rows: &[Row<'_>]) -> Vec<(&'static str, Average)> {
    let both = first.generalization.as_ref();
    let both =
        both.filter(|both| second.generalization.as_ref().is_some_and(|other| other.unseen_tasks == both.unseen_tasks));
    let apart = both.map(|both| {
        let of = |seen: bool| average(rows, |task| both.is_seen(task) == seen);
        [("seen average", of(true)), ("unseen average", of(false))]
    });
    apart.into_iter().flatten().chain([("average", average(rows, |_| true))]).collect()
}

/// What `against` holds in the report of the first.
pub fn json(first: &Outcome, second: &Outcome) -> Json {
    let rows = rows(&first.report, &second.report);
    let row = |row: &Row<'_>| {
        let entry = json!({
            "accuracy": row.second.accuracy,
            "difference": row.first.accuracy - row.second.accuracy,
            "only_this_right": row.paired.wins,
            "only_other_right": row.paired.losses,
            "p": row.paired.p,
            "p_holm": row.adjusted,
        });
        (row.first.task.clone(), entry)
    };
    let means = averages(&first.report, &second.report, &rows).into_iter().map(|(name, average)| {
        let (difference, margin) = (average.difference(), average.margin);
        let entry = json!({
            "accuracy": average.second,
            "difference": difference,
            "low": difference - margin,
            "high": difference + margin,
        });
        (name.replace(' ', "_"), entry)
    });
    let means: Map<String, Json> = means.collect();
    let mut json = json!({
        "recipe": second.job.recipe,
        "transductive": second.job.recipe.is_transductive(),
        "tasks": rows.iter().map(row).collect::<Map<_, _>>(),
    });
    means.into_iter().for_each(|(name, entry)| json[name] = entry);
    json
}

/// One row a task, in per cent.
pub fn table(first: &Outcome, second: &Outcome) -> String {
    let rows = rows(&first.report, &second.report);
    let mut columns = Columns::with_header(["task", "this", "other", "difference", "only this", "only other", "p", ""]);
    let percent = |share: f64| format!("{:.1}", 100.0 * share);
    for row in &rows {
        columns.row([
            row.first.task.clone(),
            percent(row.first.accuracy),
            percent(row.second.accuracy),
            format!("{:+.1}", 100.0 * (row.first.accuracy - row.second.accuracy)),
            row.paired.wins.to_string(),
            row.paired.losses.to_string(),
            probability(row.paired.p),
            if row.adjusted < SIGNIFICANT { "*".to_owned() } else { String::new() },
        ]);
    }
    for (name, average) in averages(&first.report, &second.report, &rows) {
        let (difference, margin) = (average.difference(), average.margin);
        columns.row([
            name.to_owned(),
            percent(average.first),
            percent(average.second),
            format!("{:+.1} ±{:.1}", 100.0 * difference, 100.0 * margin),
            String::new(),
            String::new(),
            String::new(),
            if difference.abs() > margin { "*".to_owned() } else { String::new() },
        ]);
    }
    let mut text = String::new();
    let _ = write!(
        text,
        "this   {}\nother  {}\n{}, the same samples\n\n{}\np: McNemar's exact test; * p < 0.05 after Holm's correction for \
         {} tasks, of the average: zero is outside of its 95 % interval\n",
        recipe_line(first),
        recipe_line(second),
        on(&first.report),
        columns.render(),
        rows.len(),
    );
    text
}

fn probability(p: f64) -> String {
    if p < 0.001 { "<0.001".to_owned() } else { format!("{p:.3}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(name: &str, outcomes: Vec<bool>) -> TaskReport {
        let correct = outcomes.iter().filter(|right| **right).count() as u64;
        let n = outcomes.len() as u64;
        TaskReport {
            task: name.to_owned(),
            accuracy: correct as f64 / n as f64,
            loss: 0.0,
            n,
            correct,
            routing: Vec::new(),
            outcomes,
        }
    }

    fn report(tasks: Vec<TaskReport>) -> Report {
        let average = tasks.iter().map(|task| task.accuracy).sum::<f64>() / tasks.len() as f64;
        Report {
            tasks,
            average,
            generalization: None,
            split: crate::tasks::Split::Test,
            corruption: None,
            complete: true,
            fuse_seconds: 0.0,
            evaluate_seconds: 0.0,
            fuse_memory: None,
            device: "cpu".to_owned(),
            cached: false,
            learned_before: false,
            per_task: None,
            mixture: None,
        }
    }

    #[test]
    fn a_real_difference_and_one_by_chance() {
        let mixed = |count: usize| (0..100).map(|at| at < count).collect::<Vec<_>>();
        let first = report(vec![task("a", mixed(80)), task("b", mixed(51))]);
        let second = report(vec![task("b", mixed(50)), task("a", mixed(60))]);
        let rows = rows(&first, &second);
        assert_eq!(rows.iter().map(|row| row.first.task.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        assert!(rows[0].adjusted < 1e-4 && rows[1].adjusted > 0.9);
        let average = average(&rows, |_| true);
        // 20 of 100 and 1 of 100, a side each.
        let expected = 1.959_964 * ((20.0 - 4.0) / 1e4f64 + (1.0 - 0.01) / 1e4).sqrt() / 2.0;
        assert!((average.difference() - 0.105).abs() < 1e-12 && (average.margin - expected).abs() < 1e-6);
        let apart = |mut report: Report| {
            let tasks: Vec<_> = report.tasks.iter().map(|task| (task.task.clone(), task.accuracy)).collect();
            let tasks = tasks.iter().map(|(task, share)| (task.as_str(), *share));
            report.generalization = crate::engine::Generalization::of(tasks, |task| task == "a");
            report
        };
        let [first, second] = [first.clone(), second.clone()].map(apart);
        let names = |second| averages(&first, second, &rows).iter().map(|(name, _)| *name).collect::<Vec<_>>();
        assert_eq!(names(&second), ["seen average", "unseen average", "average"]);
        assert_eq!(names(&report(Vec::new())), ["average"], "the other has seen other tasks");
        let [(_, seen), (_, unseen), _] = &averages(&first, &second, &rows)[..] else { panic!() };
        assert!((seen.difference() - 0.2).abs() < 1e-12 && (unseen.difference() - 0.01).abs() < 1e-12);
    }
}
