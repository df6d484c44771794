//! From mergekit's meaning of a document to ours: its defaults written out, its ways of treating the base model.

use super::error::Fault;
use super::node::Map;
use super::peer::{Base, FLATTEN, Peer, ROW_WISE};
use super::setting::{Scalar, Setting};
use super::{Document, Slice, Source};

/// Rewrites what was read in mergekit's words.
pub(super) fn translate(document: &mut Document, peer: &Peer, map: &Map<'_>) -> Result<(), Fault> {
    if peer.name == "nuslerp" {
        let flag = |document: &mut Document, name: &str, default: bool| match document.parameters.remove(name) {
            Some(setting) => matches!(setting.uniform(), Some(Scalar::Flag(true))),
            None => default,
        };
        let (flatten, row_wise) = (flag(document, FLATTEN, true), flag(document, ROW_WISE, false));
        let along = if flatten {
            "tensor"
        } else if row_wise {
            "first"
        } else {
            "last"
        };
        document.parameters.insert("along".to_owned(), along.into());
    }
    for parameter in peer.parameters.iter().filter(|parameter| !matches!(parameter.name, FLATTEN | ROW_WISE)) {
        match parameter.default.setting() {
            Some(default) => fill(document, parameter.ours, default),
            None => document.required.push(parameter.ours.to_owned()),
        }
    }
    for (name, value) in peer.fixed {
        document.parameters.extend(value.setting().map(|value| ((*name).to_owned(), value)));
    }
    base(document, peer, map)
}

/// A default under everything that is said: mergekit takes it where no filter of any scope fits.
fn fill(document: &mut Document, name: &str, default: Setting) {
    match document.parameters.get_mut(name) {
        None => {
            document.parameters.insert(name.to_owned(), default);
        }
        Some(Setting::Conditions(conditions)) => {
            conditions.push(super::Condition { filter: None, value: Box::new(default) });
        }
        Some(_) => {}
    }
}

fn base(document: &mut Document, peer: &Peer, map: &Map<'_>) -> Result<(), Fault> {
    let slice_bases = |document: &Document| {
        let slices = document.slices.iter().chain(document.modules.iter().flat_map(|module| &module.slices));
        slices.filter(|slice| slice.base_model.is_some()).count()
    };
    match peer.base {
        Base::Required => {
            if document.base_model.is_none() && slice_bases(document) == 0 {
                return Err(Fault::at(map.at, format!("`base_model` is missing; `{}` needs one", peer.name)));
            }
        }
        Base::Optional => {
            let centre = if document.base_model.is_some() { "base" } else { "origin" };
            if document.base_model.is_none() && slice_bases(document) > 0 {
                return Err(Fault::at(map.at, "a slice has a base model and the document has none")
                    .hint("name it at the top too"));
            }
            document.parameters.insert("centre".to_owned(), centre.into());
        }
        Base::First | Base::Ignored => {
            let first = peer.base == Base::First;
            if first && document.base_model.is_none() && slice_bases(document) == 0 {
                return Err(Fault::at(map.at, format!("`base_model` is missing; `{}` starts from it", peer.name)));
            }
            let base = document.base_model.take();
            let whole = document.modules.iter_mut().map(|module| &mut module.models).chain([&mut document.models]);
            for models in whole.filter(|models| !models.is_empty()) {
                // As mergekit, which adds the base to a list of models that does not have it.
                if let Some(base) = base.as_ref().filter(|base| models.iter().all(|source| source.model != **base)) {
                    models.push(Source { model: base.clone(), ..Source::default() });
                }
                if first {
                    put_first(models, base.as_ref(), map)?;
                }
            }
            let slices = document.modules.iter_mut().flat_map(|module| &mut module.slices).chain(&mut document.slices);
            for Slice { base_model, sources, .. } in slices {
                let of_slice = base_model.take().or_else(|| base.clone());
                if first {
                    put_first(sources, of_slice.as_ref(), map)?;
                }
            }
            document.like = base.filter(|base| document.sources().next().is_some_and(|source| source.model != *base));
        }
    }
    Ok(())
}

fn put_first(sources: &mut [Source], base: Option<&String>, map: &Map<'_>) -> Result<(), Fault> {
    let at = sources.iter().position(|source| Some(&source.model) == base);
    match at {
        Some(at) => {
            sources[..=at].rotate_right(1);
            Ok(())
        }
        None => Err(Fault::at(map.at, "the base model is not among the sources of a slice")),
    }
}
