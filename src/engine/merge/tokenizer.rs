//! The tokens of a model, as the files beside it list them, and putting several such lists together.

use crate::engine::EngineError;
use serde_json::{Map, Value as Json, json};
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

/// No tokenizer is larger.
const LARGEST: u64 = 256 << 20;
/// Ids beyond this are a mistake.
const HIGHEST: usize = 1 << 24;

/// Files that a tokenizer may consist of.
pub(super) const FILES: &[&str] = &[
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "spiece.model",
    "sentencepiece.bpe.model",
];

/// The tokens of one model.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::engine) struct Vocabulary {
    pub folder: PathBuf,
    pub ids: HashMap<String, usize>,
    /// `tokenizer.json`, where that is where they stand.
    json: Option<Json>,
}

impl Vocabulary {
    /// The tokens of the model in `folder`; nothing where no file lists them.
    ///
    /// # Errors
    /// A file that cannot be read or understood.
    pub fn read(folder: &Path) -> Result<Option<Self>, EngineError> {
        let mut ids = HashMap::new();
        let path = folder.join("tokenizer.json");
        let json = file(&path)?.map(|bytes| parse(&path, &bytes)).transpose()?;
        if let Some(json) = &json {
            let model = &json["model"]["vocab"];
            match model {
                Json::Object(map) => add_map(&mut ids, map),
                Json::Array(list) => ids.extend(
                    list.iter().enumerate().filter_map(|(id, entry)| Some((entry.get(0)?.as_str()?.to_owned(), id))),
                ),
                _ => {}
            }
            for token in json["added_tokens"].as_array().into_iter().flatten() {
                if let (Some(text), Some(id)) = (token["content"].as_str(), index(&token["id"])) {
                    ids.insert(text.to_owned(), id);
                }
            }
        } else {
            let path = folder.join("vocab.json");
            if let Some(Json::Object(map)) = file(&path)?.map(|bytes| parse(&path, &bytes)).transpose()? {
                add_map(&mut ids, &map);
            }
            if let Some(bytes) = file(&folder.join("vocab.txt"))? {
                ids.extend(String::from_utf8_lossy(&bytes).lines().enumerate().map(|(id, line)| (line.to_owned(), id)));
            }
            let path = folder.join("added_tokens.json");
            if let Some(Json::Object(map)) = file(&path)?.map(|bytes| parse(&path, &bytes)).transpose()? {
                add_map(&mut ids, &map);
            }
        }
        Ok((!ids.is_empty()).then(|| Self { folder: folder.to_owned(), ids, json }))
    }

    /// Tokens in the order of their ids.
    pub fn in_order(&self) -> Vec<(&str, usize)> {
        let mut all: Vec<(&str, usize)> = self.ids.iter().map(|(token, id)| (token.as_str(), *id)).collect();
        all.sort_unstable_by_key(|(token, id)| (*id, *token));
        all
    }

    /// One more than the highest id.
    pub fn rows(&self) -> usize {
        self.ids.values().max().map_or(0, |highest| highest + 1)
    }

    /// Adds a token that it does not have, as `other` describes it where it is known there.
    pub fn add(&mut self, token: &str, other: Option<&Self>) {
        if self.ids.contains_key(token) {
            return;
        }
        let id = self.rows();
        self.ids.insert(token.to_owned(), id);
        let described = other.and_then(|other| other.described(token)).cloned();
        let Some(json) = &mut self.json else { return };
        let mut entry = described.unwrap_or_else(|| {
            json!({"id": id, "content": token, "single_word": false, "lstrip": false, "rstrip": false, "normalized": true, "special": false})
        });
        entry["id"] = json!(id);
        match &mut json["added_tokens"] {
            Json::Array(list) => list.push(entry),
            other => *other = json!([entry]),
        }
    }

    /// What `tokenizer.json` says of a token that was added to it.
    fn described(&self, token: &str) -> Option<&Json> {
        self.json.as_ref()?["added_tokens"].as_array()?.iter().find(|entry| entry["content"].as_str() == Some(token))
    }

    /// The files of a tokenizer with these tokens in place of those in its folder; nothing for those that do not have
    /// the tokens `added`.
    pub fn files(&self, added: &[String]) -> Vec<(String, Option<Vec<u8>>)> {
        if added.is_empty() {
            return Vec::new();
        }
        if let Some(json) = &self.json {
            // What lists tokens beside it does not have the new ones.
            let kept = ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"];
            let stale = FILES.iter().filter(|name| !kept.contains(name)).map(|name| ((*name).to_owned(), None));
            return std::iter::once(("tokenizer.json".to_owned(), Some(format!("{json:#}\n").into_bytes())))
                .chain(stale)
                .collect();
        }
        let mut all: BTreeMap<String, usize> = BTreeMap::new();
        if let Ok(Some(bytes)) = file(&self.folder.join("added_tokens.json")) {
            all = serde_json::from_slice(&bytes).unwrap_or_default();
        }
        all.extend(added.iter().filter_map(|token| Some((token.clone(), *self.ids.get(token)?))));
        vec![("added_tokens.json".to_owned(), Some(format!("{:#}\n", json!(all)).into_bytes()))]
    }
}

/// The chat template that most of the models have.
pub(super) fn usual_template<'a>(folders: impl Iterator<Item = &'a Path>) -> Option<String> {
    let mut counts: Vec<(String, usize)> = Vec::new();
    for template in folders.filter_map(template) {
        match counts.iter_mut().find(|(known, _)| *known == template) {
            Some((_, count)) => *count += 1,
            None => counts.push((template, 1)),
        }
    }
    // The first of those that are equally frequent.
    counts.into_iter().rev().max_by_key(|(_, count)| *count).map(|(template, _)| template)
}

fn template(folder: &Path) -> Option<String> {
    if let Ok(text) = fs::read_to_string(folder.join("chat_template.jinja")) {
        return Some(text.trim().to_owned());
    }
    let bytes = file(&folder.join("tokenizer_config.json")).ok()??;
    let config: Json = serde_json::from_slice(&bytes).ok()?;
    match &config["chat_template"] {
        Json::String(text) => Some(text.trim().to_owned()),
        Json::Array(list) => {
            let default = list.iter().find(|entry| entry["name"] == "default")?;
            default["template"].as_str().map(|text| text.trim().to_owned())
        }
        _ => None,
    }
}

fn add_map(ids: &mut HashMap<String, usize>, map: &Map<String, Json>) {
    ids.extend(map.iter().filter_map(|(token, id)| Some((token.clone(), index(id)?))));
}

fn index(id: &Json) -> Option<usize> {
    usize::try_from(id.as_u64()?).ok().filter(|id| *id < HIGHEST)
}

fn file(path: &Path) -> Result<Option<Vec<u8>>, EngineError> {
    let failed = |reason: String| EngineError::Tokenizer { label: path.display().to_string(), reason };
    match fs::metadata(path) {
        Err(_) => Ok(None),
        Ok(meta) if meta.len() > LARGEST => {
            Err(failed(format!("{} MB are too many for a tokenizer", meta.len() >> 20)))
        }
        Ok(_) => fs::read(path).map(Some).map_err(|error| failed(error.to_string())),
    }
}

fn parse(path: &Path, bytes: &[u8]) -> Result<Json, EngineError> {
    serde_json::from_slice(bytes).map_err(|error| EngineError::Tokenizer {
        label: path.display().to_string(),
        reason: format!("not JSON: {error}"),
    })
}
