//! `fusebench diff`: experts compared with their base before they are merged.

use super::alarms;
use super::args::Diff as Args;
use super::error::CliError;
use super::inspect::number;
use super::output::{self, Columns};
use super::progress::Line;
use super::signals::{Signals, watch};
use crate::cancel::Cancel;
use crate::engine::inspect::{BlockMeasures, Diff, ExpertMeasures, Models, Severity, Step, diff};
use crate::text::{bytes, grouped, printable};
use serde::Serialize;
use std::process::ExitCode;
use std::sync::PoisonError;
use std::time::Instant;

/// As `--json` prints it.
#[derive(Serialize)]
struct Report<'a> {
    base: &'a str,
    errors: usize,
    warnings: usize,
    seconds: f64,
    #[serde(flatten)]
    diff: &'a Diff,
}

pub fn run(args: &Args) -> Result<ExitCode, CliError> {
    let start = Instant::now();
    let cancel = Cancel::default();
    let stop = cancel.clone();
    let signals = Signals::listen(move |_| stop.cancel())?;
    let watched = watch(|models: &Models| models.check_unchanged().err())?;
    let models = Models::open(&args.base, &args.expert)?;
    *watched.lock().unwrap_or_else(PoisonError::into_inner) = Some(models.clone());
    let mut line = Line::new(args.report.quiet);
    let mut blocks = 0;
    let mut show = |step: Step| match step {
        Step::Begin { blocks: names, notes, .. } => {
            blocks = names.len();
            for note in &notes {
                line.note(&format!("note: {}", printable(note)));
            }
        }
        Step::Progress { done, total } => {
            line.draw(&format!("compare  {} of {} of the base", bytes(done), bytes(total)));
        }
        Step::Ranks { at, .. } => line.draw(&format!("effective ranks  {} of {blocks} blocks", at + 1)),
        Step::Block { .. } | Step::Alarm(_) => {}
    };
    let result = diff(&models, args.rank, &cancel, &mut show);
    line.clear();
    signals.check()?;
    let result = result?;
    if args.report.json {
        output::json(&Report {
            base: &args.base,
            errors: result.count(Severity::Error),
            warnings: result.count(Severity::Warning),
            seconds: start.elapsed().as_secs_f64(),
            diff: &result,
        })?;
    } else {
        output::raw(render(&result).as_bytes())?;
    }
    Ok(alarms::exit_code(&result.alarms, args.report.strict))
}

fn render(diff: &Diff) -> String {
    let mut text = String::new();
    if !diff.experts.is_empty() {
        let parts = [experts(diff), blocks(diff), cosines(diff)];
        for part in parts.iter().filter(|part| !part.is_empty()) {
            text.push_str(part);
            text.push('\n');
        }
    }
    if !diff.left_out.is_empty() {
        let names: Vec<_> = diff.left_out.iter().map(|name| printable(name)).collect();
        text.push_str(&format!("left out, with too little in common with the base: {}\n", names.join(", ")));
    }
    text.push_str(&alarms::render(&diff.alarms).unwrap_or_else(|| "no alarms\n".to_owned()));
    text
}

/// What each expert did to the whole model.
fn experts(diff: &Diff) -> String {
    let header = ["expert", "‖τ‖", "‖τ‖/‖θ₀‖", "cosine to base", "changed", "effective rank"];
    let mut columns = Columns::with_header(header);
    for (name, expert) in diff.experts.iter().zip(&diff.whole.experts) {
        columns.row([
            printable(name).into_owned(),
            number(expert.norm),
            alarms::percent(expert.relative),
            format!("{:.4}", expert.cosine_to_base),
            alarms::percent(expert.changed),
            rank(expert),
        ]);
    }
    columns.render()
}

/// ‖τ‖/‖θ₀‖ of every expert by block, and how much they get in each other's way there.
fn blocks(diff: &Diff) -> String {
    let several = diff.experts.len() > 1;
    let mut header: Vec<String> = ["block", "parameters", "‖θ₀‖"].map(str::to_owned).into();
    header.extend(diff.experts.iter().map(|name| printable(name).into_owned()));
    if several {
        header.extend(["conflict", "by pairs", "cancelled"].map(str::to_owned));
    }
    let mut columns = Columns::default();
    columns.cells(header);
    let whole = diff.whole.parameters > 0;
    let measured = diff.blocks.iter().filter(|block| block.parameters > 0);
    for block in measured.chain(whole.then_some(&diff.whole)) {
        let BlockMeasures { name, parameters, base_norm, experts, conflict, pair_conflict, cancelled, .. } = block;
        let mut row = vec![printable(name).into_owned(), grouped(*parameters as usize), number(*base_norm)];
        row.extend(experts.iter().map(|expert| alarms::percent(expert.relative)));
        if several {
            row.extend([*conflict, *pair_conflict, *cancelled].map(alarms::percent));
        }
        columns.cells(row);
    }
    let legend = "conflict: weights that several experts changed, not all in one direction; by pairs: the same of two experts,\n\
                  50 % when they are independent; cancelled: movement that the sum of the task vectors loses\n";
    format!("‖τ‖/‖θ₀‖ by block\n{}{}", columns.render(), if several { legend } else { "" })
}

/// The angles between the task vectors.
fn cosines(diff: &Diff) -> String {
    if diff.experts.len() < 2 {
        return String::new();
    }
    let mut columns = Columns::default();
    let names = || diff.experts.iter().map(|name| printable(name).into_owned());
    columns.cells(std::iter::once(String::new()).chain(names()).collect());
    for (name, row) in names().zip(&diff.whole.cosine) {
        // Zero has no sign.
        let cosine = |cosine: &f64| format!("{cosine:.3}").replace("-0.000", "0.000");
        columns.cells(std::iter::once(name).chain(row.iter().map(cosine)).collect());
    }
    format!("cosine between task vectors\n{}", columns.render())
}

/// Of all matrices together, as a share of the full rank.
fn rank(expert: &ExpertMeasures) -> String {
    let Some((rank, share)) = expert.rank.and_then(|rank| Some((rank, rank.share()?))) else { return "-".to_owned() };
    format!("{}{} of full", if rank.estimated { "about " } else { "" }, alarms::percent(share))
}
