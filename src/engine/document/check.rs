//! What of a document can be checked without the models: how many there are, which layers of the base are meant, that no
//! parameter is missing.

use super::error::Fault;
use super::node::Map;
use super::setting::Setting;
use super::{Document, Settings, Slice, Source};
use crate::engine::Position;
use crate::fusion::find;

impl Document {
    /// Checks what can be checked without the models: numbers of models, bases, required parameters.
    pub(super) fn check(&mut self, map: &Map<'_>) -> Result<(), Fault> {
        if let Some(mixture) = self.mixture {
            return self.check_mixture(mixture, map);
        }
        let method = find(&self.method).map_err(|error| Fault::at(map.at, error.to_string()))?;
        let at = |key: &str| map.get(key).map_or(map.at, |node| node.at);
        let whole = |models: &[Source]| Slice { sources: models.to_vec(), ..Slice::default() };
        let mut all: Vec<(Slice, Position, bool)> = Vec::new();
        if !self.models.is_empty() {
            all.push((whole(&self.models), at("models"), true));
        }
        all.extend(self.slices.iter().map(|slice| (slice.clone(), at("slices"), false)));
        for module in &self.modules {
            if !module.models.is_empty() {
                all.push((whole(&module.models), at("modules"), true));
            }
            all.extend(module.slices.iter().map(|slice| (slice.clone(), at("modules"), false)));
        }
        for (slice, at, whole) in &all {
            let base = slice.base_model.as_ref().or(self.base_model.as_ref());
            if let Some(base) = base.filter(|base| !whole && slice.sources.iter().all(|source| source.model != **base))
            {
                return Err(Fault::at(
                    *at,
                    format!("a slice does not say which layers of the base model {base} it is made of"),
                )
                .hint("list the base among its sources, with a layer_range"));
            }
            let experts = slice.sources.iter().filter(|source| Some(&source.model) != base).count();
            method
                .check(base.is_some(), experts)
                .map_err(|error| Fault::at(*at, error.to_string()).hint(error.hint()))?;
        }
        self.check_required(&all, map)
    }

    /// Required parameters that a model has for no tensor are missing; those that only some tensors have are looked for
    /// when tensors are known.
    fn check_required(&mut self, all: &[(Slice, Position, bool)], map: &Map<'_>) -> Result<(), Fault> {
        let modules: Vec<&Settings> = self.modules.iter().map(|module| &module.parameters).collect();
        let mut still = Vec::new();
        for name in &self.required {
            let mut certain = true;
            for (slice, at, _) in all {
                let base = slice.base_model.as_ref().or(self.base_model.as_ref());
                for source in slice.sources.iter().filter(|source| Some(&source.model) != base) {
                    let scopes = [&source.parameters, &slice.parameters, &self.parameters];
                    let found: Vec<&Setting> =
                        scopes.into_iter().chain(modules.iter().copied()).filter_map(|scope| scope.get(name)).collect();
                    if found.is_empty() {
                        let at = map.get("parameters").map_or(*at, |node| node.at);
                        return Err(Fault::at(
                            at,
                            format!("`{}` of {} is missing", name.trim_end_matches('s'), source.model),
                        )
                        .hint("set it under the model's `parameters`, or under those of the document for all"));
                    }
                    certain &= found.iter().any(|setting| setting.is_for_all());
                }
            }
            if !certain {
                still.push(name.clone());
            }
        }
        self.required = still;
        Ok(())
    }
}
