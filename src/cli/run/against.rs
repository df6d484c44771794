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

/// The difference of the averages, and half the width of its 95 % interval.
struct Average {
    difference: f64,
    margin: f64,
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

fn average(rows: &[Row<'_>]) -> Average {
    let n = rows.len().max(1) as f64;
    let difference = rows.iter().map(|row| row.first.accuracy - row.second.accuracy).sum::<f64>() / n;
    let variance: f64 = rows.iter().map(|row| row.paired.variance(row.first.n)).sum();
    Average { difference, margin: margin(variance) / n }
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
    let Average { difference, margin } = average(&rows);
    json!({
        "recipe": second.job.recipe,
        "transductive": second.job.recipe.is_transductive(),
        "average": {
            "accuracy": second.report.average,
            "difference": difference,
            "low": difference - margin,
            "high": difference + margin,
        },
        "tasks": rows.iter().map(row).collect::<Map<_, _>>(),
    })
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
    let Average { difference, margin } = average(&rows);
    columns.row([
        "average".to_owned(),
        percent(first.report.average),
        percent(second.report.average),
        format!("{:+.1} ±{:.1}", 100.0 * difference, 100.0 * margin),
        String::new(),
        String::new(),
        String::new(),
        if difference.abs() > margin { "*".to_owned() } else { String::new() },
    ]);
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
            split: crate::tasks::Split::Test,
            corruption: None,
            complete: true,
            fuse_seconds: 0.0,
            evaluate_seconds: 0.0,
            device: "cpu".to_owned(),
            cached: false,
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
        let average = average(&rows);
        // 20 of 100 and 1 of 100, a side each.
        let expected = 1.959_964 * ((20.0 - 4.0) / 1e4f64 + (1.0 - 0.01) / 1e4).sqrt() / 2.0;
        assert!((average.difference - 0.105).abs() < 1e-12 && (average.margin - expected).abs() < 1e-6);
    }
}
