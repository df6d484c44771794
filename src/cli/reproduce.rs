//! `fusebench reproduce`: a merged checkpoint made again from its own metadata, and compared.

use super::args::Reproduce;
use super::error::CliError;
use super::output;
use super::progress::Line;
use super::signals::Signals;
use crate::cancel::Cancel;
use crate::engine::merge::{Comparison, default_memory, reproduce};
use crate::text::{bytes, printable};
use std::process::ExitCode;

pub fn run(args: &Reproduce) -> Result<ExitCode, CliError> {
    let cancel = Cancel::default();
    let stop = cancel.clone();
    let signals = Signals::listen(move |_| stop.cancel())?;
    let mut line = Line::new(args.quiet);
    let mut progress = |done: u64, total: u64| line.draw(&format!("compare  {} of {}", bytes(done), bytes(total)));
    let memory = args.memory.unwrap_or_else(default_memory);
    let result = reproduce(&args.file, args.base.as_deref(), &args.expert, memory, &cancel, &mut progress);
    line.clear();
    signals.check()?;
    let comparison = result?;
    if args.json {
        output::json(&comparison)?;
    } else {
        output::line(&sentence(&comparison))?;
    }
    Ok(if comparison.is_same() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn sentence(comparison: &Comparison) -> String {
    let method = &comparison.method;
    if comparison.is_same() {
        return format!("identical: {method} gives all {} tensors again, bit by bit", comparison.tensors);
    }
    let list = |names: Vec<&str>| {
        let shown: Vec<_> = names.iter().take(5).map(|name| printable(name)).collect();
        format!("{}{}", shown.join(", "), if names.len() > 5 { ", …" } else { "" })
    };
    let mut text = String::new();
    if !comparison.changed_parents.is_empty() {
        let names = comparison.changed_parents.iter().map(String::as_str).collect();
        text = format!("the weights of {} are not those that were merged; ", list(names));
    }
    let names: Vec<&str> = comparison.differences.iter().map(|difference| difference.tensor.as_str()).collect();
    if names.is_empty() {
        return text + "the result is the same nevertheless";
    }
    format!("{text}different: {} of {} tensors: {}", names.len(), comparison.tensors, list(names))
}
