//! Without a command: the explorer where there is a terminal, else the default preset as a table.

use super::args::{Args, Run};
use super::error::CliError;
use super::run;
use std::process::ExitCode;

pub fn run(args: &Args) -> Result<ExitCode, CliError> {
    run::run(&Run::preset(run::DEFAULT_PRESET), &args.global).map(|()| ExitCode::SUCCESS)
}
