//! The models to merge: found, opened, made comparable.

use crate::engine::EngineError;
use crate::fusion::Pool;
use crate::weights::{Checkpoint, Location, WeightsError, adapter_base, align, is_adapter};
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// One model, as it was asked for and where it was found.
#[derive(Debug, Clone)]
pub struct Input {
    /// `base`, or the expert's name.
    pub name: String,
    pub location: Location,
    /// An adapter that is laid over the model at `location`.
    pub adapter: Option<Location>,
    pub checkpoint: Checkpoint,
}

impl Input {
    /// One model by itself, a path or hub id: as `NAME=WHERE`, or named after its folder.
    ///
    /// # Errors
    /// What cannot be found or read.
    pub fn open(text: &str) -> Result<Self, EngineError> {
        let (name, given) = named(text);
        open(name, &given, None)
    }
}

/// All models of a merge, comparable with each other.
#[derive(Debug, Clone)]
pub struct Inputs {
    pub base: Option<Input>,
    pub experts: Vec<Input>,
    pub pool: Pool,
    /// What had to be done to make them comparable.
    pub notes: Vec<String>,
    /// The folder whose configuration and tokenizer fit the result.
    pub like: Option<PathBuf>,
}

impl Inputs {
    /// Opens a base and experts, each a path or hub id; experts as `NAME=WHERE` or named after their folder.
    ///
    /// # Errors
    /// What cannot be found, read or compared; names that stand twice.
    pub fn open(base: Option<&str>, experts: &[String]) -> Result<Self, EngineError> {
        let base = base.map(|given| open("base".to_owned(), given, None)).transpose()?;
        let expert = |text: &String| {
            let (name, given) = named(text);
            open(name, &given, base.as_ref())
        };
        let experts: Vec<Input> = experts.iter().map(expert).collect::<Result<_, _>>()?;
        let mut seen = HashSet::from(["base"]);
        if let Some(twice) = experts.iter().find(|expert| !seen.insert(expert.name.as_str())) {
            return Err(EngineError::NameTwice { name: twice.name.clone() });
        }
        Self::new(base, experts)
    }

    fn new(mut base: Option<Input>, mut experts: Vec<Input>) -> Result<Self, EngineError> {
        let mut models: Vec<Checkpoint> = base.iter().chain(&experts).map(|input| input.checkpoint.clone()).collect();
        let before: Vec<usize> = models.iter().map(|model| model.tensors().len()).collect();
        let notes = align(&mut models);
        // The first whose tensors are as its own configuration says.
        let as_it_was = |at: &usize| {
            let original = base.iter().chain(&experts).nth(*at).map(|input| &input.checkpoint);
            before[*at] == models[*at].tensors().len()
                && original
                    .is_some_and(|original| models[*at].tensors().iter().all(|info| original.get(&info.name).is_some()))
        };
        let like = (0..models.len()).find(as_it_was).or((!models.is_empty()).then_some(0));
        let like = like.and_then(|at| models[at].folder().map(Path::to_owned));
        for (input, model) in base.iter_mut().chain(experts.iter_mut()).zip(models) {
            input.checkpoint = model;
        }
        let pool = Pool::new(
            base.as_ref().map(|input| input.checkpoint.clone()),
            experts.iter().map(|input| (input.name.clone(), input.checkpoint.clone())).collect(),
        )?;
        Ok(Self { base, experts, pool, notes, like })
    }

    /// Base first, then the experts.
    pub fn all(&self) -> impl Iterator<Item = &Input> {
        self.base.iter().chain(&self.experts)
    }

    /// Bytes of all tensors that are read.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let bytes = |input: &Input| input.checkpoint.tensors().iter().map(|info| info.bytes() as u64).sum::<u64>();
        self.all().map(bytes).sum()
    }

    /// Sees that no file has changed since it was opened.
    ///
    /// # Errors
    /// The first that has.
    pub fn check_unchanged(&self) -> Result<(), WeightsError> {
        self.all().try_for_each(|input| input.checkpoint.check_unchanged())
    }
}

/// Opens a model, `MODEL+ADAPTER`, or an adapter alone: over the base of the merge, else over the model that it names.
fn open(name: String, given: &str, base: Option<&Input>) -> Result<Input, EngineError> {
    if let Some((model, adapter)) = given.split_once('+').filter(|_| !Path::new(given).exists()) {
        let (location, adapter) = (Location::find(model)?, Location::find(adapter)?);
        let checkpoint = Checkpoint::open(&location.path)?.labelled(given).with_adapter(&adapter.path)?;
        return Ok(Input { name, location, adapter: Some(adapter), checkpoint });
    }
    let location = Location::find(given)?;
    if !is_adapter(&location.path) {
        let checkpoint = Checkpoint::open(&location.path)?.labelled(given);
        return Ok(Input { name, location, adapter: None, checkpoint });
    }
    if let Some(base) = base.filter(|base| base.adapter.is_none()) {
        let checkpoint = base.checkpoint.clone().labelled(given).with_adapter(&location.path)?;
        return Ok(Input { name, location: base.location.clone(), adapter: Some(location), checkpoint });
    }
    let Some(model) = adapter_base(&location.path)? else {
        return Err(WeightsError::Adapter { path: location.path }.into());
    };
    let model = Location::find(&model)?;
    let checkpoint = Checkpoint::open(&model.path)?.labelled(given).with_adapter(&location.path)?;
    Ok(Input { name, location: model, adapter: Some(location), checkpoint })
}

/// `NAME=WHERE`, or a name made of where it lies.
fn named(text: &str) -> (String, String) {
    if !Path::new(text).exists()
        && let Some((name, given)) = text.split_once('=')
        && !name.is_empty()
        && !name.contains('/')
    {
        return (name.to_owned(), given.to_owned());
    }
    let last = text
        .rsplit('+')
        .next()
        .unwrap_or(text)
        .split('@')
        .next()
        .unwrap_or(text)
        .trim_end_matches('/')
        .rsplit('/')
        .next()
        .unwrap_or(text);
    (last.strip_suffix(".safetensors").unwrap_or(last).to_owned(), text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn experts_are_named_by_hand_or_after_their_place() {
        let name = |text: &str| named(text).0;
        assert_eq!(named("cars=/data/x=y/model"), ("cars".to_owned(), "/data/x=y/model".to_owned()));
        assert_eq!(name("/data/clip_sun397/"), "clip_sun397");
        assert_eq!(name("org/clip_cars@abc"), "clip_cars");
        assert_eq!(name("a/b.safetensors"), "b");
        assert_eq!(name("org/clip+/data/lora-cars/"), "lora-cars");
        assert_eq!(name("./x=y/z"), "z");
    }
}
