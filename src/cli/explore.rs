//! Without a command: the explorer where there is a terminal, else the default preset as a table.

use super::args::{Args, Run};
use super::error::CliError;
use super::{run, zoo};
use crate::tui;
use std::process::ExitCode;

pub fn run(args: &Args) -> Result<ExitCode, CliError> {
    let explorer = &args.explorer;
    if explorer.plain || !tui::is_possible() {
        return run::run(&Run::preset(run::DEFAULT_PRESET), &args.global).map(|()| ExitCode::SUCCESS);
    }
    let options = tui::Options {
        zoo: zoo::open(&args.global)?,
        device: args.global.device,
        theme: explorer.theme.clone(),
        ascii: explorer.ascii,
        low_bandwidth: explorer.low_bandwidth,
    };
    tui::run(options).map_err(CliError::from)
}
