//! What packagers and editors ask for: completions, manual pages, the preset schema.

use super::args::Args;
use super::error::CliError;
use super::output;
use crate::engine::preset_schema;
use crate::params::closest;
use clap::CommandFactory;
use clap_complete::Shell;

pub fn schema() -> Result<(), CliError> {
    output::json(&preset_schema())
}

pub fn completions(shell: Shell) -> Result<(), CliError> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "fusebench", &mut script);
    output::raw(&script)
}

/// The manual page of the program, or of one of its commands.
pub fn man(command: Option<&str>) -> Result<(), CliError> {
    // Building first gives the commands their full names (`fusebench-run`) and the global options.
    let mut program = Args::command();
    program.build();
    let page = match command {
        None => program,
        Some(name) => {
            let shown: Vec<_> = program.get_subcommands().filter(|command| !command.is_hide_set()).collect();
            let found = shown.iter().find(|command| command.get_name() == name);
            found.copied().cloned().ok_or_else(|| {
                let closest = closest(name, shown.iter().map(|command| command.get_name()));
                CliError::input(format!("there is no command `{name}`"))
                    .hint(closest.map_or_else(String::new, |name| format!("did you mean `{name}`?")))
            })?
        }
    };
    let mut text = Vec::new();
    clap_mangen::Man::new(page)
        .render(&mut text)
        .map_err(|error| CliError::failure(format!("cannot render the manual page: {error}")))?;
    output::raw(&text)
}
