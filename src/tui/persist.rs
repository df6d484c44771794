//! What is remembered between sessions: screen, theme, and whatever the Tune screen wants to find again.

use super::effect::Effect;
use super::model::{Model, Screen};
use super::screens::{self, tune};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The key under which it is stored.
pub const KEY: &str = "ui";

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Saved {
    screen: String,
    theme: String,
    tune: Value,
}

/// The effect that stores the present state.
#[must_use]
pub fn save(model: &Model) -> Effect {
    let saved = Saved {
        screen: model.screen.title().to_owned(),
        theme: model.themes.get(model.theme).cloned().unwrap_or_default(),
        tune: serde_json::from_str(&tune::saved(model)).unwrap_or_default(),
    };
    Effect::Persist { key: KEY, json: serde_json::to_string(&saved).unwrap_or_default() }
}

/// Takes up what an earlier session left; what does not fit any more is passed over.
pub fn restore(model: &mut Model, json: &str, fx: &mut Vec<Effect>) {
    let Ok(saved) = serde_json::from_str::<Saved>(json) else { return };
    if let Some(theme) = model.themes.iter().position(|name| *name == saved.theme).filter(|_| !model.theme_fixed) {
        model.theme = theme;
    }
    if saved.tune.is_object() {
        tune::restore(model, &saved.tune.to_string(), fx);
    }
    let screen = Screen::ALL.into_iter().find(|screen| screen.title() == saved.screen);
    // A person may have gone on already while the store was being opened.
    if let Some(screen) = screen.filter(|_| !model.touched) {
        screens::open(model, screen, fx);
    }
}
