//! `fusebench import`: a recipe of another program as a preset, or as a recipe of ours where a preset cannot say it.

use super::args::Import;
use super::error::CliError;
use super::output;
use crate::engine::Preset;
use crate::engine::document::Loaded;
use crate::text::printable;

pub fn run(args: &Import) -> Result<(), CliError> {
    let loaded = Loaded::load(&args.file, args.pool.as_deref())?;
    for note in &loaded.notes {
        output::complain(&format!("note: {}", printable(note)));
    }
    let from = args.file.file_name().map_or_else(String::new, |name| printable(&name.to_string_lossy()).into_owned());
    let plain = match &loaded.documents[..] {
        [document] if !args.recipe => document.plain(),
        _ => None,
    };
    let (kind, text) = match plain {
        Some(plain) => ("preset", Preset::of_plain(&plain).to_toml()),
        None => ("recipe", loaded.to_recipe()),
    };
    output::raw(format!("# A {kind} of fusebench, from {from}; `fusebench merge` reads it.\n{text}").as_bytes())
}
