//! Documents as mergekit's YAML, where mergekit computes the same.

mod meaning;
mod write;

use super::{Document, Source, peer};
use crate::fusion::{Method, find};
use crate::params::{ParamSet, Value};
use thiserror::Error;

/// Why mergekit cannot do it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{reason}")]
pub struct Inexpressible {
    pub reason: String,
    pub hint: String,
}

fn no<T>(reason: impl Into<String>, hint: impl Into<String>) -> Result<T, Inexpressible> {
    Err(Inexpressible { reason: reason.into(), hint: hint.into() })
}

/// mergekit's YAML for documents of which the last gives the result.
///
/// # Errors
/// The first thing that mergekit does not have.
pub fn to_mergekit(documents: &[Document]) -> Result<String, Inexpressible> {
    let mut texts = Vec::with_capacity(documents.len());
    for document in documents {
        texts.push(one(document)?);
    }
    Ok(texts.join("---\n"))
}

fn one(document: &Document) -> Result<String, Inexpressible> {
    if document.mixture.is_some() {
        return no("a mixture of experts is not a merge", "mergekit-moe makes one from a file of its own form");
    }
    let mut document = meaning::common(document)?;
    for sources in document.lists() {
        let again = |at: usize| sources[..at].iter().any(|other| other.model == sources[at].model);
        if let Some(at) = (0..sources.len()).find(|&at| again(at)) {
            return no(
                format!("{} is there twice, which mergekit refuses", sources[at].model),
                "give it the sum of both weights",
            );
        }
    }
    let method = find(&document.method).or_else(|error| no(error.to_string(), ""))?;
    let Some(peer) = peer::PEERS.iter().find(|peer| peer.ours == method.id) else {
        return no(
            format!("mergekit has no method that computes what {} does", method.name),
            meaning::alternative(method),
        );
    };
    meaning::spelled_out(&mut document, method, peer)?;
    let base = meaning::base(&mut document, peer)?;
    Ok(write::text(&document, base.as_deref(), peer))
}

/// A document of a method with one set of parameters, as a preset has it.
///
/// # Errors
/// Lists that do not have one number for each expert.
pub fn of_preset(
    method: &Method,
    params: &ParamSet,
    base: Option<String>,
    experts: Vec<Source>,
    dtype: Option<String>,
) -> Result<Document, Inexpressible> {
    let mut document =
        Document { method: method.id.to_owned(), base_model: base, dtype, models: experts, ..Document::default() };
    for (name, value) in params.iter() {
        match value {
            Value::List(list) if list.len() == document.models.len() => {
                for (model, value) in document.models.iter_mut().zip(list) {
                    model.parameters.insert(name.to_owned(), (*value).into());
                }
            }
            Value::List(list) => {
                return no(
                    format!("`{name}` has {} values for {} experts", list.len(), document.models.len()),
                    "name as many --expert as it has values",
                );
            }
            Value::Table(_) => return no(format!("`{name}` is a table"), "mergekit has gradients and filters instead"),
            value => document.parameters.extend(meaning::setting(value).map(|setting| (name.to_owned(), setting))),
        }
    }
    Ok(document)
}
