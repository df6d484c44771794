//! Alarms on the command line: how they are printed, and what they do to the exit code.

use super::output::Columns;
use crate::engine::inspect::{Alarm, Severity};
use crate::text::printable;
use std::process::ExitCode;

/// Errors fail the command; warnings only with `--strict`.
pub fn exit_code(alarms: &[Alarm], strict: bool) -> ExitCode {
    let fails = alarms.iter().any(|alarm| strict || alarm.severity == Severity::Error);
    if fails { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// One line an alarm, the worst first, then what to do; nothing when there is none.
pub fn render(alarms: &[Alarm]) -> Option<String> {
    if alarms.is_empty() {
        return None;
    }
    let mut sorted: Vec<&Alarm> = alarms.iter().collect();
    sorted.sort_by_key(|alarm| std::cmp::Reverse(alarm.severity));
    let mut columns = Columns::default();
    for alarm in &sorted {
        columns.row([severity(alarm).to_owned(), alarm.kind.title().to_owned(), printable(&alarm.text).into_owned()]);
    }
    let mut text = columns.render();
    let mut told = Vec::new();
    for alarm in sorted {
        if !told.contains(&alarm.kind) {
            told.push(alarm.kind);
            text.push_str(&format!("hint: {}: {}\n", alarm.kind.title(), alarm.kind.hint()));
        }
    }
    Some(text)
}

fn severity(alarm: &Alarm) -> &'static str {
    match alarm.severity {
        Severity::Error => "ERROR",
        Severity::Warning => "warning",
    }
}

/// A share of 1: `12.3 %`; what is there but rounds to nothing is not shown as nothing.
pub fn percent(share: f64) -> String {
    match share * 100.0 {
        0.0 => "0 %".to_owned(),
        p if p < 0.05 => "<0.1 %".to_owned(),
        p => format!("{p:.1} %"),
    }
}
