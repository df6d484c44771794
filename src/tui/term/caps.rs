//! What the terminal can show, from the environment alone: nothing is asked of the terminal, so nothing can hang.

use crate::tui::view_cx::Charset;

/// How many colours there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Depth {
    Mono,
    Ansi16,
    Ansi256,
    TrueColor,
}

/// What one terminal can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caps {
    pub depth: Depth,
    pub charset: Charset,
    /// The link may be slow: fewer frames.
    pub remote: bool,
    /// No cursor movement at all (`TERM=dumb`): only the line mode works.
    pub dumb: bool,
}

impl Caps {
    /// Reads the environment through `variable`; an empty variable counts as unset.
    #[must_use]
    pub fn detect(variable: impl Fn(&str) -> Option<String>) -> Self {
        let get = |name: &str| variable(name).filter(|value| !value.is_empty());
        let term = get("TERM").unwrap_or_default();
        let dumb = term.is_empty() || term == "dumb";
        let colour = get("COLORTERM").unwrap_or_default();
        let depth = if get("NO_COLOR").is_some() || dumb || term.starts_with("vt1") || term.starts_with("vt2") {
            Depth::Mono
        } else if get("TERM_PROGRAM").as_deref() == Some("Apple_Terminal") {
            // Terminal.app claims nothing, but settings copied from elsewhere often do: it has 256.
            Depth::Ansi256
        } else if colour == "truecolor" || colour == "24bit" || term.contains("direct") {
            Depth::TrueColor
        } else if term.contains("256color")
            || term.contains("kitty")
            || term.contains("alacritty")
            || term.contains("ghostty")
        {
            Depth::Ansi256
        } else {
            Depth::Ansi16
        };
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(get).unwrap_or_default().to_lowercase();
        let utf8 = locale.contains("utf-8") || locale.contains("utf8");
        let charset = if !utf8 || dumb || term.starts_with("vt") {
            Charset::Ascii
        } else if term == "linux" || term.starts_with("cons") || term == "fbterm" {
            // The console's font has boxes and blocks, but no braille.
            Charset::Box
        } else {
            Charset::Braille
        };
        let remote = get("SSH_CONNECTION").is_some() || get("SSH_TTY").is_some();
        Self { depth, charset, remote, dumb }
    }

    /// The capabilities of this process's environment.
    #[must_use]
    pub fn from_environment() -> Self {
        Self::detect(|name| std::env::var(name).ok())
    }

    /// The built-in theme that suits, where none was asked for.
    #[must_use]
    pub fn theme(&self) -> &'static str {
        match self.depth {
            Depth::Mono => "mono",
            Depth::Ansi16 => "ansi16",
            Depth::Ansi256 | Depth::TrueColor => "dark",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caps(variables: &[(&str, &str)]) -> Caps {
        Caps::detect(|name| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn the_environment_decides() {
        let utf8 = ("LANG", "en_US.UTF-8");
        let full = caps(&[("TERM", "xterm-256color"), ("COLORTERM", "truecolor"), utf8]);
        assert_eq!(full, Caps { depth: Depth::TrueColor, charset: Charset::Braille, remote: false, dumb: false });
        assert_eq!(caps(&[("TERM", "screen-256color"), utf8]).depth, Depth::Ansi256);
        assert_eq!(caps(&[("TERM", "xterm"), utf8]).depth, Depth::Ansi16);
        assert_eq!(caps(&[("TERM", "xterm"), ("COLORTERM", "truecolor"), ("NO_COLOR", "1"), utf8]).depth, Depth::Mono);
        assert_eq!(caps(&[("TERM", "xterm"), ("NO_COLOR", ""), utf8]).depth, Depth::Ansi16);
        assert_eq!(caps(&[("TERM", "linux"), utf8]).charset, Charset::Box);
        assert_eq!(caps(&[("TERM", "xterm"), ("LANG", "C")]).charset, Charset::Ascii);
        assert_eq!(caps(&[("TERM", "xterm"), ("LC_ALL", "C"), utf8]).charset, Charset::Ascii);
        assert!(caps(&[("TERM", "dumb"), utf8]).dumb && caps(&[]).dumb);
        assert!(caps(&[("TERM", "xterm"), ("SSH_CONNECTION", "10.0.0.1 1 10.0.0.2 22")]).remote);
    }
}
