//! From our meaning of a document to mergekit's: its methods, its ways of treating the base model, no default left unsaid.
//! The way back from `mergekit.rs`.

use super::{Inexpressible, no};
use crate::engine::document::peer::{Base, FLATTEN, Peer, ROW_WISE};
use crate::engine::document::setting::{Condition, Scalar, Setting};
use crate::engine::document::{Document, Source};
use crate::fusion::Method;
use crate::params::{ParamSet, Value};
use serde_json::json;

/// Our methods that are special cases of mergekit's, as those.
pub(super) fn common(document: &Document) -> Result<Document, Inexpressible> {
    let mut document = document.clone();
    let number = |document: &mut Document, name: &str, default: f64| match document
        .parameters
        .remove(name)
        .map(|setting| setting.uniform().cloned())
    {
        None => Ok(default),
        Some(Some(Scalar::Number(number))) => Ok(number),
        Some(_) => no(
            format!("`{name}` differs by layer or tensor, and mergekit's form of this method has no such parameter"),
            "",
        ),
    };
    let into = |document: &mut Document, method: &str, parameters: &[(&str, Setting)]| {
        method.clone_into(&mut document.method);
        document.parameters.extend(parameters.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    };
    match document.method.as_str() {
        "simple_average" => {
            without_base(&mut document);
            into(&mut document, "weighted_average", &[("weights", 1.0.into()), ("normalize", true.into())]);
        }
        "task_arithmetic" => {
            let scaling = number(&mut document, "scaling", 0.3)?;
            into(
                &mut document,
                "mergekit_task_arithmetic",
                &[("weight", 1.0.into()), ("lambda", scaling.into()), ("normalize", false.into())],
            );
        }
        "task_wise" => {
            let default = document.parameters.remove("scaling").unwrap_or_else(|| 0.3.into());
            let all = document.models.iter_mut().chain(document.slices.iter_mut().flat_map(|slice| &mut slice.sources));
            for source in all.chain(document.modules.iter_mut().flat_map(|module| &mut module.models)) {
                if let Some(own) = source.parameters.remove("scaling") {
                    source.parameters.insert("weight".to_owned(), own);
                }
            }
            into(
                &mut document,
                "mergekit_task_arithmetic",
                &[("weight", default), ("lambda", 1.0.into()), ("normalize", false.into())],
            );
        }
        "expo" => {
            let extrapolation = number(&mut document, "extrapolation", 0.1)?;
            if document.models.iter().filter(|source| Some(&source.model) != document.base_model.as_ref()).count() != 1
            {
                return no(
                    "with several models, ExPO starts from their average, which mergekit needs a merge of its own for",
                    "",
                );
            }
            into(
                &mut document,
                "mergekit_task_arithmetic",
                &[("weight", 1.0.into()), ("lambda", (1.0 + extrapolation).into()), ("normalize", false.into())],
            );
        }
        "linear_interpolation" => {
            without_base(&mut document);
            let t = number(&mut document, "t", 0.5)?;
            document.models.truncate(2);
            for (source, weight) in document.models.iter_mut().zip([1.0 - t, t]) {
                source.parameters.insert("weights".to_owned(), weight.into());
            }
            into(&mut document, "weighted_average", &[("normalize", false.into())]);
        }
        _ => {}
    }
    Ok(document)
}

/// For methods that leave the base out: it is no model then.
fn without_base(document: &mut Document) {
    if let Some(base) = document.base_model.take() {
        document.models.retain(|source| source.model != base);
    }
}

pub(super) fn alternative(method: &Method) -> String {
    let near = match method.id {
        "ties" => "`mergekit_ties`, which trims every tensor by itself instead of the whole model",
        "dare" => "`mergekit_dare_linear`, which rescales by norms",
        "dare_ties" => "`mergekit_dare_ties`, which rescales by norms and trims nothing",
        "layer_wise" => "`mergekit_task_arithmetic` in a recipe with gradients",
        _ => {
            return "it has averages, task arithmetic, ExPO and the methods that `fusebench methods` names after it"
                .to_owned();
        }
    };
    format!("the nearest that it has is {near}")
}

/// Writes every parameter of the method out: mergekit's defaults are others than ours.
pub(super) fn spelled_out(document: &mut Document, method: &Method, peer: &Peer) -> Result<(), Inexpressible> {
    let defaults = ParamSet::defaults(method.specs);
    let fixed = |name: &str| peer.fixed.iter().find(|(fixed, _)| *fixed == name).map(|(_, value)| *value);
    for spec in method.specs {
        let default = defaults.get(spec.name).and_then(setting);
        let mapped = peer.parameters.iter().any(|parameter| parameter.ours == spec.name);
        let given = document.parameters.get(spec.name).cloned();
        if mapped {
            let Some(default) = default else { continue };
            let base = document.base_model.clone();
            let own = |source: &Source| {
                Some(&source.model) == base.as_ref()
                    || source.parameters.get(spec.name).is_some_and(Setting::is_for_all)
            };
            let everywhere = document.sources().all(own);
            match document.parameters.get_mut(spec.name) {
                None if everywhere => {}
                None => drop(document.parameters.insert(spec.name.to_owned(), default)),
                Some(Setting::Conditions(conditions))
                    if !conditions.iter().any(|condition| condition.filter.is_none()) =>
                {
                    conditions.push(Condition { filter: None, value: Box::new(default) });
                }
                Some(_) => {}
            }
            continue;
        }
        // Made of the base and of two switches of mergekit.
        if matches!(spec.name, "along" | "centre") {
            continue;
        }
        document.parameters.remove(spec.name);
        let wanted = match fixed(spec.name) {
            // Its masks come from another generator whatever the seed is.
            Some(_) if spec.name == "seed" => continue,
            Some(value) => value.setting(),
            None => default.clone(),
        };
        let given = given.or(default);
        let same = match (&given, &wanted) {
            (Some(given), Some(wanted)) => given.uniform() == wanted.uniform(),
            _ => true,
        };
        // With two experts there is one angle, whose mean is itself.
        let two = document.models.len() <= 3 && spec.name == "average";
        let one_angle = two && method.id == "model_stock" && experts(document) == 2;
        if !same && !one_angle {
            return no(
                format!("mergekit has no `{}` for this method", spec.name),
                format!(
                    "it computes as with `{}` at {}",
                    spec.name,
                    wanted.map_or_else(String::new, |wanted| text_of(&wanted))
                ),
            );
        }
    }
    Ok(())
}

fn experts(document: &Document) -> usize {
    document.models.iter().filter(|source| Some(&source.model) != document.base_model.as_ref()).count()
}

fn text_of(setting: &Setting) -> String {
    json!(setting).to_string()
}

pub(super) fn setting(value: &Value) -> Option<Setting> {
    Some(match value {
        Value::Bool(flag) => (*flag).into(),
        Value::Int(number) => (*number as f64).into(),
        Value::Float(number) => (*number).into(),
        Value::Text(text) => text.as_str().into(),
        Value::List(_) | Value::Table(_) => return None,
    })
}

/// mergekit's base model, and what follows from it.
pub(super) fn base(document: &mut Document, peer: &Peer) -> Result<Option<String>, Inexpressible> {
    let uniform = |document: &mut Document, name: &str| {
        document.parameters.remove(name).and_then(|setting| setting.uniform().cloned())
    };
    if peer.name == "nuslerp" {
        let along = uniform(document, "along").unwrap_or(Scalar::Text("tensor".to_owned()));
        let is = |name: &str| along == Scalar::Text(name.to_owned());
        document.parameters.insert(FLATTEN.to_owned(), is("tensor").into());
        document.parameters.insert(ROW_WISE.to_owned(), is("first").into());
    }
    match peer.base {
        Base::Required => Ok(document.base_model.clone()),
        Base::Optional => {
            let around_base = uniform(document, "centre") == Some(Scalar::Text("base".to_owned()));
            match (around_base, &document.base_model) {
                (true, None) => no("the centre is the base, and there is none", "name the base"),
                (false, Some(_)) => {
                    if document.slices.is_empty() && document.modules.is_empty() {
                        without_base(document);
                        return Ok(None);
                    }
                    no("mergekit turns around the base model whenever there is one", "leave the base out")
                }
                (_, base) => Ok(base.clone()),
            }
        }
        Base::First => {
            without_base(document);
            let first = |sources: &[Source]| sources.first().map(|source| source.model.clone());
            let all: Vec<Option<String>> = document
                .slices
                .iter()
                .map(|slice| first(&slice.sources))
                .chain([first(&document.models)])
                .flatten()
                .map(Some)
                .collect();
            let base = all.first().cloned().flatten();
            for slice in &mut document.slices {
                slice.base_model = first(&slice.sources).filter(|own| Some(own) != base.as_ref());
            }
            Ok(base)
        }
        Base::Ignored => {
            if document.base_model.is_some() {
                without_base(document);
            }
            let listed = document.sources().any(|source| Some(&source.model) == document.like.as_ref());
            Ok(document.like.clone().filter(|_| listed))
        }
    }
}
