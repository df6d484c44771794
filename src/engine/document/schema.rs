//! The form that mergekit's YAML and our recipes have in common: models, slices, modules, parameters at every level.

use super::chain::{check, is_per_model};
use super::error::Fault;
use super::mixture::Mixture;
use super::node::{Key, Kind, Map, Node, unknown_key};
use super::peer::{self, Peer};
use super::setting::Setting;
use super::tokens::Tokenizer;
use super::{Document, Module, Settings, Slice, Source, mergekit, reference};
use crate::fusion::{METHODS, Method, find};
use crate::params::closest;
use crate::weights::DType;

/// Layers that a model may have.
const MOST_LAYERS: usize = 1 << 16;

/// Whose words a document is written in.
#[derive(Debug, Clone, Copy)]
pub(super) enum Words {
    Peer(&'static Peer),
    Own(&'static Method),
}

/// Where parameters stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    Document,
    Module,
    Slice,
    Source,
}

/// A document in the making.
pub(super) struct Reader {
    pub words: Words,
    pub method: &'static Method,
    /// What was read and has no effect.
    pub notes: Vec<String>,
}

/// Reads one document in mergekit's words, or in ours.
pub(super) fn read(node: &Node, own: bool, notes: &mut Vec<String>) -> Result<Document, Fault> {
    let map = node.map("the document")?;
    let method_key = if own { "method" } else { "merge_method" };
    let name = map.require(method_key)?;
    let words = words(name, own)?;
    let method = match words {
        Words::Own(method) => method,
        Words::Peer(peer) => find(peer.ours).map_err(|error| name.fault(error.to_string()))?,
    };
    let mut reader = Reader { words, method, notes: Vec::new() };
    let mut document = reader.document(&map, method_key)?;
    if let Words::Peer(peer) = words {
        mergekit::translate(&mut document, peer, &map)?;
    }
    document.check(&map)?;
    notes.append(&mut reader.notes);
    Ok(document)
}

fn words(node: &Node, own: bool) -> Result<Words, Fault> {
    let name = node.text("the method")?;
    if own {
        return find(name)
            .map(Words::Own)
            .map_err(|error| node.fault(error.to_string()).hint("`fusebench methods` lists them"));
    }
    peer::find(name).map(Words::Peer).ok_or_else(|| {
        let names = || peer::PEERS.iter().map(|peer| peer.name);
        let suggestion = closest(name, names()).map_or_else(String::new, |name| format!(", did you mean `{name}`?"));
        let hint = if METHODS.iter().any(|method| method.id == name) {
            "this is a method of fusebench: in a recipe (TOML) it can be used with slices and gradients too".to_owned()
        } else {
            format!("known: {}", names().collect::<Vec<_>>().join(", "))
        };
        node.fault(format!("mergekit has no method `{}`{suggestion}", super::node::shortened(name))).hint(hint)
    })
}

/// One of the dtypes that results are written in, under our name for it.
pub(super) fn dtype(node: Option<&Node>) -> Result<Option<String>, Fault> {
    let Some(node) = node else { return Ok(None) };
    let name = node.text("dtype")?;
    let name = name.strip_prefix("torch.").unwrap_or(name);
    let all = [DType::F64, DType::F32, DType::F16, DType::Bf16];
    let found = all.into_iter().find(|dtype| dtype.torch_name() == Some(name) || dtype.to_string() == name);
    found
        .map(|dtype| Some(dtype.to_string()))
        .ok_or_else(|| node.wrong("dtype", "float32, bfloat16, float16 or float64"))
}

impl Reader {
    fn document(&mut self, map: &Map<'_>, method_key: &str) -> Result<Document, Fault> {
        let own = matches!(self.words, Words::Own(_));
        let mut known = vec![
            method_key,
            "name",
            "base_model",
            "models",
            "slices",
            "modules",
            "parameters",
            "dtype",
            "tokenizer",
            "chat_template",
        ];
        known.extend(if own { &["like", "required", "mixture"][..] } else { &["out_dtype", "tokenizer_source"] });
        map.only(&known)?;
        let mut document = Document {
            name: map.text("name")?,
            method: self.method.id.to_owned(),
            base_model: map.get("base_model").map(|node| reference::read(node, "base_model")).transpose()?,
            like: map.get("like").map(|node| reference::read(node, "like")).transpose()?,
            // Computed in f32 whatever is asked for, rounded once to the dtype of the result.
            dtype: dtype(map.get("out_dtype").or_else(|| map.get("dtype")))?,
            chat_template: map.get("chat_template").map(chat_template).transpose()?,
            mixture: map.get("mixture").map(Mixture::read).transpose()?,
            parameters: self.settings(map, Scope::Document)?,
            tokenizer: tokenizer(map)?,
            models: self.sources(map, "models", false)?,
            slices: self.slices(map)?,
            ..Document::default()
        };
        if let Some(required) = map.get("required") {
            for node in required.list("required")? {
                let name = node.text("required")?;
                if !self.method.specs.iter().any(|spec| spec.name == name) {
                    return Err(node.fault(format!("{} has no parameter `{name}`", self.method.name)));
                }
                document.required.push(name.to_owned());
            }
        }
        if let Some(node) = map.get("dtype") {
            dtype(Some(node))?;
        }
        document.modules = self.modules(map)?;
        let forms =
            ["models", "slices", "modules"].into_iter().filter(|key| map.get(key).is_some()).collect::<Vec<_>>();
        match forms[..] {
            [_] => Ok(document),
            [] => Err(Fault::at(map.at, "no models: `models`, `slices` or `modules` is missing")),
            _ => Err(Fault::at(map.at, format!("only one of {} can be there", forms.join(", ")))),
        }
    }

    fn sources(&mut self, map: &Map<'_>, key: &str, layers: bool) -> Result<Vec<Source>, Fault> {
        let Some(node) = map.get(key) else { return Ok(Vec::new()) };
        let items = node.list(key)?;
        if items.is_empty() {
            return Err(node.fault(format!("`{key}` is empty")));
        }
        let mut sources: Vec<Source> = Vec::with_capacity(items.len());
        for item in items {
            let source = self.source(item, layers)?;
            // As two experts it can be there under two names, and in a mixture as often as one likes.
            let own = matches!(self.words, Words::Own(_));
            let mixed = map.get("mixture").is_some();
            let same = |other: &Source| other.model == source.model && !(own && other.name != source.name);
            if !mixed && sources.iter().any(same) {
                return Err(item
                    .fault(format!("the model {} stands twice", source.model))
                    .hint("give it the sum of both weights"));
            }
            sources.push(source);
        }
        Ok(sources)
    }

    fn source(&mut self, node: &Node, layers: bool) -> Result<Source, Fault> {
        let map = node.map("a model")?;
        let own = if matches!(self.words, Words::Own(_)) { &["name"][..] } else { &[] };
        map.only(
            &[if layers { &["model", "layer_range", "parameters"][..] } else { &["model", "parameters"] }, own]
                .concat(),
        )?;
        let layer_range = if layers { Some(layer_range(map.require("layer_range")?)?) } else { None };
        let model = reference::read(map.require("model")?, "model")?;
        Ok(Source { name: map.text("name")?, model, layer_range, parameters: self.settings(&map, Scope::Source)? })
    }

    fn slices(&mut self, map: &Map<'_>) -> Result<Vec<Slice>, Fault> {
        let Some(node) = map.get("slices") else { return Ok(Vec::new()) };
        let items = node.list("slices")?;
        if items.is_empty() {
            return Err(node.fault("`slices` is empty"));
        }
        items.iter().map(|item| self.slice(item)).collect()
    }

    fn slice(&mut self, node: &Node) -> Result<Slice, Fault> {
        let map = node.map("a slice")?;
        map.only(&["sources", "base_model", "parameters", "residual_weight"])?;
        if map.get("residual_weight").is_some() {
            self.note("`residual_weight` has no effect, neither here nor in mergekit".to_owned());
        }
        map.require("sources")?;
        let sources = self.sources(&map, "sources", true)?;
        let length = |source: &Source| source.layer_range.map_or(0, |(start, end)| end - start);
        if let Some(other) = sources.iter().find(|source| length(source) != length(&sources[0])) {
            let message = format!(
                "{} gives {} layers and {} gives {}",
                sources[0].model,
                length(&sources[0]),
                other.model,
                length(other)
            );
            return Err(node.fault(message).hint("all sources of a slice must have the same number of layers"));
        }
        Ok(Slice {
            base_model: map.get("base_model").map(|node| reference::read(node, "base_model")).transpose()?,
            parameters: self.settings(&map, Scope::Slice)?,
            sources,
        })
    }

    /// Modules as a map by name (mergekit) or as a list with names (ours).
    fn modules(&mut self, map: &Map<'_>) -> Result<Vec<Module>, Fault> {
        let Some(node) = map.get("modules") else { return Ok(Vec::new()) };
        let mut modules: Vec<Module> = Vec::new();
        let items: Vec<(Option<&Key>, &Node)> = match &node.kind {
            Kind::Map(fields) => fields.iter().map(|(key, node)| (Some(key), node)).collect(),
            _ => node.list("modules")?.iter().map(|node| (None, node)).collect(),
        };
        if items.is_empty() {
            return Err(node.fault("`modules` is empty"));
        }
        for (key, node) in items {
            let map = node.map("a module")?;
            let name = match key {
                Some(key) => key.text.clone(),
                None => map.require("name")?.text("name")?.to_owned(),
            };
            map.only(if key.is_some() {
                &["models", "slices", "parameters"]
            } else {
                &["name", "models", "slices", "parameters"]
            })?;
            if modules.iter().any(|module| module.name == name) {
                return Err(node.fault(format!("the module `{name}` stands twice")));
            }
            if map.get("models").is_some() == map.get("slices").is_some() {
                return Err(node.fault("a module has either `models` or `slices`"));
            }
            let parameters = self.settings(&map, Scope::Module)?;
            modules.push(Module {
                name,
                parameters,
                models: self.sources(&map, "models", false)?,
                slices: self.slices(&map)?,
            });
        }
        Ok(modules)
    }

    fn settings(&mut self, map: &Map<'_>, scope: Scope) -> Result<Settings, Fault> {
        let mut settings = Settings::new();
        let Some(node) = map.get("parameters") else { return Ok(settings) };
        for (key, value) in node.map("parameters")?.fields {
            if value.is_null() {
                continue;
            }
            let Some(name) = self.parameter(key, scope)? else { continue };
            let setting = Setting::read(value, &key.text)?;
            self.check(key, name, &setting)?;
            settings.insert(name.to_owned(), setting);
        }
        Ok(settings)
    }

    /// What a parameter is called here; nothing for one that has no effect.
    fn parameter(&mut self, key: &Key, scope: Scope) -> Result<Option<&'static str>, Fault> {
        let known: Vec<(&'static str, &'static str)> = match self.words {
            Words::Peer(peer) => peer.parameters.iter().map(|parameter| (parameter.name, parameter.ours)).collect(),
            Words::Own(method) => method.specs.iter().map(|spec| (spec.name, spec.name)).collect(),
        };
        let Some(&(_, ours)) = known.iter().find(|(name, _)| *name == key.text) else {
            return match self.words {
                Words::Peer(_) if peer::WITHOUT_EFFECT.contains(&key.text.as_str()) => Ok(None),
                Words::Peer(peer) if peer::knows(&key.text) => {
                    self.note(format!("`{}` has no effect on `{}`, neither here nor in mergekit", key.text, peer.name));
                    Ok(None)
                }
                _ => {
                    let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
                    let hint = if names.is_empty() {
                        "it has no parameters".to_owned()
                    } else {
                        format!("it has {}", names.join(", "))
                    };
                    Err(unknown_key(key, names.iter().copied()).hint(hint))
                }
            };
        };
        if ours.starts_with("nuslerp_") && scope != Scope::Document {
            return Err(Fault::at(
                key.at,
                format!("`{}` is read under the `parameters` of the whole document only", key.text),
            ));
        }
        let shared = self.method.specs.iter().any(|spec| spec.name == ours && !is_per_model(spec));
        if shared && scope == Scope::Source && self.method.needs.max_models != Some(1) {
            let message = format!("`{}` is one for all models", key.text);
            return match self.words {
                // As mergekit, which looks for it further out only.
                Words::Peer(_) => {
                    self.note(format!("{message}: under a single one it has no effect, neither here nor in mergekit"));
                    Ok(None)
                }
                Words::Own(_) => {
                    Err(Fault::at(key.at, message).hint("put it under the `parameters` of the slice or document"))
                }
            };
        }
        Ok(Some(ours))
    }

    fn check(&self, key: &Key, ours: &str, setting: &Setting) -> Result<(), Fault> {
        let Some(spec) = self.method.specs.iter().find(|spec| spec.name == ours) else {
            // One of the two switches of NuSLERP, which become one.
            let flags = setting.scalars().into_iter().all(|scalar| matches!(scalar, super::Scalar::Flag(_)));
            return if flags && setting.uniform().is_some() {
                Ok(())
            } else {
                Err(Fault::at(key.at, format!("`{}` must be true or false", key.text)))
            };
        };
        check(spec, setting).map_err(|error| {
            let text = error.to_string();
            // In the words of the file.
            Fault::at(key.at, text.replacen(&format!("`{ours}`"), &format!("`{}`", key.text), 1))
                .hint(format!("`fusebench methods {}` shows its parameters and their ranges", self.method.id))
        })
    }

    fn note(&mut self, note: String) {
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }
}

fn layer_range(node: &Node) -> Result<(usize, usize), Fault> {
    let expected = "two whole numbers: the first layer, and the first that is not wanted any more";
    match node.list("layer_range").map_err(|_| node.wrong("layer_range", expected))? {
        [start, end] => {
            let (start, end) = (start.count("layer_range", MOST_LAYERS)?, end.count("layer_range", MOST_LAYERS)?);
            if start >= end {
                return Err(node
                    .fault(format!("`layer_range` [{start}, {end}] has no layers"))
                    .hint("the second number is not part of it"));
            }
            Ok((start, end))
        }
        _ => Err(node.wrong("layer_range", expected)),
    }
}

fn tokenizer(map: &Map<'_>) -> Result<Option<Tokenizer>, Fault> {
    match (map.get("tokenizer_source"), map.get("tokenizer")) {
        (Some(source), None) => {
            reference::read(source, "tokenizer_source").map(|source| Some(Tokenizer::from_source(source)))
        }
        (None, Some(node)) => Tokenizer::read(node).map(Some),
        (None, None) => Ok(None),
        (Some(_), Some(node)) => Err(node.fault("only one of `tokenizer` and `tokenizer_source` can be there")),
    }
}

fn chat_template(node: &Node) -> Result<String, Fault> {
    let text = node.text("chat_template")?;
    if text == "auto" || (text.contains('{') && text.len() <= 1 << 17) {
        return Ok(text.to_owned());
    }
    Err(node
        .wrong("chat_template", "`auto` or a Jinja template")
        .hint("the named templates are part of mergekit: paste the text of the one that is meant"))
}
