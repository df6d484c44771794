//! FusionBench's methods in the words of the registry.

use super::super::error::Fault;
use super::super::mixture::Mixture;
use super::super::node::{Key, Kind, Map, Node, unknown_key};
use super::super::setting::{Scalar, Setting};
use super::super::{Document, Settings, Slice, Source, chain};
use super::compose::{Tree, last, target};
use super::pool::{Pool, is_pool};
use super::table::{As, Default, Field, MIXTURES, PEERS, Peer, WITHOUT_EFFECT};
use crate::fusion::{Method, find};
use crate::params::{Spec, Value, closest};

/// A method that has been read.
pub(super) struct Read {
    method: &'static Method,
    parameters: Settings,
    /// One value a model, and where they stand.
    each: Vec<(&'static str, Vec<Scalar>, crate::engine::Position)>,
    at: crate::engine::Position,
    /// Layers of the one model in their new order, for depth up-scaling.
    layers: Option<Vec<usize>>,
    mixture: Option<Mixture>,
}

impl Read {
    /// The method on a pool.
    pub fn with(self, pool: Pool) -> Result<Document, Fault> {
        if let Some(mixture) = self.mixture {
            return mixed(mixture, pool, self.at);
        }
        let experts = pool.experts.len();
        let depth = self.layers.is_some();
        self.method
            .check(pool.base.is_some() && !depth, if depth { 1 } else { experts })
            .map_err(|error| Fault::at(self.at, error.to_string()).hint(error.hint()))?;
        if let Some((name, _)) = pool.experts.iter().find(|(_, place)| Some(place) == pool.base.as_ref()) {
            return Err(
                Fault::at(self.at, format!("the expert `{name}` is the base itself")).hint("leave it out of the pool")
            );
        }
        if let Some(layers) = self.layers {
            return stacked(layers, pool);
        }
        let source = |(name, model): (String, String)| Source { name: Some(name), model, ..Source::default() };
        let mut models: Vec<Source> = pool.experts.into_iter().map(source).collect();
        for (name, values, at) in self.each {
            if values.len() != experts {
                return Err(Fault::at(
                    at,
                    format!("`{name}` has {} values, the pool has {experts} experts", values.len()),
                ));
            }
            for (model, value) in models.iter_mut().zip(values) {
                model.parameters.insert(name.to_owned(), Setting::One(value));
            }
        }
        Ok(Document {
            method: self.method.id.to_owned(),
            base_model: pool.base,
            dtype: pool.dtype,
            parameters: self.parameters,
            models,
            ..Document::default()
        })
    }
}

pub(super) fn read(node: &Node, tree: &Tree, notes: &mut Vec<String>) -> Result<Read, Fault> {
    let map = node.map("the method")?;
    if is_pool(&map)? {
        return Err(Fault::at(map.at, "this is a model pool, not a method"));
    }
    let name = match (target(&map)?, map.text("name")?) {
        (Some(class), _) => last(&class).to_owned(),
        (None, Some(name)) => name,
        (None, None) => return Err(Fault::at(map.at, "no method is named: `_target_` is missing")),
    };
    if let Some((_, upscaling)) = MIXTURES.iter().find(|(names, _)| names.contains(&name.as_str())) {
        let method = find("passthrough").map_err(|error| Fault::at(map.at, error.to_string()))?;
        let mixture = Some(Mixture::of_fusionbench(&map, *upscaling)?);
        let (parameters, each) = (Settings::new(), Vec::new());
        return Ok(Read { method, parameters, each, at: map.at, layers: None, mixture });
    }
    let Some(peer) = PEERS.iter().find(|peer| peer.names.contains(&name.as_str())) else {
        let known = PEERS.iter().flat_map(|peer| peer.names.iter().copied());
        let suggestion = closest(&name, known).map_or_else(String::new, |name| format!(", did you mean `{name}`?"));
        return Err(Fault::at(map.at, format!("FusionBench's `{name}` is no method that fusebench can merge checkpoints with{suggestion}"))
            .hint("methods that need data or keep several models are not merges of checkpoints; `fusebench methods` lists all"));
    };
    let method = find(peer.ours).map_err(|error| Fault::at(map.at, error.to_string()))?;
    let mut read =
        Read { method, parameters: Settings::new(), each: Vec::new(), at: map.at, layers: None, mixture: None };
    if peer.ours == "svc" {
        inner(&map, tree, &mut read, notes)?;
    }
    if peer.ours == "passthrough" {
        read.layers = Some(layer_indices(map.require("layer_indices")?)?);
    }
    for (key, node) in map.fields {
        if let Some(field) = peer.fields.iter().find(|field| field.theirs == key.text) {
            take(field, key, node, &mut read)?;
        } else {
            other(peer, key, node, &mut read, notes)?;
        }
    }
    for field in peer.fields {
        let known = read.parameters.contains_key(field.ours) || read.each.iter().any(|(name, ..)| *name == field.ours);
        if known {
            continue;
        }
        let value = match field.default {
            Default::Number(number) => share(field.as_is, number),
            Default::Flag(flag) => flag.into(),
            Default::Text(text) => text.into(),
            Default::Needed => return Err(Fault::at(map.at, format!("`{}` is missing", field.theirs))),
        };
        read.parameters.insert(field.ours.to_owned(), value);
    }
    Ok(read)
}

fn share(as_is: As, number: f64) -> Setting {
    // As FusionBench reads it: above one it is per cent.
    if as_is == As::Share && number > 1.0 { (number / 100.0).into() } else { number.into() }
}

fn spec<'a>(read: &Read, ours: &str) -> Option<&'a Spec> {
    read.method.specs.iter().find(|spec| spec.name == ours)
}

/// Takes over one field.
fn take(field: &Field, key: &Key, node: &Node, read: &mut Read) -> Result<(), Fault> {
    let ours = field.ours;
    let setting = match (field.as_is, &node.kind) {
        (As::Seed | As::Names, _) if node.is_null() => return Ok(()),
        (As::Names, _) => {
            let names: Vec<&str> =
                node.list(&key.text)?.iter().map(|name| name.text(&key.text)).collect::<Result<_, _>>()?;
            Setting::One(Scalar::Text(names.join(", ")))
        }
        (As::Each, Kind::List(items)) => {
            let values =
                items.iter().map(|item| item.number(&key.text).map(Scalar::Number)).collect::<Result<Vec<_>, _>>()?;
            for value in &values {
                checked(read, ours, &Setting::One(value.clone()), key)?;
            }
            read.each.push((ours, values, key.at));
            return Ok(());
        }
        (As::Share, _) => share(As::Share, node.number(&key.text)?),
        _ => Setting::One(Scalar::read(node, &key.text)?),
    };
    checked(read, ours, &setting, key)?;
    read.parameters.insert(ours.to_owned(), setting);
    Ok(())
}

fn checked(read: &Read, ours: &str, setting: &Setting, key: &Key) -> Result<(), Fault> {
    let Some(spec) = spec(read, ours) else { return Ok(()) };
    chain::check(spec, setting).map_err(|error| {
        let text = error.to_string().replacen(&format!("`{ours}`"), &format!("`{}`", key.text), 1);
        Fault::at(key.at, text)
            .hint(format!("`fusebench methods {}` shows its parameters and their ranges", read.method.id))
    })
}

/// A field that is none of the method's parameters: one without effect, or one that is only read at one value.
fn other(peer: &Peer, key: &Key, node: &Node, read: &mut Read, notes: &mut Vec<String>) -> Result<(), Fault> {
    let empty = node.is_null() || matches!(&node.kind, Kind::List(items) if items.is_empty());
    match (peer.ours, key.text.as_str()) {
        ("trust_region", "zero_shot") => {
            if node.flag("zero_shot")? {
                Ok(())
            } else {
                Err(Fault::at(
                    key.at,
                    "the trust region from gradients needs data, which a merge of checkpoints does not have",
                )
                .hint("set `zero_shot: true`"))
            }
        }
        ("tsv_m", "return_single_task_models") if node.flag(&key.text)? => {
            Err(Fault::at(key.at, "a model for each task is not a merged model")
                .hint("leave `return_single_task_models` out"))
        }
        (_, "backbone_only") if node.flag(&key.text)? => Err(Fault::at(key.at, "`backbone_only: true` is not read")
            .hint("vocabularies of different sizes: --vocab backbone")),
        ("svc", "base_method") | ("passthrough", "layer_indices") => Ok(()),
        ("magnitude_diff_pruning", "extract_names") => {
            if empty {
                Ok(())
            } else {
                Err(Fault::at(key.at, "`extract_names` is not read: the weights of all linear layers are pruned"))
            }
        }
        ("ties" | "dare_ties", "remove_keys") | ("model_stock", "ignore_keys") => {
            let only_clip = peer.ours == "model_stock";
            if empty {
                return Ok(());
            }
            if only_clip {
                notes.push("`ignore_keys` names text towers of OpenCLIP, which are merged here like everything else where they are there".to_owned());
                return Ok(());
            }
            Err(Fault::at(key.at, format!("`{}` is not read: all tensors are merged", key.text)))
        }
        (_, known) if WITHOUT_EFFECT.contains(&known) => Ok(()),
        _ => {
            let known: Vec<&str> = peer.fields.iter().map(|field| field.theirs).collect();
            let hint = if known.is_empty() {
                "it has no parameters".to_owned()
            } else {
                format!("it has {}", known.join(", "))
            };
            let _ = read;
            Err(unknown_key(key, known).hint(hint))
        }
    }
}

/// `[0, "range(0,2)", 1]`: numbers of layers and ranges of them.
fn layer_indices(node: &Node) -> Result<Vec<usize>, Fault> {
    const MOST: usize = 4096;
    let mut layers = Vec::new();
    for item in node.list("layer_indices")? {
        let wrong = || item.wrong("layer_indices", "a layer's number or a range such as \"range(0, 4)\"");
        let text = item.text("layer_indices")?;
        let Some(inside) = text.trim().strip_prefix("range(").and_then(|rest| rest.strip_suffix(')')) else {
            layers.push(item.count("layer_indices", MOST)?);
            continue;
        };
        let numbers: Vec<usize> =
            inside.split(',').map(|number| number.trim().parse().map_err(|_| wrong())).collect::<Result<_, _>>()?;
        let (start, end, step) = match numbers[..] {
            [end] => (0, end, 1),
            [start, end] => (start, end, 1),
            [start, end, step] if step > 0 => (start, end, step),
            _ => return Err(wrong()),
        };
        if end > MOST {
            return Err(wrong());
        }
        layers.extend((start..end).step_by(step));
    }
    if layers.is_empty() || layers.len() > MOST {
        return Err(node.wrong("layer_indices", "a list of layers"));
    }
    Ok(layers)
}

/// Layers of one model in a new order, runs of neighbours together.
fn stacked(layers: Vec<usize>, pool: Pool) -> Result<Document, Fault> {
    let first = pool.experts.into_iter().next().map(|(_, place)| place);
    let Some(model) = pool.base.or(first) else { return Err(Fault::nowhere("the pool has no model")) };
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    for layer in layers {
        match ranges.last_mut() {
            Some((_, end)) if *end == layer => *end += 1,
            _ => ranges.push((layer, layer + 1)),
        }
    }
    let slice = |range| Slice {
        sources: vec![Source { model: model.clone(), layer_range: Some(range), ..Source::default() }],
        ..Slice::default()
    };
    let slices = ranges.into_iter().map(slice).collect();
    Ok(Document { method: "passthrough".to_owned(), dtype: pool.dtype, slices, ..Document::default() })
}

/// One model as several experts, or several models as one each.
fn mixed(mixture: Mixture, pool: Pool, at: crate::engine::Position) -> Result<Document, Fault> {
    let source = |(name, model): (String, String)| Source { name: Some(name), model, ..Source::default() };
    let base = pool.base.clone().or_else(|| pool.experts.first().map(|(_, model)| model.clone()));
    let models: Vec<Source> = if mixture.copies > 1 {
        base.iter().map(|model| Source { model: model.clone(), ..Source::default() }).collect()
    } else {
        pool.experts.into_iter().map(source).collect()
    };
    let experts = models.len() * mixture.copies;
    if experts < 2 || mixture.experts_per_token == 0 || mixture.experts_per_token > experts {
        return Err(Fault::at(at, format!("{} of {experts} experts a token cannot be", mixture.experts_per_token))
            .hint("a mixture has at least two experts, and `experts_per_token` of them work"));
    }
    Ok(Document {
        method: "passthrough".to_owned(),
        base_model: base,
        dtype: pool.dtype,
        mixture: Some(mixture),
        models,
        ..Document::default()
    })
}

/// SVC's `base_method`, as text: `ties density=0.2 merge=sum`.
fn inner(map: &Map<'_>, tree: &Tree, read: &mut Read, notes: &mut Vec<String>) -> Result<(), Fault> {
    let Some(node) = map.get("base_method") else { return Ok(()) };
    let base = self::read(node, tree, notes)?;
    if base.method.id == "svc" || !base.each.is_empty() {
        return Err(node.fault("this cannot be the method that SVC calibrates"));
    }
    // What SVC itself says of it would go before the inner method's own default.
    let own = base.method.specs.iter().find(|spec| spec.name == "scaling").map(Value::default_of);
    if let Some(scaling) = own.as_ref().and_then(Value::as_f64) {
        read.parameters.insert("scaling".to_owned(), scaling.into());
    }
    let mut words = vec![base.method.id.to_owned()];
    for (name, setting) in &base.parameters {
        let Some(value) = setting.uniform() else { continue };
        let text = match value {
            Scalar::Flag(flag) => flag.to_string(),
            Scalar::Number(number) => number.to_string(),
            Scalar::Text(text) if text.is_empty() || text.contains(char::is_whitespace) => continue,
            Scalar::Text(text) => text.clone(),
        };
        if name == "scaling" {
            read.parameters.insert("scaling".to_owned(), Setting::One(value.clone()));
        }
        words.push(format!("{name}={text}"));
    }
    read.parameters.insert("inner".to_owned(), Setting::One(Scalar::Text(words.join(" "))));
    Ok(())
}
