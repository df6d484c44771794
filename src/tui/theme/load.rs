//! Themes from TOML: one style a role, written as `"bold #7aa2f7 on black"`.

use super::Theme;
use crate::params::closest;
use crate::tui::located::Located;
use ratatui::style::{Color, Modifier, Style};
use std::path::Path;
use toml::de::{DeTable, DeValue};

/// The themes that come with the program; the first is the default.
const BUILT_IN: [(&str, &str); 5] = [
    ("dark", include_str!("../../../assets/themes/dark.toml")),
    ("light", include_str!("../../../assets/themes/light.toml")),
    ("contrast", include_str!("../../../assets/themes/contrast.toml")),
    ("ansi16", include_str!("../../../assets/themes/ansi16.toml")),
    ("mono", include_str!("../../../assets/themes/mono.toml")),
];

/// Roles that hold one style.
const ROLES: [&str; 14] = [
    "text", "dim", "accent", "border", "focus", "selected", "bar", "key", "ok", "warn", "error", "base", "expert",
    "pinned",
];

/// The built-in themes.
#[must_use]
pub fn built_in() -> Vec<Theme> {
    // A built-in theme that could not be read would be left out; the tests read them all.
    BUILT_IN.iter().filter_map(|(name, text)| read(name, text, Path::new(name)).ok()).collect()
}

/// Reads a theme; `path` is for messages.
///
/// # Errors
/// Bad TOML, an unknown or missing role, something that is not a style; with the line.
pub fn read(name: &str, text: &str, path: &Path) -> Result<Theme, Located> {
    let table = DeTable::parse(text).map_err(|error| Located::toml(path, text, &error))?;
    let mut theme = Theme { name: name.to_owned(), ..Theme::default() };
    for (role, value) in table.get_ref() {
        let at = value.span().start;
        let wrong = |message: String| Located::at(path, text, at, format!("`{}`: {message}", role.get_ref()));
        if let Some(slot) = slot(&mut theme, role.get_ref()) {
            *slot = written(value.get_ref()).map_err(wrong)?;
            continue;
        }
        let slots: &mut [Style] = match role.get_ref().as_ref() {
            "series" => &mut theme.series,
            "heat" => &mut theme.heat,
            other => {
                let suggestion = closest(other, ROLES.into_iter().chain(["series", "heat"]));
                let suggestion = suggestion.map_or_else(String::new, |role| format!(", did you mean `{role}`?"));
                return Err(Located::at(path, text, role.span().start, format!("unknown role `{other}`{suggestion}")));
            }
        };
        let list = value.get_ref().as_array().filter(|list| list.len() == slots.len());
        let list = list.ok_or_else(|| wrong(format!("must be a list of {} styles", slots.len())))?;
        for (slot, entry) in slots.iter_mut().zip(list.iter()) {
            *slot = written(entry.get_ref()).map_err(wrong)?;
        }
    }
    let has = |role: &&str| table.get_ref().iter().any(|(name, _)| name.get_ref() == *role);
    match ROLES.iter().chain(&["series", "heat"]).find(|role| !has(role)) {
        Some(missing) => Err(Located::at(path, text, 0, format!("the role `{missing}` is missing"))),
        None => Ok(theme),
    }
}

fn slot<'t>(theme: &'t mut Theme, role: &str) -> Option<&'t mut Style> {
    Some(match role {
        "text" => &mut theme.text,
        "dim" => &mut theme.dim,
        "accent" => &mut theme.accent,
        "border" => &mut theme.border,
        "focus" => &mut theme.focus,
        "selected" => &mut theme.selected,
        "bar" => &mut theme.bar,
        "key" => &mut theme.key,
        "ok" => &mut theme.ok,
        "warn" => &mut theme.warn,
        "error" => &mut theme.error,
        "base" => &mut theme.base,
        "expert" => &mut theme.expert,
        "pinned" => &mut theme.pinned,
        _ => return None,
    })
}

fn written(value: &DeValue<'_>) -> Result<Style, String> {
    value.as_str().map_or_else(|| Err("a style is a string, like \"bold #7aa2f7 on black\"".to_owned()), style)
}

/// Reads `bold #7aa2f7 on black`: modifiers and colours in any order, the background after `on`; empty is plain.
fn style(text: &str) -> Result<Style, String> {
    let mut style = Style::default();
    let mut words = text.split_whitespace();
    while let Some(word) = words.next() {
        style = match word {
            "bold" => style.add_modifier(Modifier::BOLD),
            "dim" => style.add_modifier(Modifier::DIM),
            "italic" => style.add_modifier(Modifier::ITALIC),
            "underlined" => style.add_modifier(Modifier::UNDERLINED),
            "reversed" => style.add_modifier(Modifier::REVERSED),
            "on" => style.bg(color(words.next().ok_or("a colour is missing after `on`")?)?),
            name => style.fg(color(name)?),
        };
    }
    Ok(style)
}

fn color(name: &str) -> Result<Color, String> {
    name.parse().map_err(|_| format!("`{name}` is neither a colour (#rrggbb, 0 to 255 or a name like lightblue) nor bold, dim, italic, underlined, reversed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_in_themes_are_complete() {
        for (name, text) in BUILT_IN {
            read(name, text, Path::new(name)).unwrap_or_else(|error| panic!("{error}"));
        }
        assert_eq!(built_in().len(), BUILT_IN.len());
    }

    #[test]
    fn mono_uses_no_colour_and_ansi16_only_the_sixteen() {
        let styles = |theme: &Theme| {
            let mut theme = theme.clone();
            let roles: Vec<Style> = ROLES.iter().map(|role| *slot(&mut theme, role).unwrap()).collect();
            roles.into_iter().chain(theme.series).chain(theme.heat).collect::<Vec<_>>()
        };
        let themes = built_in();
        let colours = |name: &str| {
            let theme = themes.iter().find(|theme| theme.name == name).unwrap();
            styles(theme).into_iter().flat_map(|style| [style.fg, style.bg]).flatten().collect::<Vec<_>>()
        };
        assert_eq!(colours("mono"), []);
        let beyond = |color: &Color| matches!(color, Color::Rgb(..) | Color::Indexed(_));
        assert!(!colours("ansi16").iter().any(beyond));
        assert!(colours("dark").iter().any(beyond));
    }

    /// Contrast of text roles against the theme's own background, as WCAG counts it.
    #[test]
    fn texts_can_be_read() {
        fn luminance(color: Color) -> f64 {
            let Color::Rgb(r, g, b) = color else { panic!("{color:?} is not RGB") };
            let channel = |c: u8| {
                let c = f64::from(c) / 255.0;
                if c <= 0.03928 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) }
            };
            0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b)
        }
        for (name, at_least) in [("dark", 4.5_f64), ("light", 4.5), ("contrast", 7.0)] {
            let mut theme = built_in().into_iter().find(|theme| theme.name == name).unwrap();
            let ground = theme.text.bg.unwrap();
            let check = |role: &str, style: Style| {
                let (a, b) = (luminance(style.fg.unwrap()), luminance(style.bg.unwrap_or(ground)));
                let contrast = (a.max(b) + 0.05) / (a.min(b) + 0.05);
                let needed = if role == "dim" { at_least.min(4.5) } else { at_least };
                assert!(contrast >= needed, "{name}: {role} has contrast {contrast:.1}");
            };
            for role in ROLES.iter().filter(|role| **role != "border") {
                check(role, *slot(&mut theme, role).unwrap());
            }
            for (at, series) in theme.series.into_iter().enumerate() {
                check(&format!("series {at}"), series.bg(ground));
            }
        }
    }

    #[test]
    fn mistakes_are_told_with_line_and_suggestion() {
        let error = |text: &str| read("x", text, Path::new("x.toml")).unwrap_err().to_string();
        assert_eq!(error("\nacent = \"bold\""), "x.toml:2: unknown role `acent`, did you mean `accent`?");
        assert!(error("text = \"blu\"").starts_with("x.toml:1: `text`: `blu` is neither a colour"));
        assert_eq!(error("series = [\"red\"]"), "x.toml:1: `series`: must be a list of 8 styles");
        assert_eq!(error("text = \"\""), "x.toml:1: the role `dim` is missing");
        assert_eq!(style("bold red on #102030"), Ok(Style::new().fg(Color::Red).bg(Color::Rgb(16, 32, 48)).bold()));
    }
}
