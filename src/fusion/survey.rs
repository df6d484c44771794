//! What methods have measured of a whole model, kept while its windows are fused one after another.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::sync::Arc;

/// One value for each type that was asked for.
#[derive(Debug, Default)]
pub(super) struct Surveys(HashMap<TypeId, Arc<dyn Any + Send + Sync>>);

impl Surveys {
    pub(super) fn get<S: Any + Send + Sync>(&self) -> Option<Arc<S>> {
        self.0.get(&TypeId::of::<S>()).and_then(|known| Arc::clone(known).downcast().ok())
    }

    pub(super) fn put<S: Any + Send + Sync>(&mut self, measured: Arc<S>) {
        self.0.insert(TypeId::of::<S>(), measured);
    }
}
