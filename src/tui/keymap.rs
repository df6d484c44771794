//! Which key does what: the command table's own keys, changed by the person's keymap file.
//!
//! The file names commands, as `assets/keymap.toml` does, and gives each its keys: `"tune.reset" = ["x", "delete"]`.
//! Commands that it does not name keep theirs; a key that it gives to one command is taken from every other.

use super::command::{self, Command, Scope};
use super::key::Chord;
use super::located::Located;
use super::model::{Model, Screen};
use crate::params::closest;
use std::path::Path;
use toml::de::{DeTable, DeValue};

/// Keys of all commands.
#[derive(Debug, Clone)]
pub struct Keymap {
    /// In table order.
    keys: Vec<(&'static Command, Vec<Chord>)>,
}

impl Default for Keymap {
    /// The command table's own keys.
    fn default() -> Self {
        let chords = |command: &Command| command.keys.iter().filter_map(|key| Chord::parse(key).ok()).collect();
        Self { keys: command::all().map(|command| (command, chords(command))).collect() }
    }
}

impl Keymap {
    /// The defaults, changed by the keymap file `text` that was read from `path`.
    ///
    /// # Errors
    /// Bad TOML, an unknown command, something that is not a key, one key for two commands; with the line.
    pub fn with_file(text: &str, path: &Path) -> Result<Self, Located> {
        let mut keymap = Self::default();
        let table = DeTable::parse(text).map_err(|error| Located::toml(path, text, &error))?;
        let mut given: Vec<(&'static Command, Chord)> = Vec::new();
        for (name, value) in table.get_ref() {
            let fail = |byte, message| Err(Located::at(path, text, byte, message));
            let Some(command) = command::find(name.get_ref()) else {
                return fail(name.span().start, unknown(name.get_ref()));
            };
            let mut chords = Vec::new();
            for (written, byte) in strings(value.get_ref(), value.span().start) {
                let chord = written
                    .ok_or_else(|| format!("`{}` takes a list of keys, like [\"x\", \"ctrl-d\"]", command.id))
                    .and_then(|written| Chord::parse(&written));
                match chord {
                    Ok(chord) => chords.push(chord),
                    Err(message) => return fail(byte, message),
                }
                let chord = chords[chords.len() - 1];
                let rival = given
                    .iter()
                    .find(|(other, taken)| *taken == chord && rivals(other, command, chord) && other.id != command.id);
                if let Some((other, _)) = rival {
                    return fail(byte, format!("`{chord}` is already given to `{}` in this file", other.id));
                }
                given.push((command, chord));
            }
            for (other, keys) in &mut keymap.keys {
                keys.retain(|&key| !chords.contains(&key) || !rivals(other, command, key));
            }
            if let Some((_, keys)) = keymap.keys.iter_mut().find(|(other, _)| other.id == command.id) {
                *keys = chords;
            }
        }
        Ok(keymap)
    }

    /// The command for a key on the visible screen: the first enabled one, the screen's own before the global ones;
    /// if none is enabled, the first, so that its reason can be told.
    #[must_use]
    pub fn command(&self, model: &Model, chord: Chord) -> Option<&'static Command> {
        let on = |scope: Scope| {
            let bound = move |(command, keys): &&(&'static Command, Vec<Chord>)| {
                command.scope == scope && keys.contains(&chord)
            };
            self.keys.iter().filter(bound).map(|(command, _)| *command)
        };
        let candidates = || on(Scope::On(model.screen)).chain(on(Scope::Everywhere));
        candidates().find(|command| (command.enabled)(model).is_ok()).or_else(|| candidates().next())
    }

    /// The keys of a command, the preferred one first.
    #[must_use]
    pub fn keys(&self, command: &Command) -> &[Chord] {
        self.keys.iter().find(|(other, _)| other.id == command.id).map_or(&[], |(_, keys)| keys)
    }

    /// All keys of a command as people read them: `h ←`.
    #[must_use]
    pub fn written(&self, command: &Command, ascii: bool) -> String {
        self.keys(command).iter().map(|key| key.pretty(ascii)).collect::<Vec<_>>().join(" ")
    }
}

/// Whether two commands cannot have the same key: they can be asked for at the same time, and do not share it by default
/// (as commands of different panes do).
fn rivals(a: &Command, b: &Command, chord: Chord) -> bool {
    let overlap = a.scope == b.scope || a.scope == Scope::Everywhere || b.scope == Scope::Everywhere;
    let default = |command: &Command| command.keys.iter().any(|key| Chord::parse(key) == Ok(chord));
    overlap && !(default(a) && default(b))
}

fn unknown(name: &str) -> String {
    let suggestion = closest(name, command::all().map(|command| command.id));
    let suggestion = suggestion.map_or_else(String::new, |id| format!(", did you mean `{id}`?"));
    format!("unknown command `{name}`{suggestion}")
}

/// The strings of `"x"` or `["x", "y"]` with their places; `None` for what is not a string.
fn strings(value: &DeValue<'_>, byte: usize) -> Vec<(Option<String>, usize)> {
    let text = |value: &DeValue<'_>| value.as_str().map(str::to_owned);
    match value.as_array() {
        Some(list) => list.iter().map(|entry| (text(entry.get_ref()), entry.span().start)).collect(),
        None => vec![(text(value), byte)],
    }
}

/// The default keymap as a commented file: what `assets/keymap.toml` holds.
#[must_use]
pub fn document() -> String {
    let mut text = String::from(
        "# The keys of fusebench, as they are without a keymap file of your own.\n\
         #\n\
         # To change some, write only those lines into keymap.toml in the configuration folder (the Help screen says\n\
         # where). A key that you give to one command is taken from every other; [] leaves a command to the palette.\n\
         # Keys: a character, enter, esc, tab, backtab, space, backspace, delete, insert, left, right, up, down, home, end,\n\
         # pageup, pagedown, f1 to f12; before them ctrl-, alt-, shift-.\n",
    );
    for scope in std::iter::once(Scope::Everywhere).chain(Screen::ALL.map(Scope::On)) {
        let commands: Vec<&Command> = command::all().filter(|command| command.scope == scope).collect();
        if commands.is_empty() {
            continue;
        }
        let title = if let Scope::On(screen) = scope { screen.title() } else { "Everywhere" };
        text.push_str(&format!("\n# {title}\n"));
        for command in commands {
            let keys: Vec<String> = command.keys.iter().map(|key| format!("{key:?}")).collect();
            text.push_str(&format!("\"{}\" = [{}] # {}\n", command.id, keys.join(", "), command.help));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::command::all;

    fn file(text: &str) -> Result<Keymap, String> {
        Keymap::with_file(text, Path::new("keymap.toml")).map_err(|error| error.to_string())
    }

    fn keys(keymap: &Keymap, id: &str) -> String {
        keymap.written(command::find(id).unwrap(), true)
    }

    #[test]
    fn every_default_key_can_be_read_and_ids_are_unique() {
        let mut ids: Vec<&str> = Vec::new();
        for command in all() {
            for key in command.keys {
                Chord::parse(key).unwrap_or_else(|error| panic!("{}: {error}", command.id));
            }
            assert!(!command.help.is_empty() && !command.label.is_empty(), "{}", command.id);
            assert!(!ids.contains(&command.id), "{} twice", command.id);
            ids.push(command.id);
        }
    }

    #[test]
    fn a_file_changes_what_it_names_and_takes_keys_from_others() {
        let keymap = file("quit = [\"ctrl-q\", \"t\"]\n").unwrap();
        assert_eq!(keys(&keymap, "quit"), "ctrl-q t");
        assert_eq!(keys(&keymap, "theme"), "");
        assert_eq!(keys(&keymap, "help"), keys(&Keymap::default(), "help"));
        assert_eq!(keys(&file("quit = []").unwrap(), "quit"), "");
        assert_eq!(keys(&file("quit = \"Q\"").unwrap(), "quit"), "Q");
    }

    #[test]
    fn mistakes_are_told_with_line_and_suggestion() {
        let error = |text| file(text).unwrap_err();
        assert_eq!(error("\nqit = \"q\""), "keymap.toml:2: unknown command `qit`, did you mean `quit`?");
        assert_eq!(
            error("quit = [\"a\",\n \"ctrl-entr\"]"),
            "keymap.toml:2: `ctrl-entr` is not a key, did you mean `enter`?"
        );
        assert_eq!(error("quit = \"x\"\ntheme = \"x\""), "keymap.toml:2: `x` is already given to `quit` in this file");
        assert!(error("quit = 7").starts_with("keymap.toml:1: `quit` takes a list of keys"));
        assert!(error("quit = [").starts_with("keymap.toml:1: "));
    }

    #[test]
    fn the_documented_keymap_is_the_default_one() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/keymap.toml");
        if std::env::var_os("FUSEBENCH_UPDATE").is_some() {
            crate::files::write_bytes(&path, document().as_bytes()).unwrap();
        }
        let stored = std::fs::read_to_string(&path).unwrap();
        assert_eq!(stored, document(), "run the tests once with FUSEBENCH_UPDATE=1");
        let (default, read) = (Keymap::default(), Keymap::with_file(&stored, &path).unwrap());
        for (command, chords) in &default.keys {
            assert_eq!(read.keys(command), chords, "{}", command.id);
        }
    }

    #[test]
    fn no_key_means_two_things_at_once() {
        let catalog = std::sync::Arc::new(crate::tui::catalog::fixture::catalog());
        let keymap = Keymap::default();
        for screen in Screen::ALL {
            let mut model = Model::new(std::sync::Arc::clone(&catalog), (120, 40));
            model.screen = screen;
            for _pane in 0..6 {
                let mut taken: Vec<(Chord, &str)> = Vec::new();
                let on_screen = |command: &Command| {
                    matches!(command.scope, Scope::Everywhere) || command.scope == Scope::On(screen)
                };
                for (command, chords) in keymap.keys.iter().filter(|(command, _)| on_screen(command)) {
                    if (command.enabled)(&model).is_err() {
                        continue;
                    }
                    for chord in chords {
                        let rival = taken.iter().find(|(other, _)| other == chord);
                        assert!(rival.is_none(), "{screen:?}: {chord} is {} and {}", command.id, rival.unwrap().1);
                        taken.push((*chord, command.id));
                    }
                }
                crate::tui::screens::pane(&mut model, 1);
            }
        }
    }
}
