//! Documents that say no more than a method, its parameters and the models.

use super::chain::Of;
use super::{Document, Scopes, Source};
use crate::fusion::{Method, find};
use crate::params::{ParamSet, Value};

/// What `fusebench merge METHOD --base … --expert …` says.
#[derive(Debug, Clone, PartialEq)]
pub struct Plain {
    pub method: &'static Method,
    pub params: ParamSet,
    pub base: Option<String>,
    /// In order.
    pub experts: Vec<String>,
    pub dtype: Option<String>,
}

impl PartialEq for Method {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

fn named(source: &Source) -> String {
    source.name.as_ref().map_or_else(|| source.model.clone(), |name| format!("{name}={}", source.model))
}

impl Document {
    /// The document as a method with one set of parameters for all tensors, if it is no more than that.
    #[must_use]
    pub fn plain(&self) -> Option<Plain> {
        let whole = self.slices.is_empty() && self.modules.is_empty();
        let simple = self.tokenizer.is_none()
            && self.chat_template.is_none()
            && self.required.is_empty()
            && self.like.is_none()
            && self.mixture.is_none();
        let settings =
            || self.models.iter().flat_map(|source| source.parameters.values()).chain(self.parameters.values());
        if !whole || !simple || settings().any(|setting| setting.uniform().is_none()) {
            return None;
        }
        let method = find(&self.method).ok()?;
        let experts: Vec<&Source> =
            self.models.iter().filter(|source| Some(&source.model) != self.base_model.as_ref()).collect();
        let of: Vec<Of<'_>> = experts.iter().map(|source| Of { source, tensor: "" }).collect();
        let scopes = Scopes { outer: vec![&self.parameters], required: &[] };
        let mut params = scopes.params(method, "", 0.0, &of).ok()?;
        // One number where it is the same for all.
        for spec in method.specs {
            if let Some(Value::List(list)) = params.get(spec.name)
                && let [first, rest @ ..] = &list[..]
                && rest.iter().all(|value| value == first)
            {
                let value = Value::Float(*first);
                params.set(method.specs, spec.name, value).ok()?;
            }
        }
        Some(Plain {
            method,
            params,
            base: self.base_model.clone(),
            experts: experts.iter().map(|source| named(source)).collect(),
            dtype: self.dtype.clone(),
        })
    }
}
