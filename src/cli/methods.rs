//! `fusebench methods`: the registry, as a list, in detail, or as JSON.

use super::args::Named;
use super::error::CliError;
use super::output::{self, Columns};
use crate::fusion::{self, Examples, Family, METHODS, Method};
use crate::params::{Kind, Spec, Value, json_schema};
use serde_json::{Value as Json, json};
use std::fmt::Write;

pub fn run(args: &Named) -> Result<(), CliError> {
    match (&args.name, args.json) {
        (None, false) => list(),
        (None, true) => output::json(&METHODS.iter().map(|method| describe(method)).collect::<Vec<_>>()),
        (Some(name), json) => {
            let method = fusion::find(name)?;
            if json { output::json(&describe(method)) } else { output::raw(detail(method).as_bytes()) }
        }
    }
}

fn list() -> Result<(), CliError> {
    let mut columns = Columns::with_header(["method", "name", "formula", "parameters"]);
    for family in [Family::Merging, Family::Compression, Family::Correction, Family::Ensemble, Family::Mixing] {
        let methods: Vec<_> = METHODS.iter().filter(|method| method.family == family).collect();
        if methods.is_empty() {
            continue;
        }
        columns.gap();
        columns.row([family.title().to_owned(), String::new(), family.note().to_owned(), String::new()]);
        for method in methods {
            let shown = method.specs.iter().filter(|spec| !spec.advanced);
            let params: Vec<String> = shown.map(|spec| format!("{}={}", spec.name, Value::default_of(spec))).collect();
            columns.row([
                format!("  {}", method.id),
                method.name.to_owned(),
                method.formula.to_owned(),
                params.join(" "),
            ]);
        }
    }
    columns.print()
}

fn describe(method: &Method) -> Json {
    json!({
        "id": method.id,
        "name": method.name,
        "family": method.family,
        "per_task": method.is_per_task(),
        "formula": method.formula,
        "summary": method.summary,
        "reference": method.reference,
        "needs": method.needs,
        "params": json_schema(method.specs),
    })
}

fn detail(method: &Method) -> String {
    let mut text = format!("{} ({}, {})\n\n", method.name, method.id, method.family.title());
    let _ = writeln!(text, "  {}\n\n{}\n", method.formula, method.summary);
    if !method.reference.is_empty() {
        let _ = writeln!(text, "reference: {}", method.reference);
    }
    if method.is_per_task() {
        let _ = writeln!(text, "gives: {}", method.family.note());
    }
    let needs = method.needs;
    let models = match needs.max_models {
        Some(max) if max == needs.min_models => format!("exactly {max} experts"),
        Some(max) => format!("{} to {max} experts", needs.min_models),
        None => format!("at least {} {}", needs.min_models, if needs.min_models == 1 { "expert" } else { "experts" }),
    };
    let base = if needs.base { " and their base" } else { "" };
    let data = if needs.data == Examples::None { String::new() } else { format!(", and {}", needs.data.words()) };
    let _ = writeln!(text, "needs: {models}{base}{data}");
    if method.specs.is_empty() {
        text.push_str("\nIt has no parameters.\n");
        return text;
    }
    let mut columns = Columns::with_header(["parameter", "", "default", "values", "meaning"]);
    for spec in method.specs {
        columns.row([
            spec.name.to_owned(),
            spec.symbol.to_owned(),
            Value::default_of(spec).to_string(),
            values(spec),
            spec.help.to_owned(),
        ]);
    }
    let _ = write!(text, "\n{}\nfusebench run {}", columns.render(), method.id);
    if let Some(spec) = method.specs.first() {
        let _ = write!(text, " --set {}={}", spec.name, Value::default_of(spec));
    }
    text.push('\n');
    text
}

fn values(spec: &Spec) -> String {
    let unit = if spec.unit.is_empty() { String::new() } else { format!(" {}", spec.unit) };
    let bounds = match spec.range() {
        Some((min, max)) if spec.is_wider_than_slider() => {
            format!("{} (slider: {min} to {max})", spec.bounds)
        }
        _ => spec.bounds.to_string(),
    };
    match spec.kind {
        Kind::Float { .. } => format!("{bounds}{unit}"),
        Kind::Int { .. } => format!("whole, {bounds}{unit}"),
        Kind::Bool { .. } => "true, false".to_owned(),
        Kind::Choice { options, .. } => options.join(", "),
        Kind::PerModel { .. } => format!("{bounds}; one or one per expert"),
        Kind::PerGroup { .. } => format!("{bounds}; one, one per expert, or [expert][block]"),
        Kind::Seed { .. } => "whole, 0 or more".to_owned(),
        Kind::Text { .. } => "text".to_owned(),
    }
}
