//! `fusebench export`: a preset or recipe in the words of another program.

use super::args::{Export, ExportTo};
use super::error::CliError;
use super::output;
use super::recipe::{self, Work};
use crate::engine::document::{Document, Inexpressible, of_preset, to_mergekit};
use crate::text::printable;
use crate::weights::DType;

pub fn run(args: &Export) -> Result<(), CliError> {
    let (steps, notes) = recipe::read(&args.recipe)?;
    for note in notes {
        output::complain(&format!("note: {}", printable(&note)));
    }
    let refused =
        |error: Inexpressible| CliError::input(error.to_string()).at(args.recipe.method.clone()).hint(error.hint);
    let mut documents = Vec::with_capacity(steps.len());
    for step in steps {
        let mut document: Document = match step.work {
            Work::Document(document) => *document,
            Work::Plain(plain) => {
                let sources = recipe::sources(&plain.experts);
                of_preset(plain.method, &plain.params, plain.base, sources, plain.dtype).map_err(refused)?
            }
        };
        document.name = step.name;
        if let Some(dtype) = args.dtype {
            document.dtype = Some(DType::from(dtype).to_string());
        }
        documents.push(document);
    }
    let text = match args.to {
        ExportTo::Mergekit => to_mergekit(&documents).map_err(refused)?,
    };
    output::raw(text.as_bytes())
}
