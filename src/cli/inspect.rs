//! `fusebench inspect`: what a checkpoint holds.

use super::alarms;
use super::args::Inspect;
use super::error::CliError;
use super::output::{self, Columns};
use super::progress::Line;
use super::signals::{Signals, watch};
use crate::cancel::Cancel;
use crate::engine::inspect::{AdapterFacts, BlockSummary, Inspection, Origin, StatsSummary, TensorSummary, inspect};
use crate::text::{self, grouped, printable};
use crate::weights::Tied;
use serde_json::Value as Json;
use std::process::ExitCode;

pub fn run(args: &Inspect) -> Result<ExitCode, CliError> {
    let cancel = Cancel::default();
    let stop = cancel.clone();
    let signals = Signals::listen(move |_| stop.cancel())?;
    // Where a file is cut short nobody knows which: there is only one.
    let _watched = watch(|(): &()| None)?;
    let mut line = Line::new(args.report.quiet);
    let mut progress =
        |done: u64, total: u64| line.draw(&format!("read  {} of {}", text::bytes(done), text::bytes(total)));
    let result = inspect(&args.checkpoint, args.filter.as_deref(), args.stats, &cancel, &mut progress);
    line.clear();
    signals.check()?;
    let inspection = result?;
    if args.report.json {
        output::json(&inspection)?;
    } else {
        output::raw(render(&inspection, args).as_bytes())?;
    }
    Ok(alarms::exit_code(&inspection.alarms, args.report.strict))
}

fn render(inspection: &Inspection, args: &Inspect) -> String {
    let dtypes: Vec<String> = inspection.dtypes.keys().cloned().collect();
    let mut text = format!(
        "{}: {} tensors, {} parameters, {}, {}\n",
        printable(&inspection.checkpoint),
        inspection.tensors.len(),
        grouped(inspection.parameters),
        text::bytes(inspection.bytes as u64),
        dtypes.join(" ")
    );
    for (label, fact) in facts(inspection) {
        text.push_str(&format!("{label:<9} {}\n", printable(&fact)));
    }
    text.push('\n');
    text.push_str(&match (args.stats, &args.filter) {
        (false, _) => tree(inspection),
        (true, None) => {
            let blocks = inspection.blocks.iter();
            statistics("block", blocks.map(|block| (block.name.clone(), block.parameters, block.stats)))
        }
        (true, Some(_)) => {
            statistics("tensor", inspection.tensors.iter().map(|t| (t.name.clone(), elements(t), t.stats)))
        }
    });
    if let Some(found) = alarms::render(&inspection.alarms) {
        text.push('\n');
        text.push_str(&found);
    }
    text
}

/// A label and what there is to say, line by line.
fn facts(inspection: &Inspection) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    let commit = inspection.commit.as_ref().map_or_else(String::new, |commit| format!(" at {commit}"));
    let files = match inspection.files.len() {
        1 => String::new(),
        n => format!(" ({n} files)"),
    };
    facts.push(("path", format!("{}{commit}{files}", inspection.path)));
    let config = inspection.config.iter().map(|fact| format!("{} {}", fact.key, value(&fact.value)));
    facts.extend(chunks(config.collect(), 5).into_iter().map(|line| ("config", line)));
    if let Some(adapter) = &inspection.adapter {
        let changed = inspection.tensors.iter().filter(|tensor| tensor.adapted).count();
        facts.push(("adapter", describe_adapter(adapter, changed)));
    }
    for tie in &inspection.ties {
        let (weight, partner) = (&tie.weight, &tie.partner);
        facts.push(match tie.state {
            Tied::Implied => ("tied", format!("{weight} is {partner} and is not stored")),
            Tied::Stored => ("tied", format!("{weight} is {partner}, stored twice")),
            Tied::Untied => ("untied", format!("{weight} has values of its own, other than {partner}")),
        });
    }
    if let Some(origin) = &inspection.origin {
        facts.extend(describe_origin(origin));
    }
    let metadata = inspection.metadata.iter().map(|(key, value)| format!("{key} {value}"));
    facts.extend(metadata.map(|line| ("metadata", line)));
    facts.dedup_by(|next, first| next.0 == first.0 && next.1 == first.1);
    facts
}

fn describe_adapter(adapter: &AdapterFacts, changed: usize) -> String {
    let mut parts = vec![adapter.kind.clone()];
    if let (Some(r), Some(alpha)) = (adapter.r, adapter.alpha) {
        let scale = alpha / if adapter.rslora { r.sqrt() } else { r };
        parts.push(format!("r {r}, alpha {alpha}, scale {}", number(scale)));
    }
    let listed = |label: &str, names: &[String]| (!names.is_empty()).then(|| format!("{label} {}", names.join(" ")));
    parts.extend(listed("targets", &adapter.target_modules));
    parts.extend(listed("saved", &adapter.modules_to_save));
    if adapter.patterns > 0 {
        parts.push(format!("{} modules with a rank or alpha of their own", adapter.patterns));
    }
    if changed > 0 {
        parts.push(format!("changes {changed} tensors"));
    }
    parts.extend(adapter.base.as_ref().map(|base| format!("trained on {base}")));
    parts.join("; ")
}

fn describe_origin(origin: &Origin) -> Vec<(&'static str, String)> {
    let params = origin.params.as_object().into_iter().flatten();
    let params: Vec<String> = params.map(|(name, set)| format!("{name}={}", value(set))).collect();
    let set = if origin.recipe { "by a recipe with parts".to_owned() } else { params.join(" ") };
    let mut lines = vec![("merged", format!("by fusebench: {} {set}", origin.method))];
    lines.extend(origin.parents.iter().map(|parent| {
        let from = parent.from.as_deref().unwrap_or("in the zoo");
        ("parent", format!("{}  {from}  {}", parent.name, parent.fingerprint))
    }));
    lines
}

/// Blocks with their tensors; blocks that are built the same once.
fn tree(inspection: &Inspection) -> String {
    let mut columns = Columns::with_header(["block", "shape", "dtype", "tensors", "parameters", "bytes"]);
    for block in &inspection.blocks {
        let BlockSummary { name, times, tensors, parameters, bytes, members, .. } = block;
        columns.row([
            printable(name).into_owned(),
            if *times > 1 { format!("{times} ×") } else { String::new() },
            String::new(),
            tensors.to_string(),
            grouped(*parameters),
            text::bytes(*bytes as u64),
        ]);
        for (below, at) in members {
            let tensor = &inspection.tensors[*at];
            let mark = if tensor.adapted { "*" } else { "" };
            columns.row([
                format!("  {}{mark}", printable(below)),
                shape(&tensor.shape),
                tensor.dtype.clone(),
                String::new(),
                grouped(elements(tensor)),
                text::bytes(tensor.bytes as u64),
            ]);
        }
    }
    let adapted = inspection.tensors.iter().any(|tensor| tensor.adapted);
    columns.render() + if adapted { "* changed by the adapter\n" } else { "" }
}

fn statistics(what: &str, rows: impl Iterator<Item = (String, usize, Option<StatsSummary>)>) -> String {
    let header = [what, "parameters", "mean", "std", "min", "max", "zeros", "norm", "nan", "inf"];
    let mut columns = Columns::with_header(header);
    for (name, parameters, stats) in rows {
        let Some(StatsSummary { stats, std, norm, zero_share }) = stats else { continue };
        columns.row([
            printable(&name).into_owned(),
            grouped(parameters),
            number(stats.mean),
            number(std),
            number(stats.min),
            number(stats.max),
            alarms::percent(zero_share),
            number(norm),
            stats.nan.to_string(),
            stats.inf.to_string(),
        ]);
    }
    columns.render()
}

fn elements(tensor: &TensorSummary) -> usize {
    tensor.shape.iter().product()
}

fn shape(shape: &[usize]) -> String {
    if shape.is_empty() {
        return "scalar".to_owned();
    }
    shape.iter().map(usize::to_string).collect::<Vec<_>>().join("×")
}

/// A JSON value as people write it in a sentence.
fn value(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        Json::Array(list) => list.iter().map(self::value).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    }
}

/// So many entries a line.
fn chunks(entries: Vec<String>, most: usize) -> Vec<String> {
    entries.chunks(most).map(|line| line.join(", ")).collect()
}

/// A number of any size with three or four digits.
pub fn number(x: f64) -> String {
    match x.abs() {
        0.0 => "0".to_owned(),
        size if !size.is_finite() => "-".to_owned(),
        size if (1e-3..10.0).contains(&size) => format!("{x:.4}"),
        size if (10.0..1e5).contains(&size) => format!("{x:.1}"),
        _ => format!("{x:.2e}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_any_size_stay_short() {
        let shown = [0.0, 1.0, -0.01234, 123.456, 1e-9, -2e7, f64::NAN].map(number);
        assert_eq!(shown, ["0", "1.0000", "-0.0123", "123.5", "1.00e-9", "-2.00e7", "-"]);
        assert_eq!((shape(&[]), shape(&[3, 4])), ("scalar".to_owned(), "3×4".to_owned()));
    }
}
