//! Which vocabulary the result has, and where the rows of its tokens come from.

use super::error::Fault;
use super::node::{Kind, Node};
use super::reference;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The vocabulary of the result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tokenizer {
    /// `union`, `base`, or a model.
    pub source: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pad_to_multiple_of: Option<usize>,
    /// Tokens that are treated differently, or added.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tokens: BTreeMap<String, Token>,
}

/// One token's row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Token {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<TokenSource>,
    /// For all models, those that have the token too.
    #[serde(default)]
    pub force: bool,
}

/// Where a row comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum TokenSource {
    /// The model's row of the same token.
    Model(String),
    Other(OtherSource),
}

/// Zeros, or another token of a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum OtherSource {
    Zero,
    ModelToken {
        model: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        token: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        token_id: Option<usize>,
    },
}

impl Tokenizer {
    pub(super) fn from_source(source: String) -> Self {
        Self { source, pad_to_multiple_of: None, tokens: BTreeMap::new() }
    }

    /// Reads mergekit's `tokenizer`.
    pub(super) fn read(node: &Node) -> Result<Self, Fault> {
        let map = node.map("tokenizer")?;
        map.only(&["source", "tokens", "pad_to_multiple_of"])?;
        let source = map.get("source").map(|node| reference::read(node, "source")).transpose()?;
        let pad = |node: &Node| match node.count("pad_to_multiple_of", 1 << 20)? {
            0 => Err(node.wrong("pad_to_multiple_of", "one or more")),
            multiple => Ok(multiple),
        };
        let mut tokenizer = Self::from_source(source.unwrap_or_else(|| "union".to_owned()));
        tokenizer.pad_to_multiple_of = map.get("pad_to_multiple_of").map(pad).transpose()?;
        if let Some(tokens) = map.get("tokens") {
            for (key, node) in tokens.map("tokens")?.fields {
                tokenizer.tokens.insert(key.text.clone(), Token::read(node)?);
            }
        }
        Ok(tokenizer)
    }

    /// The models that it names.
    pub(super) fn references(&self) -> impl Iterator<Item = &str> {
        let source = Some(self.source.as_str()).filter(|source| !matches!(*source, "union" | "base"));
        let tokens = self.tokens.values().filter_map(|token| match token.source.as_ref()? {
            TokenSource::Model(model) | TokenSource::Other(OtherSource::ModelToken { model, .. }) => {
                Some(model.as_str())
            }
            TokenSource::Other(OtherSource::Zero) => None,
        });
        source.into_iter().chain(tokens)
    }

    pub(super) fn map_references(&mut self, change: &mut dyn FnMut(&mut String)) {
        if !matches!(self.source.as_str(), "union" | "base") {
            change(&mut self.source);
        }
        for token in self.tokens.values_mut() {
            if let Some(TokenSource::Model(model) | TokenSource::Other(OtherSource::ModelToken { model, .. })) =
                &mut token.source
            {
                change(model);
            }
        }
    }
}

impl Token {
    fn read(node: &Node) -> Result<Self, Fault> {
        if node.is_null() {
            return Ok(Self { source: None, force: false });
        }
        let map = node.map("a token")?;
        map.only(&["source", "force"])?;
        let force = map.get("force").map(|node| node.flag("force")).transpose()?.unwrap_or(false);
        let source = map.get("source").map(TokenSource::read).transpose()?;
        if force && source.is_none() {
            return Err(node.fault("`force` needs a `source`"));
        }
        Ok(Self { source, force })
    }
}

impl TokenSource {
    fn read(node: &Node) -> Result<Self, Fault> {
        let Kind::Map(_) = &node.kind else { return reference::read(node, "source").map(Self::Model) };
        let map = node.map("source")?;
        let Some(kind) = map.get("kind") else { return reference::read(node, "source").map(Self::Model) };
        match kind.text("kind")? {
            "zero" => {
                map.only(&["kind"])?;
                Ok(Self::Other(OtherSource::Zero))
            }
            "model_token" => {
                map.only(&["kind", "model", "token", "token_id"])?;
                let model = reference::read(map.require("model")?, "model")?;
                let token = map.text("token")?;
                let token_id = map.get("token_id").map(|node| node.count("token_id", 1 << 31)).transpose()?;
                if token.is_some() == token_id.is_some() {
                    return Err(node.fault("exactly one of `token` and `token_id` is needed"));
                }
                Ok(Self::Other(OtherSource::ModelToken { model, token, token_id }))
            }
            _ => Err(kind.wrong("kind", "`zero` or `model_token`")),
        }
    }
}
