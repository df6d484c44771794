//! `fusebench tasks`: what the zoo can evaluate on, with the recorded scores of base and experts.

use super::args::{Global, Listing};
use super::error::CliError;
use super::output::{self, Columns};
use super::zoo::open;
use crate::tasks::Split;
use crate::text::printable;
use serde_json::json;

pub fn run(args: &Listing, global: &Global) -> Result<(), CliError> {
    let zoo = open(global)?;
    let (base, expert) =
        (|task: &str, split| zoo.scores().base(task, split), |task: &str, split| zoo.scores().expert(task, split));
    if args.json {
        let tasks = zoo.tasks().iter().map(|task| {
            json!({
                "id": task.id,
                "title": task.title,
                "classes": task.classes,
                "train": task.train,
                "validation": task.validation,
                "test": task.test,
                "base": { "validation": base(&task.id, Split::Validation), "test": base(&task.id, Split::Test) },
                "expert": { "validation": expert(&task.id, Split::Validation), "test": expert(&task.id, Split::Test) },
                "source": task.source,
                "licence": task.licence,
            })
        });
        return output::json(&tasks.collect::<Vec<_>>());
    }
    let mut columns =
        Columns::with_header(["task", "classes", "train", "validation", "test", "base %", "expert %", "about"]);
    let percent = |score: Option<f64>| score.map_or_else(|| "-".to_owned(), |score| format!("{:.1}", 100.0 * score));
    for task in zoo.tasks() {
        columns.row([
            printable(&task.id).into_owned(),
            task.classes.len().to_string(),
            task.train.to_string(),
            task.validation.to_string(),
            task.test.to_string(),
            percent(base(&task.id, Split::Test)),
            percent(expert(&task.id, Split::Test)),
            printable(&task.title).into_owned(),
        ]);
    }
    columns.print()?;
    if let Some(heads) = zoo.about_heads() {
        eprintln!("Frozen heads: {}.", printable(heads));
    }
    Ok(())
}
