//! Tables of different vocabularies brought to one, token by token, as the tokenizers list them.

use super::Options;
use super::rows::{RowOf, rebuilt};
use super::tokenizer::Vocabulary;
use super::vocabulary::{Changes, Wanted, by_row, vocabulary};
use crate::engine::EngineError;
use crate::engine::document::{OtherSource, Token, TokenSource, Tokenizer};
use crate::weights::Checkpoint;
use std::collections::{BTreeMap, HashMap, HashSet};

/// Which tokens the result has.
pub(super) struct Plan<'a> {
    source: Source,
    tokens: BTreeMap<&'a str, Placed>,
    multiple: Option<usize>,
}

enum Source {
    Union,
    Model(usize),
}

/// A token's row as the document asks for it.
struct Placed {
    row: Option<Asked>,
    force: bool,
}

enum Asked {
    Zero,
    Same(usize),
    Token(usize, String),
    Id(usize, usize),
}

impl<'a> Plan<'a> {
    /// All tokens of all models.
    pub fn union() -> Self {
        Self { source: Source::Union, tokens: BTreeMap::new(), multiple: None }
    }

    /// What a document asks for.
    ///
    /// # Errors
    /// Models that are not among those that were opened.
    pub fn of(wanted: &Wanted<'_>, tokenizer: &'a Tokenizer, has_base: bool) -> Result<Self, EngineError> {
        let model = |reference: &str| {
            wanted.references.iter().position(|known| *known == reference).ok_or_else(|| EngineError::Recipe {
                reason: format!("the tokenizer's {reference} has not been opened"),
                hint: "this is a bug in fusebench",
            })
        };
        let donor = || wanted.document.donor().map_or(Ok(0), model);
        let source = match tokenizer.source.as_str() {
            "union" => Source::Union,
            "base" => Source::Model(if has_base { 0 } else { donor()? }),
            other => Source::Model(model(other)?),
        };
        let placed = |token: &Token| -> Result<Placed, EngineError> {
            let row = token.source.as_ref().map(|source| match source {
                TokenSource::Model(reference) => Ok::<_, EngineError>(Asked::Same(model(reference)?)),
                TokenSource::Other(OtherSource::Zero) => Ok(Asked::Zero),
                TokenSource::Other(OtherSource::ModelToken { model: reference, token, token_id }) => {
                    match (token, token_id) {
                        (Some(token), _) => Ok(Asked::Token(model(reference)?, token.clone())),
                        (None, id) => Ok(Asked::Id(model(reference)?, id.unwrap_or(0))),
                    }
                }
            });
            Ok(Placed { row: row.transpose()?, force: token.force })
        };
        let tokens = tokenizer.tokens.iter().map(|(name, token)| Ok::<_, EngineError>((name.as_str(), placed(token)?)));
        Ok(Self {
            source,
            tokens: tokens.collect::<Result<_, _>>()?,
            multiple: tokenizer.pad_to_multiple_of.filter(|multiple| (1..=1 << 20).contains(multiple)),
        })
    }
}

/// Brings all tables to the rows of one vocabulary, token by token.
///
/// # Errors
/// A base without a list of tokens; rows that are asked for and not there.
pub(super) fn by_token(
    models: &mut [Checkpoint],
    names: &[String],
    has_base: bool,
    tables: &[String],
    plan: &Plan<'_>,
    options: &Options,
) -> Result<Changes, EngineError> {
    let Some(table) = tables.first() else {
        return Err(EngineError::Recipe {
            reason: "no tensor with one row a token was found".to_owned(),
            hint: "leave the tokenizer out",
        });
    };
    let of_table =
        |model: &Checkpoint| model.get(table).and_then(|table| table.info.shape.first().copied()).unwrap_or(0);
    let rows: Vec<usize> = models.iter().map(of_table).collect();
    let read = models.iter().map(vocabulary).collect::<Result<Vec<_>, _>>()?;
    let usual = if has_base { 0 } else { read.iter().position(Option::is_some).unwrap_or(0) };
    let Some(reference) = read[usual].clone() else {
        let none = read.iter().all(Option::is_none);
        // Without any list of tokens, rows are the only names that they have.
        if none && plan.tokens.is_empty() && matches!(plan.source, Source::Union) {
            return by_row(models, names, has_base, tables, &rows, options);
        }
        return Err(EngineError::Tokenizer { label: names[usual].clone(), reason: "no list of its tokens".to_owned() });
    };
    let mut notes = Vec::new();
    for at in (0..models.len()).filter(|&at| read[at].is_none()) {
        notes.push(format!("{} has no tokenizer: its tokens are taken to be those of {}", names[at], names[usual]));
    }
    let vocabularies = read.into_iter().map(|found| found.unwrap_or_else(|| reference.clone())).collect();
    let known = Known { vocabularies, rows, names, has_base };
    let from = if let Source::Model(model) = plan.source { model } else { usual };
    let (out, added) = known.united(plan, from);
    let count = out.rows();
    let padded = plan.multiple.map_or(count, |multiple| count.next_multiple_of(multiple));
    let tokens: HashMap<usize, &str> = out.ids.iter().map(|(token, id)| (*id, token.as_str())).collect();
    let shared = (0..padded).map(|row| known.shared(plan, tokens.get(&row).copied())).collect::<Result<Vec<_>, _>>()?;
    let lost = shared
        .iter()
        .zip(0..)
        .filter(|((from, _), row)| *from == RowOf::Zero && known.is_lost(plan, tokens.get(row)))
        .count();
    if lost > 0 {
        notes.push(format!("{lost} tokens have a row in none of the models; they get zeros"));
    }
    let row = |model: usize, at: usize| -> RowOf {
        let (from, force) = &shared[at];
        let own = tokens.get(&at).filter(|_| !force).and_then(|token| known.id(model, token));
        own.map_or_else(|| from.clone(), |own| RowOf::of(model, own))
    };
    let before = models.to_vec();
    for (model, checkpoint) in models.iter_mut().enumerate() {
        let rows: Vec<RowOf> = (0..padded).map(|at| row(model, at)).collect();
        for table in tables {
            let mut others = before.clone();
            others[model] = checkpoint.clone();
            *checkpoint = rebuilt(model, table, &rows, &others, &options.scratch)?;
        }
    }
    let unused = known.vocabularies.iter().flat_map(|vocabulary| vocabulary.ids.keys());
    let unused: HashSet<&String> = unused.filter(|token| !out.ids.contains_key(*token)).collect();
    if !unused.is_empty() {
        notes.push(format!("{} tokens of some models are not in the result's vocabulary", unused.len()));
    }
    let tables = tables.join(", ");
    notes.push(format!(
        "{tables} have {padded} rows, matched token by token, {} of them new to {}",
        added.len(),
        names[from]
    ));
    let (tokenizer, replaced) = (Some(out.folder.clone()), out.files(&added));
    Ok(Changes { notes, kept: Vec::new(), rows: Some(padded), tokenizer, replaced })
}

/// What is known of the models' tokens.
struct Known<'a> {
    /// One a model.
    vocabularies: Vec<Vocabulary>,
    /// Rows of each model's tables.
    rows: Vec<usize>,
    names: &'a [String],
    has_base: bool,
}

impl Known<'_> {
    /// The row of a token in a model.
    fn id(&self, model: usize, token: &str) -> Option<usize> {
        self.vocabularies[model].ids.get(token).copied().filter(|id| *id < self.rows[model])
    }

    fn owners(&self, token: &str) -> Vec<usize> {
        (0..self.vocabularies.len()).filter(|&model| self.id(model, token).is_some()).collect()
    }

    /// The vocabulary of the result, which starts as that of `from`, and the tokens that were added to it: by model, and
    /// within one by their numbers.
    fn united(&self, plan: &Plan<'_>, from: usize) -> (Vocabulary, Vec<String>) {
        let (mut out, mut added) = (self.vocabularies[from].clone(), Vec::new());
        let union = matches!(plan.source, Source::Union);
        for (vocabulary, rows) in self.vocabularies.iter().zip(&self.rows).filter(|_| union) {
            for (token, id) in vocabulary.in_order() {
                if id < *rows && !out.ids.contains_key(token) {
                    out.add(token, Some(vocabulary));
                    added.push(token.to_owned());
                }
            }
        }
        for token in plan.tokens.keys() {
            if !out.ids.contains_key(*token) {
                out.add(token, None);
                added.push((*token).to_owned());
            }
        }
        (out, added)
    }

    /// The row that models without a token get, and whether those that have it get it too; without a token it is padding.
    fn shared(&self, plan: &Plan<'_>, token: Option<&str>) -> Result<(RowOf, bool), EngineError> {
        let Some(token) = token else { return Ok((RowOf::MeanOfAll, true)) };
        let placed = plan.tokens.get(token);
        let force = placed.is_some_and(|placed| placed.force);
        if let Some(asked) = placed.and_then(|placed| placed.row.as_ref()) {
            return Ok((self.asked(asked, token)?, force));
        }
        let owners = self.owners(token);
        if owners.is_empty() {
            return Ok((RowOf::Zero, force));
        }
        let givers = if self.has_base && owners.contains(&0) { vec![0] } else { owners };
        Ok((RowOf::Mean(givers.into_iter().filter_map(|model| Some((model, self.id(model, token)?))).collect()), force))
    }

    /// Whether nobody has the token, and nobody said where its row should come from.
    fn is_lost(&self, plan: &Plan<'_>, token: Option<&&str>) -> bool {
        token.is_some_and(|token| {
            plan.tokens.get(token).is_none_or(|placed| placed.row.is_none()) && self.owners(token).is_empty()
        })
    }

    fn asked(&self, asked: &Asked, token: &str) -> Result<RowOf, EngineError> {
        let row = |model: usize, token: &str| {
            let missing = || EngineError::Recipe {
                reason: format!("{} has no token `{token}` to give a row", self.names[model]),
                hint: "name another `source` under `tokens`",
            };
            self.id(model, token).map(|row| RowOf::of(model, row)).ok_or_else(missing)
        };
        match asked {
            Asked::Zero => Ok(RowOf::Zero),
            Asked::Same(model) => row(*model, token),
            Asked::Token(model, other) => row(*model, other),
            Asked::Id(model, row) => Ok(RowOf::of(*model, *row)),
        }
    }
}
