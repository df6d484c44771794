//! Documents as mergekit's YAML, where mergekit computes the same.

use super::peer::{self, Base, FLATTEN, Peer, ROW_WISE};
use super::setting::{Condition, Scalar, Setting};
use super::{Document, Settings, Slice, Source};
use crate::fusion::{Method, find};
use crate::params::{ParamSet, Value};
use serde_json::{Map, Value as Json, json};
use std::fmt::Write;
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
    let mut document = common(document)?;
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
        return no(format!("mergekit has no method that computes what {} does", method.name), alternative(method));
    };
    spelled_out(&mut document, method, peer)?;
    let base = base(&mut document, peer)?;
    let mut text = String::new();
    if let Some(name) = &document.name {
        let _ = writeln!(text, "name: {}", quoted(name));
    }
    let _ = writeln!(text, "merge_method: {}", peer.name);
    if let Some(base) = &base {
        let _ = writeln!(text, "base_model: {}", quoted(base));
    }
    sources(&mut text, "", "models", &document.models, peer);
    slices(&mut text, "", &document.slices, peer);
    if !document.modules.is_empty() {
        text.push_str("modules:\n");
    }
    for module in &document.modules {
        let _ = writeln!(text, "  {}:", quoted(&module.name));
        parameters(&mut text, "    ", &module.parameters, peer);
        sources(&mut text, "    ", "models", &module.models, peer);
        slices(&mut text, "    ", &module.slices, peer);
    }
    parameters(&mut text, "", &document.parameters, peer);
    if let Some(dtype) = &document.dtype {
        let torch =
            crate::weights::DType::parse_float(dtype).and_then(crate::weights::DType::torch_name).unwrap_or("float32");
        // Computed in f32 and rounded once, as fusebench does.
        let _ = writeln!(text, "dtype: float32\nout_dtype: {torch}");
    }
    if let Some(tokenizer) = &document.tokenizer {
        let _ = writeln!(text, "tokenizer: {}", json!(tokenizer));
    }
    if let Some(template) = &document.chat_template {
        let _ = writeln!(text, "chat_template: {}", json!(template));
    }
    Ok(text)
}

/// Our methods that are special cases of mergekit's, as those.
fn common(document: &Document) -> Result<Document, Inexpressible> {
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

fn alternative(method: &Method) -> String {
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
fn spelled_out(document: &mut Document, method: &Method, peer: &Peer) -> Result<(), Inexpressible> {
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

fn setting(value: &Value) -> Option<Setting> {
    Some(match value {
        Value::Bool(flag) => (*flag).into(),
        Value::Int(number) => (*number as f64).into(),
        Value::Float(number) => (*number).into(),
        Value::Text(text) => text.as_str().into(),
        Value::List(_) | Value::Table(_) => return None,
    })
}

/// mergekit's base model, and what follows from it.
fn base(document: &mut Document, peer: &Peer) -> Result<Option<String>, Inexpressible> {
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

fn sources(text: &mut String, indent: &str, key: &str, sources: &[Source], peer: &Peer) {
    if sources.is_empty() {
        return;
    }
    let _ = writeln!(text, "{indent}{key}:");
    for source in sources {
        let _ = writeln!(text, "{indent}  - model: {}", quoted(&source.model));
        if let Some((start, end)) = source.layer_range {
            let _ = writeln!(text, "{indent}    layer_range: [{start}, {end}]");
        }
        parameters(text, &format!("{indent}    "), &source.parameters, peer);
    }
}

fn slices(text: &mut String, indent: &str, slices: &[Slice], peer: &Peer) {
    if slices.is_empty() {
        return;
    }
    let _ = writeln!(text, "{indent}slices:");
    for slice in slices {
        let mut inner = String::new();
        let inside = format!("{indent}    ");
        sources(&mut inner, &inside, "sources", &slice.sources, peer);
        if let Some(base) = &slice.base_model {
            let _ = writeln!(inner, "{inside}base_model: {}", quoted(base));
        }
        parameters(&mut inner, &inside, &slice.parameters, peer);
        // The first line carries the dash.
        let _ = write!(text, "{indent}  - {}", inner.trim_start());
    }
}

fn parameters(text: &mut String, indent: &str, settings: &Settings, peer: &Peer) {
    if settings.is_empty() {
        return;
    }
    let _ = writeln!(text, "{indent}parameters:");
    for (name, setting) in settings {
        let theirs = peer
            .parameters
            .iter()
            .find(|parameter| parameter.ours == name)
            .map_or(name.as_str(), |parameter| parameter.name);
        // JSON on one line is YAML too.
        let _ = writeln!(text, "{indent}  {theirs}: {}", flow(setting));
    }
}

/// A setting as JSON, whole numbers as such.
fn flow(setting: &Setting) -> Json {
    let scalar = |value: &Scalar| match value {
        Scalar::Flag(flag) => json!(flag),
        Scalar::Number(number) if number.fract() == 0.0 && number.abs() < 1e15 => json!(*number as i64),
        Scalar::Number(number) => json!(number),
        Scalar::Text(text) => json!(text),
    };
    match setting {
        Setting::One(value) => scalar(value),
        Setting::Gradient(values) => values.iter().map(scalar).collect(),
        Setting::Conditions(conditions) => {
            let condition = |condition: &Condition| {
                let mut map = Map::new();
                if let Some(filter) = &condition.filter {
                    map.insert("filter".to_owned(), json!(filter));
                }
                map.insert("value".to_owned(), flow(&condition.value));
                Json::Object(map)
            };
            conditions.iter().map(condition).collect()
        }
    }
}

/// Text that YAML reads as the same text.
fn quoted(text: &str) -> String {
    let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || "/._-@+".contains(c))
        && text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/');
    let word = super::node::parse_flag(text).is_some() || matches!(text, "null" | "Null" | "NULL");
    if plain && !word { text.to_owned() } else { json!(text).to_string() }
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
            value => document.parameters.extend(setting(value).map(|setting| (name.to_owned(), setting))),
        }
    }
    Ok(document)
}
