//! Models whose vocabularies differ: cut to what all have, put together token by token, or left out of the merge.

use super::Options;
use super::matching::{Plan, by_token};
use super::rows::{RowOf, rebuilt};
use super::tokenizer::Vocabulary;
use crate::engine::EngineError;
use crate::engine::document::Document;
use crate::weights::Checkpoint;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// What becomes of vocabularies of different sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Vocab {
    /// The first rows, which all models have.
    Truncate,
    /// All tokens of all models.
    Union,
    /// Embeddings and head are those of the base; the rest is merged.
    Backbone,
}

/// What a document says of the vocabulary.
pub(super) struct Wanted<'a> {
    pub document: &'a Document,
    /// The models that it names, in the order of the inputs.
    pub references: &'a [&'a str],
}

/// What was done to vocabularies.
#[derive(Debug, Clone, Default)]
pub(super) struct Changes {
    pub notes: Vec<String>,
    /// Tensors that are not merged.
    pub kept: Vec<String>,
    /// Rows of the result, where there are others than before.
    pub rows: Option<usize>,
    /// The folder that the tokenizer is taken from.
    pub tokenizer: Option<PathBuf>,
    /// Its files that are others, or do not fit any more.
    pub replaced: Vec<(String, Option<Vec<u8>>)>,
}

/// Ends of names of tensors with one row a token.
const TABLES: [&str; 15] = [
    "embed_tokens.weight",
    "wte.weight",
    "word_embeddings.weight",
    "token_embedding.weight",
    "tok_embeddings.weight",
    "embed_in.weight",
    "shared.weight",
    "lm_head.weight",
    "lm_head.bias",
    "embed_out.weight",
    "backbone.embeddings.weight",
    "predictions.bias",
    "predictions.decoder.weight",
    "predictions.decoder.bias",
    "vocab_projector.weight",
];

/// Whether a tensor of this name has a row for every token.
pub(in crate::engine) fn is_table(name: &str) -> bool {
    TABLES.iter().any(|end| name.ends_with(end))
}

/// Makes the tables of all models fit each other, as the options or the document ask for.
///
/// # Errors
/// Tables of different sizes and nothing said about them; tokens that cannot be matched.
pub(super) fn reconcile(
    models: &mut [Checkpoint],
    names: &[String],
    has_base: bool,
    wanted: Option<&Wanted<'_>>,
    options: &Options,
) -> Result<Changes, EngineError> {
    let tables = tables(models);
    let wish = wanted.and_then(|wanted| wanted.document.tokenizer.as_ref().map(|tokenizer| (wanted, tokenizer)));
    if let Some((wanted, tokenizer)) = wish {
        if options.vocab.is_some() {
            return Err(EngineError::Recipe {
                reason: "it has a tokenizer of its own, and --vocab is given".to_owned(),
                hint: "leave --vocab out, or `tokenizer` and `tokenizer_source`",
            });
        }
        let plan = Plan::of(wanted, tokenizer, has_base)?;
        return by_token(models, names, has_base, &tables, &plan, options);
    }
    let Some((table, short, long)) = differing(models, &tables) else { return Ok(Changes::default()) };
    let rows = |model: usize| models[model].get(table).and_then(|table| table.info.shape.first().copied()).unwrap_or(0);
    match options.vocab {
        None => Err(EngineError::Vocabulary {
            tensor: table.clone(),
            model: names[short].clone(),
            rows: rows(short),
            other: names[long].clone(),
            other_rows: rows(long),
        }),
        Some(Vocab::Backbone) => {
            let from = &names[0];
            let note = format!("{} are those of {from} and not merged: vocabularies differ", tables.join(", "));
            let tokenizer = models[0].folder().map(Path::to_owned);
            Ok(Changes { notes: vec![note], kept: tables, tokenizer, ..Changes::default() })
        }
        Some(Vocab::Truncate) => truncate(models, names, &tables, rows(short)),
        Some(Vocab::Union) => by_token(models, names, has_base, &tables, &Plan::union(), options),
    }
}

/// Tensors with one row a token that all models have.
fn tables(models: &[Checkpoint]) -> Vec<String> {
    let Some(first) = models.first() else { return Vec::new() };
    let everywhere = |name: &str| models.iter().all(|model| model.get(name).is_some());
    first.tensors().iter().map(|info| &info.name).filter(|name| is_table(name) && everywhere(name)).cloned().collect()
}

/// A table that has different numbers of rows, and the models with the fewest and the most.
fn differing<'a>(models: &[Checkpoint], tables: &'a [String]) -> Option<(&'a String, usize, usize)> {
    tables.iter().find_map(|name| {
        let shape = |model: usize| models[model].get(name).map(|table| table.info.shape.clone()).unwrap_or_default();
        let rows = |model: &usize| shape(*model).first().copied().unwrap_or(0);
        let (short, long) = ((0..models.len()).min_by_key(rows)?, (0..models.len()).rev().max_by_key(rows)?);
        // What differs in another dimension is no matter of tokens.
        let same = (0..models.len()).all(|model| shape(model).get(1..) == shape(0).get(1..));
        (same && rows(&short) != rows(&long)).then_some((name, short, long))
    })
}

/// The first rows, provided that they stand for the same tokens.
fn truncate(
    models: &mut [Checkpoint],
    names: &[String],
    tables: &[String],
    rows: usize,
) -> Result<Changes, EngineError> {
    let vocabularies = models.iter().map(vocabulary).collect::<Result<Vec<_>, _>>()?;
    let known: Vec<(usize, HashMap<usize, &str>)> = vocabularies
        .iter()
        .enumerate()
        .filter_map(|(at, vocabulary)| {
            Some((at, vocabulary.as_ref()?.in_order().into_iter().map(|(token, id)| (id, token)).collect()))
        })
        .collect();
    for (at, tokens) in known.iter().skip(1) {
        let (first, reference) = &known[0];
        let other = (0..rows).find(|id| matches!((tokens.get(id), reference.get(id)), (Some(a), Some(b)) if a != b));
        if let Some(id) = other {
            let reason = format!(
                "token {id} is `{}` in {} and `{}` in {}: equal rows do not stand for equal tokens",
                reference[&id], names[*first], tokens[&id], names[*at]
            );
            return Err(EngineError::Recipe { reason, hint: "match them token by token: --vocab union" });
        }
    }
    for model in models.iter_mut() {
        *model = model.cut(tables, rows);
    }
    let mut notes = vec![format!("{} are cut to the {rows} rows that all models have", tables.join(", "))];
    // The shortest tokenizer has no token without a row.
    let shortest = (0..models.len())
        .filter(|&at| vocabularies[at].is_some())
        .min_by_key(|&at| vocabularies[at].as_ref().map_or(0, Vocabulary::rows));
    let tokenizer = shortest.and_then(|at| vocabularies[at].as_ref());
    if let Some(lost) = tokenizer.filter(|tokenizer| tokenizer.rows() > rows) {
        notes.push(format!(
            "{} tokens of the tokenizer have no row any more",
            lost.ids.values().filter(|id| **id >= rows).count()
        ));
    }
    let tokenizer = tokenizer.map(|tokenizer| tokenizer.folder.clone());
    Ok(Changes { notes, rows: Some(rows), tokenizer, ..Changes::default() })
}

pub(super) fn vocabulary(model: &Checkpoint) -> Result<Option<Vocabulary>, EngineError> {
    model.folder().map_or(Ok(None), Vocabulary::read)
}

/// Without tokenizers: row by row, rows that a model lacks from the base, from the only one that has them, or their mean.
pub(super) fn by_row(
    models: &mut [Checkpoint],
    names: &[String],
    has_base: bool,
    tables: &[String],
    rows: &[usize],
    options: &Options,
) -> Result<Changes, EngineError> {
    let most = rows.iter().copied().max().unwrap_or(0);
    let row = |model: usize, at: usize| {
        if at < rows[model] {
            return RowOf::of(model, at);
        }
        let owners: Vec<usize> = (0..rows.len()).filter(|&other| at < rows[other]).collect();
        let givers = if has_base && owners.contains(&0) { vec![0] } else { owners };
        RowOf::Mean(givers.into_iter().map(|model| (model, at)).collect())
    };
    let before = models.to_vec();
    for (model, checkpoint) in models.iter_mut().enumerate() {
        let rows: Vec<RowOf> = (0..most).map(|at| row(model, at)).collect();
        for table in tables {
            let mut others = before.clone();
            others[model] = checkpoint.clone();
            *checkpoint = rebuilt(model, table, &rows, &others, &options.scratch)?;
        }
    }
    let longest = rows.iter().position(|rows| *rows == most).unwrap_or(0);
    let note =
        format!("{} have {most} rows, matched by their numbers: no model has a list of its tokens", tables.join(", "));
    let tokenizer = models[longest].folder().map(Path::to_owned);
    let note = if names.len() > 1 { note } else { String::new() };
    Ok(Changes { notes: vec![note], rows: Some(most), tokenizer, ..Changes::default() })
}
