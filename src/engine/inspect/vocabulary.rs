//! Which token has which number in a model: what has to be the same before embeddings can be merged.

use serde_json::{Map, Value as Json};
use std::collections::HashMap;
use std::fs;
use std::path::Path;

/// Larger files are something else.
const LARGEST: u64 = 256 << 20;

/// Tokens with their numbers, as the tokenizer files beside a model have them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Vocabulary(HashMap<String, u64>);

/// How a vocabulary differs from another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Changes {
    /// Tokens that only one of them has.
    pub missing: usize,
    pub added: usize,
    /// Tokens that both have under other numbers.
    pub moved: usize,
}

impl Vocabulary {
    /// From `tokenizer.json`, `vocab.json` or `vocab.txt`; nothing where there is none that can be read.
    pub fn read(folder: &Path) -> Option<Self> {
        let text = |name: &str| {
            let path = folder.join(name);
            fs::metadata(&path).ok().filter(|meta| meta.len() <= LARGEST)?;
            fs::read_to_string(path).ok()
        };
        let json = |name: &str| serde_json::from_str::<Json>(&text(name)?).ok();
        if let Some(found) = json("tokenizer.json").as_ref().and_then(Self::of_tokenizer) {
            return Some(found);
        }
        if let Some(Json::Object(map)) = json("vocab.json") {
            return Some(Self(numbered(&map)));
        }
        let lines = text("vocab.txt")?;
        Some(Self(lines.lines().zip(0..).map(|(token, id)| (token.to_owned(), id)).collect()))
    }

    fn of_tokenizer(tokenizer: &Json) -> Option<Self> {
        let mut tokens = match tokenizer.get("model")?.get("vocab")? {
            Json::Object(map) => numbered(map),
            // Unigram: pieces with their scores, numbered by place.
            Json::Array(pieces) => {
                let piece = |(piece, id): (&Json, u64)| Some((piece.get(0)?.as_str()?.to_owned(), id));
                pieces.iter().zip(0..).filter_map(piece).collect()
            }
            _ => return None,
        };
        let added = tokenizer.get("added_tokens").and_then(Json::as_array);
        let token = |token: &Json| Some((token.get("content")?.as_str()?.to_owned(), token.get("id")?.as_u64()?));
        tokens.extend(added.into_iter().flatten().filter_map(token));
        Some(Self(tokens))
    }

    /// Number of tokens.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// How `self` differs from `base`.
    pub fn changes(&self, base: &Self) -> Changes {
        let mut changes =
            Changes { added: self.0.keys().filter(|token| !base.0.contains_key(*token)).count(), ..Changes::default() };
        for (token, id) in &base.0 {
            match self.0.get(token) {
                None => changes.missing += 1,
                Some(other) => changes.moved += usize::from(other != id),
            }
        }
        changes
    }
}

fn numbered(map: &Map<String, Json>) -> HashMap<String, u64> {
    map.iter().filter_map(|(token, id)| Some((token.clone(), id.as_u64()?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_file_gives_the_same_vocabulary() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        assert_eq!(Vocabulary::read(folder.path()), None);
        let expected = Vocabulary([("a", 0), ("b", 1), ("c", 2)].map(|(token, id)| (token.to_owned(), id)).into());
        write("vocab.txt", "a\nb\nc\n");
        assert_eq!(Vocabulary::read(folder.path()).as_ref(), Some(&expected));
        write("vocab.json", r#"{"b": 1, "a": 0, "c": 2}"#);
        assert_eq!(Vocabulary::read(folder.path()).as_ref(), Some(&expected));
        write(
            "tokenizer.json",
            r#"{"model": {"vocab": [["a", -1.0], ["b", -2]]}, "added_tokens": [{"id": 2, "content": "c"}]}"#,
        );
        assert_eq!(Vocabulary::read(folder.path()).as_ref(), Some(&expected));
        write("tokenizer.json", r#"{"model": {"vocab": {"a": 0, "c": 1, "d": 3}}}"#);
        let other = Vocabulary::read(folder.path()).unwrap();
        assert_eq!(other.changes(&expected), Changes { missing: 1, added: 1, moved: 1 });
        assert_eq!((other.len(), expected.changes(&expected)), (3, Changes::default()));
        // What cannot be read is passed over.
        write("tokenizer.json", "{");
        assert_eq!(Vocabulary::read(folder.path()).as_ref(), Some(&expected));
    }
}
