//! The command line: one file a subcommand. Results go to stdout, everything else to stderr.

mod add;
mod alarms;
mod args;
mod checkpoints;
mod diff;
mod doctor;
mod documents;
mod error;
mod explore;
mod export;
mod import;
mod inspect;
mod merge;
mod methods;
mod output;
mod presets;
mod probe;
mod progress;
mod recipe;
mod reproduce;
mod run;
mod runner;
mod signals;
mod size;
mod tasks;
mod train;
mod verify;
mod zoo;

use args::{Args, Command, Zoo};
use error::CliError;
use std::process::ExitCode;

/// Does what the process's arguments ask for.
#[must_use]
pub fn main() -> ExitCode {
    let args = args::parse();
    match dispatch(&args) {
        Ok(code) => code,
        Err(error) => {
            let text = error.to_string();
            if !text.is_empty() {
                output::complain(&text);
            }
            error.exit_code()
        }
    }
}

fn dispatch(args: &Args) -> Result<ExitCode, CliError> {
    let global = &args.global;
    match &args.command {
        None => explore::run(args),
        Some(Command::Run(args)) => run::run(args, global).map(done),
        Some(Command::Merge(args)) => merge::run(args).map(done),
        Some(Command::Import(args)) => import::run(args).map(done),
        Some(Command::Export(args)) => export::run(args).map(done),
        Some(Command::Reproduce(args)) => reproduce::run(args),
        Some(Command::Inspect(args)) => inspect::run(args),
        Some(Command::Diff(args)) => diff::run(args),
        Some(Command::Methods(args)) => methods::run(args).map(done),
        Some(Command::Tasks(args)) => tasks::run(args, global).map(done),
        Some(Command::Checkpoints(args)) => checkpoints::run(args, global).map(done),
        Some(Command::Presets(args)) => presets::run(args).map(done),
        Some(Command::Zoo(Zoo::Train(args))) => train::run(args).map(done),
        Some(Command::Zoo(Zoo::Add(args))) => add::run(args, global).map(done),
        Some(Command::Zoo(Zoo::Verify(args))) => verify::run(args, global).map(done),
        Some(Command::Doctor(args)) => doctor::run(args, global).map(done),
        Some(Command::Schema) => documents::schema().map(done),
        Some(Command::Completions { shell }) => documents::completions(*shell).map(done),
        Some(Command::Man { command }) => documents::man(command.as_deref()).map(done),
        Some(Command::Probe { target, hardware }) => probe::run(*target, *hardware),
    }
}

fn done((): ()) -> ExitCode {
    ExitCode::SUCCESS
}
