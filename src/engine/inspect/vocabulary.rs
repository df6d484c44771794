//! Which tokens have other numbers in one model than in another: what has to be the same before embeddings can be merged.

use crate::engine::merge::Vocabulary;

/// How a vocabulary differs from another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Changes {
    /// Tokens that only one of them has.
    pub missing: usize,
    pub added: usize,
    /// Tokens that both have under other numbers.
    pub moved: usize,
}

impl Changes {
    /// How `own` differs from `base`.
    pub fn between(base: &Vocabulary, own: &Vocabulary) -> Self {
        let added = own.ids.keys().filter(|token| !base.ids.contains_key(*token)).count();
        let mut changes = Self { added, ..Self::default() };
        for (token, id) in &base.ids {
            match own.ids.get(token) {
                None => changes.missing += 1,
                Some(other) => changes.moved += usize::from(other != id),
            }
        }
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn tokens_are_missing_added_or_moved() {
        let folder = tempfile::tempdir().unwrap();
        let read = |text: &str| {
            fs::write(folder.path().join("vocab.txt"), text).unwrap();
            Vocabulary::read(folder.path()).unwrap().unwrap()
        };
        let (base, own) = (read("a\nb\nc\n"), read("a\nc\nd\n"));
        assert_eq!(Changes::between(&base, &own), Changes { missing: 1, added: 1, moved: 1 });
        assert_eq!(Changes::between(&base, &base), Changes::default());
    }
}
