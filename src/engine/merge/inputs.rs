//! The models to merge: found, opened, made comparable.

use super::mixture::{self, Experts};
use super::resolve::{Stack, resolve};
use super::vocabulary::{Changes, Vocab, Wanted, reconcile};
use super::{MergeJob, Part, tokenizer};
use crate::engine::EngineError;
use crate::engine::document::Document;
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
    /// All of them, for a recipe that treats all tensors alike; without tensors for one that does not.
    pub pool: Pool,
    /// What is fused with parameters of its own, or kept as it is.
    parts: Vec<Part>,
    /// What had to be done to make them comparable.
    pub notes: Vec<String>,
    /// What the result's configuration and tokenizer are made of.
    pub(super) beside: Beside,
}

/// What the result gets beside its weights.
#[derive(Debug, Clone, Default)]
pub(super) struct Beside {
    /// The folder whose configuration and tokenizer fit the result.
    pub like: Option<PathBuf>,
    /// The folder of the tokenizer, where it is another.
    pub tokenizer: Option<PathBuf>,
    /// Files in place of those of the tokenizer's folder; nothing for those that do not fit any more.
    pub replaced: Vec<(String, Option<Vec<u8>>)>,
    /// Rows of the vocabulary, where there are others than before.
    pub vocabulary: Option<usize>,
    pub chat_template: Option<String>,
    /// Stacks of layers that have become others.
    pub stacks: Vec<Stack>,
    /// Of a mixture.
    pub experts: Option<Experts>,
}

/// What opening models depends on.
#[derive(Debug, Clone)]
pub struct Options {
    pub vocab: Option<Vocab>,
    /// A folder for tables of rows that are put together anew, where there is room; nothing stays there.
    pub scratch: PathBuf,
}

impl Default for Options {
    fn default() -> Self {
        Self { vocab: None, scratch: std::env::temp_dir() }
    }
}

impl Inputs {
    /// Opens a base and experts, each a path or hub id; experts as `NAME=WHERE` or named after their folder.
    ///
    /// # Errors
    /// What cannot be found, read or compared; names that stand twice.
    pub fn open(base: Option<&str>, experts: &[String]) -> Result<Self, EngineError> {
        Self::open_with(base, experts, &Options::default())
    }

    /// As [`Inputs::open`], with vocabularies of different sizes treated as the options say.
    ///
    /// # Errors
    /// As [`Inputs::open`]; vocabularies that cannot be brought together so.
    pub fn open_with(base: Option<&str>, experts: &[String], options: &Options) -> Result<Self, EngineError> {
        let (base, experts) = open_all(base, experts)?;
        let (mut inputs, models, changes) = Self::compared(base, experts, None, options)?;
        let kept: HashSet<&str> = changes.kept.iter().map(String::as_str).collect();
        let view = |model: &Checkpoint, keep: bool| {
            let names = model.tensors().iter().map(|info| info.name.as_str());
            model.subset(names.filter(|name| kept.contains(name) == keep).collect::<Vec<_>>())
        };
        if let Some(first) = models.first().filter(|_| !kept.is_empty()) {
            let view = view(first, true);
            let places = (0..view.tensors().len()).map(|at| usize::MAX - at).collect();
            inputs.parts.push(Part::kept(view, 0, places)?);
        }
        let views: Vec<Checkpoint> =
            models.iter().map(|model| if kept.is_empty() { model.clone() } else { view(model, false) }).collect();
        let mut views = views.into_iter();
        inputs.pool = Pool::new(
            inputs.base.as_ref().and_then(|_| views.next()),
            inputs.experts.iter().map(|input| input.name.clone()).zip(views).collect(),
        )?;
        Ok(inputs)
    }

    /// Opens the models that a document names; `names` are the experts' names where they are known.
    ///
    /// # Errors
    /// What cannot be found, read or compared; a document that does not fit the models.
    pub fn of_document(document: &Document, names: Option<&[String]>, options: &Options) -> Result<Self, EngineError> {
        let references = document.references();
        let (of_base, of_experts) = references.split_at(usize::from(document.base_model.is_some()));
        let base = of_base.first().map(|given| open("base".to_owned(), given, None)).transpose()?;
        let stated = |(at, given): (usize, &&str)| {
            let source = document.sources().find(|source| source.model == *given);
            names.and_then(|names| names.get(at)).cloned().or(source.and_then(|source| source.name.clone()))
        };
        let stated: Vec<Option<String>> = of_experts.iter().enumerate().map(stated).collect();
        let names = document_names(of_experts, &stated);
        let experts = names.into_iter().zip(of_experts).map(|(name, given)| open(name, given, base.as_ref()));
        let experts = experts.collect::<Result<_, _>>()?;
        let wanted = Wanted { document, references: &references };
        let (mut inputs, models, changes) = Self::compared(base, experts, Some(&wanted), options)?;
        let names: Vec<String> = inputs.all().map(|input| input.name.clone()).collect();
        if let Some(mixture) = document.mixture {
            let (parts, experts) = mixture::parts(mixture, document, &references, &models)?;
            inputs.parts = parts;
            inputs.beside.experts = Some(experts);
            inputs.notes.push("routers are not trained: the model needs training before it is of use".to_owned());
        } else {
            let resolved = resolve(document, &references, &names, &models, &changes.kept)?;
            inputs.parts = resolved.parts;
            inputs.beside.stacks = resolved.stacks;
            inputs.notes.extend(resolved.notes);
        }
        if let Some(at) = references.iter().position(|reference| document.donor() == Some(*reference)) {
            inputs.beside.like = models[at].folder().map(Path::to_owned);
        }
        inputs.beside.chat_template = match document.chat_template.as_deref() {
            Some("auto") => tokenizer::usual_template(inputs.all().filter_map(|input| input.checkpoint.folder())),
            other => other.map(str::to_owned),
        };
        Ok(inputs)
    }

    /// Brings all models to the same names and vocabularies.
    fn compared(
        mut base: Option<Input>,
        mut experts: Vec<Input>,
        wanted: Option<&Wanted<'_>>,
        options: &Options,
    ) -> Result<(Self, Vec<Checkpoint>, Changes), EngineError> {
        let mut models: Vec<Checkpoint> = base.iter().chain(&experts).map(|input| input.checkpoint.clone()).collect();
        let before: Vec<usize> = models.iter().map(|model| model.tensors().len()).collect();
        let mut notes = align(&mut models);
        // The first whose tensors are as its own configuration says.
        let as_it_was = |at: &usize| {
            let original = base.iter().chain(&experts).nth(*at).map(|input| &input.checkpoint);
            before[*at] == models[*at].tensors().len()
                && original
                    .is_some_and(|original| models[*at].tensors().iter().all(|info| original.get(&info.name).is_some()))
        };
        let like = (0..models.len()).find(as_it_was).or((!models.is_empty()).then_some(0));
        let like = like.and_then(|at| models[at].folder().map(Path::to_owned));
        let names: Vec<String> = base.iter().chain(&experts).map(|input| input.name.clone()).collect();
        let changes = reconcile(&mut models, &names, base.is_some(), wanted, options)?;
        notes.extend(changes.notes.iter().cloned());
        for (input, model) in base.iter_mut().chain(experts.iter_mut()).zip(&models) {
            input.checkpoint = model.clone();
        }
        let beside = Beside {
            like,
            tokenizer: changes.tokenizer.clone(),
            replaced: changes.replaced.clone(),
            vocabulary: changes.rows,
            ..Beside::default()
        };
        let pool = Pool::new(None, Vec::new())?;
        Ok((Self { base, experts, pool, parts: Vec::new(), notes, beside }, models, changes))
    }

    /// What is fused how: the parts of a document, or all tensors with the job's method and parameters.
    #[must_use]
    pub fn parts(&self, job: &MergeJob) -> Vec<Part> {
        if job.document.is_some() {
            return self.parts.clone();
        }
        let whole = Part::whole(job.method, job.params.clone(), self.pool.clone());
        std::iter::once(whole).chain(self.parts.iter().cloned()).collect()
    }

    /// Base first, then the experts.
    pub fn all(&self) -> impl Iterator<Item = &Input> {
        self.base.iter().chain(&self.experts)
    }

    /// Sees that no file has changed since it was opened.
    ///
    /// # Errors
    /// The first that has.
    pub fn check_unchanged(&self) -> Result<(), WeightsError> {
        self.all().try_for_each(|input| input.checkpoint.check_unchanged())
    }
}

/// Opens a base and experts as they are, comparable or not.
///
/// # Errors
/// What cannot be found or read; names that stand twice.
pub(in crate::engine) fn open_all(
    base: Option<&str>,
    experts: &[String],
) -> Result<(Option<Input>, Vec<Input>), EngineError> {
    let base = base.map(|given| open("base".to_owned(), given, None)).transpose()?;
    let names = distinct(experts, base.is_some())?;
    let experts = names.into_iter().map(|(name, given)| open(name, &given, base.as_ref()));
    let experts: Vec<Input> = experts.collect::<Result<_, _>>()?;
    Ok((base, experts))
}

/// Names and places of experts; of names that are made of places, those that are taken become [`free`] ones.
fn distinct(experts: &[String], has_base: bool) -> Result<Vec<(String, String)>, EngineError> {
    let mut found: Vec<(String, String)> = Vec::with_capacity(experts.len());
    for text in experts {
        let (mut name, given) = named(text);
        let is_taken = |name: &str| (has_base && name == "base") || found.iter().any(|(known, _)| known == name);
        if is_taken(&name) {
            // Somebody has chosen this name, or has given one model twice.
            if given != *text || found.iter().any(|(_, known)| *known == given) {
                return Err(EngineError::NameTwice { name });
            }
            name = free(name, &given, is_taken);
        }
        found.push((name, given));
    }
    Ok(found)
}

/// Names of a document's experts: those that somebody has chosen, and free ones for the others.
fn document_names(given: &[&str], stated: &[Option<String>]) -> Vec<String> {
    let mut taken = HashSet::from(["base".to_owned()]);
    let mut names: Vec<Option<String>> = vec![None; given.len()];
    for is_stated in [true, false] {
        for ((name, given), stated) in names.iter_mut().zip(given).zip(stated) {
            if stated.is_some() == is_stated {
                let wanted = stated.clone().unwrap_or_else(|| named(given).0);
                let free = free(wanted, given, |name| taken.contains(name));
                taken.insert(free.clone());
                *name = Some(free);
            }
        }
    }
    names.into_iter().flatten().collect()
}

/// The name, or, where it is taken, with more of the place: `run2-last` for the second of `run1/last` and `run2/last`.
fn free(name: String, given: &str, is_taken: impl Fn(&str) -> bool) -> String {
    let parts: Vec<&str> = given.split('/').filter(|part| !matches!(*part, "" | "." | "..")).collect();
    let before = &parts[..parts.len().saturating_sub(1)];
    let longer = (0..before.len()).rev().map(|first| format!("{}-{name}", before[first..].join("-")));
    let numbered = (2..).map(|number| format!("{name}-{number}"));
    let all = std::iter::once(name.clone()).chain(longer).chain(numbered);
    all.into_iter().find(|name| !is_taken(name)).unwrap_or(name)
}

/// Opens a model, `MODEL+ADAPTER`, or an adapter alone: over the base of the merge, else over the model that it names.
///
/// # Errors
/// What cannot be found or opened.
pub(in crate::engine) fn open(name: String, given: &str, base: Option<&Input>) -> Result<Input, EngineError> {
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
    fn names_that_are_taken_get_more_of_their_place() {
        let names = |experts: &[&str], has_base| {
            let experts: Vec<String> = experts.iter().map(|text| (*text).to_owned()).collect();
            distinct(&experts, has_base).map(|found| found.into_iter().map(|(name, _)| name).collect::<Vec<_>>())
        };
        assert_eq!(
            names(&["run1/last", "run2/last", "a/run2/last"], true).unwrap(),
            ["last", "run2-last", "a-run2-last"]
        );
        assert_eq!(names(&["org/base", "org/math"], false).unwrap(), ["base", "math"]);
        assert_eq!(names(&["org/base", "org/math"], true).unwrap(), ["org-base", "math"]);
        assert_eq!(names(&["x/last", "y-last=z", "y/last"], true).unwrap(), ["last", "y-last", "last-2"]);
        for twice in [["a/x", "a/x"], ["x=a/1", "x=a/2"], ["base=a", "b"]] {
            assert!(matches!(names(&twice, true), Err(EngineError::NameTwice { .. })), "{twice:?}");
        }
    }

    #[test]
    fn names_that_a_document_states_are_not_taken_by_others() {
        let names = |given: &[&str], stated: &[Option<&str>]| {
            document_names(given, &stated.iter().map(|name| name.map(str::to_owned)).collect::<Vec<_>>())
        };
        assert_eq!(names(&["a/last", "b/last"], &[None, None]), ["last", "b-last"]);
        assert_eq!(names(&["a/last", "b/last", "c/x"], &[None, None, Some("b-last")]), ["last", "last-2", "b-last"]);
        assert_eq!(names(&["a/base", "a/x"], &[None, Some("base")]), ["base-2", "a-base"]);
    }

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
