//! What is said of the setting elsewhere: on the clipboard, in labels, and in the next session.

use super::setting::Setting;
use super::{State, jobs};
use crate::engine::{JobKind, Recipe};
use crate::params::ParamSet;
use crate::tasks::Data;
use crate::tui::effect::Effect;
use crate::tui::model::Model;
use crate::tui::runs::label;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Remembered {
    recipe: Recipe,
    #[serde(default)]
    advanced: bool,
    #[serde(default)]
    tuned_on_test: bool,
}

/// The setting in a few words: `λ=0.4`, or the method where it has no parameters.
#[must_use]
pub fn label(setting: &Setting) -> String {
    let text = label::params(setting.method, &setting.recipe());
    if text.is_empty() { setting.method.name.to_owned() } else { text }
}

/// What to remember between sessions, as JSON: the recipe and the layout.
#[must_use]
pub fn saved(model: &Model) -> String {
    let State { setting, advanced, .. } = &model.tune;
    let remembered = Remembered { recipe: setting.recipe(), advanced: *advanced, tuned_on_test: setting.tuned_on_test };
    // Only maps, strings and finite numbers: it cannot fail.
    serde_json::to_string(&remembered).unwrap_or_default()
}

/// Takes up what [`saved`] gave in an earlier session; whatever does not fit any more is left out.
pub fn restore(model: &mut Model, json: &str, fx: &mut Vec<Effect>) {
    let Ok(remembered) = serde_json::from_str::<Remembered>(json) else { return };
    // A person may have moved a slider already while the store was being opened.
    if model.tune.edits.depth() != (0, 0) {
        return;
    }
    let Some(setting) = setting_of(model, &remembered.recipe, remembered.tuned_on_test) else { return };
    model.tune.advanced = remembered.advanced;
    model.tune.setting = setting;
    model.tune.clamp(model.catalog.groups.len());
    super::preview(model, fx);
}

/// Puts a recipe on the screen, as an edit that can be undone; used when a run is to be taken up again, which stays tuned on
/// test if it was. `on_test`: its result on test has been seen.
///
/// # Errors
/// When the method or its experts are not at hand.
pub fn load(
    model: &mut Model,
    recipe: &Recipe,
    (tuned_on_test, on_test): (bool, bool),
    fx: &mut Vec<Effect>,
) -> Result<(), String> {
    let Some(setting) = setting_of(model, recipe, tuned_on_test) else {
        return Err(format!("`{}` cannot be used with the models at hand", recipe.method));
    };
    let id = setting.method.id;
    super::actions::change_to(model, setting, super::setting::Key::Single, fx);
    if on_test {
        model.tune.seen_on_test.insert(id);
    }
    Ok(())
}

/// The setting for a recipe: parameters that do not fit any more fall back to their defaults.
fn setting_of(model: &Model, recipe: &Recipe, tuned_on_test: bool) -> Option<Setting> {
    let method = model.catalog.methods.iter().copied().find(|method| method.id == recipe.method)?;
    let chosen = |name: &&String| recipe.experts.contains(*name);
    let experts: Vec<String> = model.catalog.experts.iter().filter(chosen).cloned().collect();
    method.check(model.catalog.has_base, experts.len()).ok()?;
    let mut params = ParamSet::defaults(method.specs);
    for (name, value) in recipe.params.iter() {
        // One number an expert for other experts than those at hand would be moved to the wrong ones.
        if experts.len() == recipe.experts.len() {
            let _ = params.set(method.specs, name, value.clone());
        }
    }
    Some(Setting { method, params, experts, tuned_on_test })
}

/// The recipe as a preset TOML, for the clipboard.
#[must_use]
pub fn recipe_toml(model: &Model) -> String {
    let job = jobs::job(model, &model.tune.setting, JobKind::Run, Data::default(), None);
    // Every method on screen comes from the registry, and that is all that can be wrong with a job.
    crate::tui::runs::recipe_toml(&job).unwrap_or_default()
}
