//! The rules of the house: who may use whom, and what a file looks like. `src/lib.rs` has the table that this holds
//! the code to.

#[path = "architecture/source.rs"]
mod source;

use source::{Source, named_from_root, tokens, without_tests};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// External crates that only some rooms may name.
const RESERVED: &[(&str, &[&str])] = &[
    ("burn", &["weights", "models", "fusion", "tasks", "zoo", "engine"]),
    ("cubecl", &["engine"]),
    ("ratatui", &["tui"]),
    ("crossterm", &["tui"]),
    ("rusqlite", &["store"]),
    ("plotters", &["charts"]),
    ("clap", &["cli"]),
];

/// The repository; the variable is set by cargo, or by hand to look at another checkout.
fn root() -> PathBuf {
    std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from)
}

fn sources() -> Vec<Source> {
    let sources = source::read_all(&root().join("src"));
    assert!(sources.len() > 50, "only {} files found", sources.len());
    sources
}

fn fail_if_any(violations: &[String], rule: &str) {
    assert!(violations.is_empty(), "{rule}:\n  {}\n", violations.join("\n  "));
}

/// From `src/lib.rs`'s table: each room with the rooms that it may use.
fn allowed(table: &str) -> BTreeMap<String, BTreeSet<String>> {
    let names = |cell: &str| -> Vec<String> {
        cell.split([',', ' '])
            .map(|name| name.trim_matches(['[', ']', '`']))
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect()
    };
    let rows: Vec<(Vec<String>, String)> = table
        .lines()
        .filter_map(|line| line.strip_prefix("//! | "))
        .map(|line| line.trim_end_matches(" |").split(" | ").collect::<Vec<_>>())
        .filter(|cells| cells.len() == 3 && cells[0] != "room")
        .map(|cells| (names(cells[0]), cells[2].to_owned()))
        .collect();
    // The rooms of the first row are for everybody.
    let shared = &rows.first().expect("a table of rooms").0;
    let mut allowed: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (rooms, may_use) in &rows {
        let direct = match may_use.strip_suffix(" and below") {
            Some(list) => names(list),
            None if may_use == "–" => Vec::new(),
            None => names(may_use),
        };
        let mut all: BTreeSet<String> = direct.iter().cloned().collect();
        if may_use.ends_with(" and below") {
            for room in &direct {
                let below = allowed.get(room).unwrap_or_else(|| panic!("`{room}` must be listed before it is used"));
                all.extend(below.iter().cloned());
            }
        }
        for room in rooms {
            let mut all = all.clone();
            if !shared.contains(room) {
                all.extend(shared.iter().cloned());
            }
            allowed.insert(room.clone(), all);
        }
    }
    allowed
}

fn lib() -> String {
    std::fs::read_to_string(root().join("src/lib.rs")).unwrap()
}

#[test]
fn rooms_use_only_what_the_table_allows() {
    let allowed = allowed(&lib());
    let mut violations = Vec::new();
    for source in sources().iter().filter(|source| !source.test_only && source.path != Path::new("lib.rs")) {
        for used in source.rooms_used().into_iter().filter(|used| allowed.contains_key(used)) {
            if !allowed.get(&source.room()).is_some_and(|rooms| rooms.contains(&used)) {
                violations.push(format!("{} uses {used}", source.path.display()));
            }
        }
    }
    fail_if_any(&violations, "rooms that may not use each other (see the table in src/lib.rs)");
}

#[test]
fn the_table_lists_every_room() {
    let lib = lib();
    let allowed = allowed(&lib);
    let (tokens, _) = without_tests(tokens(&lib));
    let modules: BTreeSet<_> = tokens.windows(2).filter(|pair| pair[0] == "mod").map(|pair| pair[1].clone()).collect();
    let missing: Vec<_> = modules.into_iter().filter(|module| !allowed.contains_key(module)).collect();
    fail_if_any(&missing, "modules of src/lib.rs that its table does not list");
}

#[test]
fn crates_are_named_only_where_they_belong() {
    let mut violations = Vec::new();
    for source in sources().iter().filter(|source| !source.test_only) {
        for (name, rooms) in RESERVED {
            if source.names_crate(name) && !rooms.contains(&source.room().as_str()) {
                violations.push(format!("{} names {name}", source.path.display()));
            }
        }
    }
    fail_if_any(&violations, "crates outside of their rooms");
}

#[test]
fn files_are_short_and_say_what_they_are_for() {
    let sources = sources();
    let mut violations = Vec::new();
    for source in &sources {
        let (name, lines) = (source.path.display(), source.text.lines().count());
        if !source.text.starts_with("//! ") {
            violations.push(format!("{name} does not begin with `//! `"));
        }
        if lines > 800 {
            violations.push(format!("{name} has {lines} lines, more than 800"));
        }
        if source.path.ends_with("mod.rs") {
            violations.push(format!("{name}: modules lie in NAME.rs, not in NAME/mod.rs"));
        }
    }
    let mut lengths: Vec<_> = sources.iter().map(|source| source.text.lines().count()).collect();
    lengths.sort_unstable();
    let median = lengths[lengths.len() / 2];
    if median >= 200 {
        violations.push(format!("the median file has {median} lines, not under 200"));
    }
    fail_if_any(&violations, "files");
}

#[test]
fn every_file_belongs_to_a_module() {
    let sources = sources();
    let declared: BTreeSet<_> = sources
        .iter()
        .flat_map(|source| {
            let root = ["lib.rs", "main.rs"].iter().any(|root| source.path == Path::new(root));
            let inside = if root { Path::new("").to_owned() } else { source.path.with_extension("") };
            // Test modules too, so from the whole text.
            let tokens = tokens(&source.text);
            let names: Vec<_> = tokens.windows(2).filter(|pair| pair[0] == "mod").map(|pair| pair[1].clone()).collect();
            names.into_iter().map(move |name| inside.join(name + ".rs"))
        })
        .collect();
    let roots = [Path::new("lib.rs"), Path::new("main.rs")];
    let orphans: Vec<_> = sources
        .iter()
        // The registry declares these by a macro, and tests that it has them all.
        .filter(|source| !source.path.starts_with("fusion/methods"))
        .filter(|source| !roots.contains(&source.path.as_path()) && !declared.contains(&source.path))
        .map(|source| source.path.display().to_string())
        .collect();
    fail_if_any(&orphans, "files that are never compiled");
}

#[test]
fn nothing_panics_on_purpose_outside_of_tests() {
    const FORBIDDEN: &[&[&str]] = &[
        &[".", "unwrap", "(", ")"],
        // With a literal, which is no token; the lint finds the others.
        &[".", "expect", "(", ")"],
        &[".", "unwrap_err", "(", ")"],
        &["panic", "!"],
        &["todo", "!"],
        &["unimplemented", "!"],
        &["unreachable", "!"],
        &["dbg", "!"],
    ];
    let mut violations = Vec::new();
    for source in sources().iter().filter(|source| !source.test_only) {
        for forbidden in FORBIDDEN.iter().filter(|forbidden| source.contains(forbidden)) {
            violations.push(format!("{}: {}", source.path.display(), forbidden.concat()));
        }
    }
    fail_if_any(&violations, "errors are returned, not thrown");
}

/// Clearing the terminal makes it flicker and sends a whole screen; the loop redraws by other means.
#[test]
fn the_terminal_is_never_cleared_by_ratatui() {
    let violations: Vec<_> = sources()
        .iter()
        .filter(|source| source.contains(&["terminal", ".", "clear", "("]))
        .map(|source| source.path.display().to_string())
        .collect();
    fail_if_any(&violations, "terminal.clear()");
}

mod the_checks_themselves {
    use super::*;

    fn source(path: &str, text: &str) -> Source {
        let (tokens, _) = without_tests(tokens(text));
        Source { path: path.into(), text: text.into(), tokens, test_only: false }
    }

    #[test]
    fn find_rooms_in_every_form_of_path() {
        let text = "
            use crate::{engine::{Job, RunId}, store};
            use super::super::zoo::Zoo;
            use super::tui; // a sibling within fusion, not the room
            /* crate::cli */ const TEXT: &str = \"crate::cli\";
            fn f<'a>(c: char) -> Option<&'a str> { if c == '\"' { crate::charts::bars(); } None }
            #[cfg(test)] mod tests { use crate::models::X; fn g() { x.unwrap() } }
        ";
        assert_eq!(source("fusion/methods.rs", text).rooms_used(), ["charts", "engine", "store", "zoo"]);
    }

    #[test]
    fn leave_tests_comments_and_literals_out() {
        let text = "
            #[cfg(test)]
            #[allow(dead_code)]
            fn only_for_tests(x: [u8; 3]) { x.first().unwrap(); }
            #[cfg(test)]
            mod tests;
            fn f() { let s = r#\"x.unwrap() \" panic!()\"#; let q = b'\\''; /* /* panic!() */ todo!() */ }
        ";
        let (kept, modules) = without_tests(tokens(text));
        assert!(!kept.iter().any(|token| token == "unwrap" || token == "panic" || token == "todo"), "{kept:?}");
        assert_eq!(modules, ["tests"]);
    }

    #[test]
    fn find_what_is_forbidden() {
        let bad = source("charts/svg.rs", "fn f() { g().unwrap(); burn_nn::x(); self.burn::<u8>(); terminal.clear() }");
        assert!(bad.contains(&[".", "unwrap", "(", ")"]));
        assert!(bad.contains(&["terminal", ".", "clear", "("]));
        assert!(bad.names_crate("burn") && !bad.names_crate("clap"));
        assert!(!source("charts/svg.rs", "fn f() { self.burn::<u8>(); x.unwrap_or(3) }").names_crate("burn"));
    }

    #[test]
    fn read_the_table() {
        let table = "//! | room | for | may use |\n//! |---|---|---|\n//! | [`text`], `files` | a | – |\n\
            //! | `params` | b | – |\n//! | `weights` | c | params |\n//! | `fusion` | d | weights and below |\n";
        let allowed = allowed(table);
        let of = |room: &str| allowed[room].iter().map(String::as_str).collect::<Vec<_>>();
        assert_eq!(of("text"), Vec::<&str>::new());
        assert_eq!(of("params"), ["files", "text"]);
        assert_eq!(of("fusion"), ["files", "params", "text", "weights"]);
        assert_eq!(named_from_root(&tokens("super::super::text::printable"), 2), ["text"]);
        assert_eq!(named_from_root(&tokens("super::text::printable"), 2), Vec::<String>::new());
    }
}
