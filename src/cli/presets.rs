//! `fusebench presets`: the presets in the binary, as a list or one as the file that it is.

use super::args::Named;
use super::error::CliError;
use super::output::{self, Columns};
use crate::engine::{BUILTIN, Builtin, Preset};
use serde_json::{Value as Json, json};

pub fn run(args: &Named) -> Result<(), CliError> {
    let Some(name) = &args.name else { return if args.json { json_list() } else { list() } };
    let preset = Preset::builtin(name)?;
    if args.json { output::json(&describe(preset)?) } else { output::raw(preset.text.as_bytes()) }
}

fn list() -> Result<(), CliError> {
    let mut columns = Columns::with_header(["preset", "about"]);
    for preset in BUILTIN {
        columns.row([preset.name.to_owned(), preset.title()]);
    }
    columns.print()
}

fn json_list() -> Result<(), CliError> {
    output::json(&BUILTIN.iter().map(describe).collect::<Result<Vec<_>, _>>()?)
}

fn describe(builtin: &Builtin) -> Result<Json, CliError> {
    let preset = Preset::parse(builtin.text, builtin.name)?;
    Ok(json!({
        "name": builtin.name,
        "about": builtin.title(),
        "method": preset.method().id,
        "params": preset.params(),
    }))
}
