//! Rust source as tokens, without comments, literals and tests: enough to see who names whom.

use std::fs;
use std::path::{Path, PathBuf};

/// One file under `src/`.
pub struct Source {
    /// Relative to `src/`, e.g. `fusion/methods/ties.rs`.
    pub path: PathBuf,
    pub text: String,
    /// What is compiled outside of tests.
    pub tokens: Vec<String>,
    /// Only compiled for tests.
    pub test_only: bool,
}

impl Source {
    /// The first part of the path: `fusion` for everything in `fusion.rs` and `fusion/`.
    pub fn room(&self) -> String {
        let first = self.path.iter().next().unwrap().to_string_lossy();
        first.trim_end_matches(".rs").to_owned()
    }

    /// The rooms that are named, by `crate::` or by `super::` up to the root, without its own.
    pub fn rooms_used(&self) -> Vec<String> {
        let own = self.room();
        let mut rooms = named_from_root(&self.tokens, self.path.components().count());
        rooms.retain(|room| *room != own);
        rooms.sort();
        rooms.dedup();
        rooms
    }

    /// Whether a path begins with the crate `name` or one of its family (`burn` also finds `burn_nn`).
    pub fn names_crate(&self, name: &str) -> bool {
        let family = format!("{name}_");
        (0..self.tokens.len()).any(|at| {
            let token = &self.tokens[at];
            let starts_path = at == 0 || !matches!(self.tokens[at - 1].as_str(), ":" | ".");
            (token == name || token.starts_with(&family)) && starts_path && follows(&self.tokens[at + 1..], &[":", ":"])
        })
    }

    /// Whether the tokens occur one after another.
    pub fn contains(&self, wanted: &[&str]) -> bool {
        (0..self.tokens.len()).any(|at| follows(&self.tokens[at..], wanted))
    }
}

fn follows(tokens: &[String], wanted: &[&str]) -> bool {
    tokens.len() >= wanted.len() && tokens.iter().zip(wanted).all(|(token, wanted)| token == wanted)
}

/// All files under `folder`, which must be read to the last one.
pub fn read_all(folder: &Path) -> Vec<Source> {
    let mut sources = Vec::new();
    let mut test_files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let (tokens, test_modules) = without_tests(tokens(&text));
                let inside = if path.parent() == Some(folder)
                    && ["lib.rs", "main.rs"].map(|root| folder.join(root)).contains(&path)
                {
                    folder.to_owned()
                } else {
                    path.with_extension("")
                };
                test_files.extend(test_modules.into_iter().map(|module| inside.join(module)));
                let path = path.strip_prefix(folder).unwrap().to_owned();
                sources.push(Source { path, text, tokens, test_only: false });
            }
        }
    }
    for source in &mut sources {
        let whole = folder.join(source.path.with_extension(""));
        source.test_only = test_files.iter().any(|test| whole.starts_with(test));
    }
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    sources
}

/// Identifiers and single punctuation marks.
pub fn tokens(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let is_ident = |c: char| c.is_alphanumeric() || c == '_';
    let (mut tokens, mut i) = (Vec::new(), 0);
    while i < chars.len() {
        let c = chars[i];
        if c == '/' && at(i + 1) == '/' {
            while i < chars.len() && chars[i] != '\n' {
                i += 1;
            }
        } else if c == '/' && at(i + 1) == '*' {
            let mut depth = 0;
            while i < chars.len() {
                match (chars[i], at(i + 1)) {
                    ('/', '*') => (depth, i) = (depth + 1, i + 2),
                    ('*', '/') => (depth, i) = (depth - 1, i + 2),
                    _ => i += 1,
                }
                if depth == 0 {
                    break;
                }
            }
        } else if c == '"' {
            i += 1;
            while i < chars.len() && chars[i] != '"' {
                i += if chars[i] == '\\' { 2 } else { 1 };
            }
            i += 1;
        } else if c == '\'' {
            // A lifetime has no closing quote after its first character.
            if at(i + 1) == '\\' {
                i += 3;
                while i < chars.len() && chars[i] != '\'' {
                    i += 1;
                }
                i += 1;
            } else {
                i += if at(i + 2) == '\'' { 3 } else { 1 };
            }
        } else if is_ident(c) {
            let start = i;
            while i < chars.len() && is_ident(chars[i]) {
                i += 1;
            }
            let word: String = chars[start..i].iter().collect();
            let hashes = chars[i..].iter().take_while(|&&c| c == '#').count();
            if matches!(word.as_str(), "r" | "br" | "cr") && at(i + hashes) == '"' {
                let end: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
                i += hashes + 1;
                while i < chars.len() && !chars[i..].starts_with(&end) {
                    i += 1;
                }
                i += end.len();
            } else if !(matches!(word.as_str(), "b" | "c") && matches!(at(i), '"' | '\'')) {
                tokens.push(word);
            }
        } else {
            if !c.is_whitespace() {
                tokens.push(c.to_string());
            }
            i += 1;
        }
    }
    tokens
}

/// Drops items under `#[cfg(test)]`; returns the names of modules among them that lie in files of their own.
pub fn without_tests(tokens: Vec<String>) -> (Vec<String>, Vec<String>) {
    let (mut kept, mut modules, mut i) = (Vec::new(), Vec::new(), 0);
    while i < tokens.len() {
        if !follows(&tokens[i..], &["#", "[", "cfg", "(", "test", ")", "]"]) {
            kept.push(tokens[i].clone());
            i += 1;
            continue;
        }
        let start = i + 7;
        let mut depth = 0i32;
        i = start;
        while i < tokens.len() {
            match tokens[i].as_str() {
                "(" | "[" | "{" => depth += 1,
                ")" | "]" | "}" => depth -= 1,
                _ => {}
            }
            let done = depth == 0 && matches!(tokens[i].as_str(), ";" | "}");
            i += 1;
            if done {
                break;
            }
        }
        let item = &tokens[start..i];
        if item.last().is_some_and(|last| last == ";")
            && let Some(at) = item.iter().position(|token| token == "mod")
        {
            modules.push(item[at + 1].clone());
        }
    }
    (kept, modules)
}

/// First names after `crate::`, and after as many `super::` as lead from a file `depth` modules deep to the root.
pub fn named_from_root(tokens: &[String], depth: usize) -> Vec<String> {
    let mut names = Vec::new();
    let mut i = 0;
    while i < tokens.len() {
        let mut rest = i;
        let mut ups = 0;
        if tokens[i] == "crate" && follows(&tokens[i + 1..], &[":", ":"]) {
            (rest, ups) = (i + 3, depth);
        } else {
            while follows(&tokens[rest..], &["super", ":", ":"]) {
                (rest, ups) = (rest + 3, ups + 1);
            }
        }
        if ups > 0 && ups == depth {
            names.extend(first_names(&tokens[rest..]));
        }
        i = rest.max(i + 1);
    }
    names
}

/// `a::b` gives a; `{a::b, c}` gives a and c.
fn first_names(tokens: &[String]) -> Vec<String> {
    let Some(first) = tokens.first() else { return Vec::new() };
    if first != "{" {
        return vec![first.clone()];
    }
    let (mut names, mut depth, mut expected) = (Vec::new(), 0, false);
    for token in tokens {
        match token.as_str() {
            "{" => (depth, expected) = (depth + 1, depth == 0),
            "}" => depth -= 1,
            "," => expected = depth == 1,
            name if expected => {
                names.push(name.to_owned());
                expected = false;
            }
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    names
}
