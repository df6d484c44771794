//! What is to be merged, from what a person names: a method, a preset, a recipe of ours or of another program.

use super::args::Recipe;
use super::error::CliError;
use crate::engine::document::{Document, Loaded, Plain, Source, read_pool};
use crate::engine::{Preset, Problem};
use crate::fusion::{Method, find};
use crate::params::{ParamError, ParamSet};
use crate::weights::DType;
use std::path::Path;

/// One merge.
#[derive(Debug, Clone)]
pub struct Step {
    /// What later steps call its result; nothing for the last.
    pub name: Option<String>,
    pub work: Work,
}

#[derive(Debug, Clone)]
pub enum Work {
    /// A method with one set of parameters.
    Plain(Plain),
    /// Anything more.
    Document(Box<Document>),
}

/// Reads what is named; notes say what of it has no effect.
pub fn read(named: &Recipe) -> Result<(Vec<Step>, Vec<String>), CliError> {
    let path = Path::new(&named.method);
    if Loaded::is_document(path) || is_recipe(path) {
        return from_file(named, path);
    }
    let (method, mut params, models) = match Preset::resolve(&named.method) {
        Ok(preset) => (preset.method(), preset.params().clone(), preset.models().cloned()),
        Err(error) if matches!(*error.problem, Problem::NoSuchPreset { .. }) && find(&named.method).is_ok() => {
            let method = find(&named.method)?;
            (method, ParamSet::defaults(method.specs), None)
        }
        Err(error) => return Err(error.into()),
    };
    set(method, &mut params, &named.set)?;
    let mut plain = Plain { method, params, base: named.base.clone(), experts: named.expert.clone(), dtype: None };
    let mut notes = Vec::new();
    if let Some(pool) = &named.pool {
        let (pool, more) = read_pool(pool)?;
        notes = more;
        plain.base = pool.base;
        plain.experts = pool.experts.into_iter().map(|(name, place)| format!("{name}={place}")).collect();
        plain.dtype = pool.dtype;
    } else if let Some(models) = models.filter(|_| plain.base.is_none() && plain.experts.is_empty()) {
        (plain.base, plain.experts, plain.dtype) = (models.base, models.experts, models.dtype);
    }
    if plain.experts.is_empty() {
        return Err(CliError::input("no models to merge").hint("name them: --base DIR --expert DIR …, or --pool FILE"));
    }
    Ok((vec![Step { name: None, work: Work::Plain(plain) }], notes))
}

/// A TOML file that is a recipe and not a preset.
fn is_recipe(path: &Path) -> bool {
    let toml = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("toml"));
    let small = std::fs::metadata(path).is_ok_and(|meta| meta.len() <= 1 << 20);
    let begins = |text: String| text.lines().any(|line| line.trim_start().starts_with("[[merge]]"));
    toml && small && std::fs::read_to_string(path).is_ok_and(begins)
}

fn from_file(named: &Recipe, path: &Path) -> Result<(Vec<Step>, Vec<String>), CliError> {
    if named.base.is_some() || !named.expert.is_empty() {
        return Err(CliError::input("the recipe names its models itself")
            .at(named.method.clone())
            .hint("leave --base and --expert out; a method of FusionBench takes its models by --pool FILE"));
    }
    let loaded = Loaded::load(path, named.pool.as_deref())?;
    let work = |document: Document| match document.plain() {
        Some(plain) => Work::Plain(plain),
        None => Work::Document(Box::new(document)),
    };
    let mut steps: Vec<Step> = loaded
        .documents
        .into_iter()
        .map(|document| Step { name: document.name.clone(), work: work(document) })
        .collect();
    if let Some(last) = steps.last_mut() {
        // The last is written to --out, whatever it is called.
        last.name = None;
        match &mut last.work {
            Work::Plain(plain) => set(plain.method, &mut plain.params, &named.set)?,
            Work::Document(_) if named.set.is_empty() => {}
            Work::Document(_) => {
                return Err(CliError::input("--set changes one value for all tensors, and this recipe has several")
                    .at(named.method.clone())
                    .hint("change the recipe; `fusebench import` prints it in TOML"));
            }
        }
    }
    Ok((steps, loaded.notes))
}

/// What `--set` changes.
fn set(method: &Method, params: &mut ParamSet, settings: &[String]) -> Result<(), CliError> {
    for setting in settings {
        let place = format!("--set {setting}");
        let (key, value) = setting
            .split_once('=')
            .ok_or_else(|| CliError::input(format!("`{setting}` is not of the form PARAM=VALUE")).at(place.clone()))?;
        let key = key.trim().strip_prefix(&format!("{}.", method.id)).unwrap_or(key.trim());
        params.set_text(method.specs, key, value.trim()).map_err(|error| refused(method, &place, &error))?;
    }
    Ok(())
}

fn refused(method: &Method, place: &str, error: &ParamError) -> CliError {
    CliError::input(error.to_string())
        .at(place.to_owned())
        .hint(format!("`fusebench methods {}` shows its parameters and their ranges", method.id))
}

impl Step {
    /// With the results of earlier steps in place of their names.
    pub fn with_results(mut self, results: &[(String, String)]) -> Self {
        let place = |reference: &str| -> Option<String> {
            let (model, rest) =
                reference.split_once('+').map_or((reference, None), |(model, rest)| (model, Some(rest)));
            let (_, result) = results.iter().find(|(name, _)| name == model)?;
            Some(rest.map_or_else(|| result.clone(), |rest| format!("{result}+{rest}")))
        };
        match &mut self.work {
            Work::Plain(plain) => {
                plain.base = plain.base.take().map(|base| place(&base).unwrap_or(base));
                for expert in &mut plain.experts {
                    if let Some(found) = place(expert) {
                        *expert = format!("{expert}={found}");
                    }
                }
            }
            Work::Document(document) => document.map_references(&mut |reference| {
                if let Some(found) = place(reference) {
                    *reference = found;
                }
            }),
        }
        self
    }

    pub fn method(&self) -> Result<&'static Method, CliError> {
        match &self.work {
            Work::Plain(plain) => Ok(plain.method),
            Work::Document(document) => Ok(find(&document.method)?),
        }
    }

    /// The dtype that it asks for.
    pub fn dtype(&self) -> Option<DType> {
        let name = match &self.work {
            Work::Plain(plain) => plain.dtype.as_deref(),
            Work::Document(document) => document.dtype.as_deref(),
        };
        name.and_then(DType::parse_float)
    }
}

/// Experts as sources of a document: `NAME=WHERE`, or where alone.
pub fn sources(experts: &[String]) -> Vec<Source> {
    let source = |text: &String| {
        let named = text.split_once('=').filter(|(name, _)| !name.contains('/') && !Path::new(text).exists());
        let (name, model) = named.map_or((None, text.as_str()), |(name, model)| (Some(name.to_owned()), model));
        Source { name, model: model.to_owned(), ..Source::default() }
    };
    experts.iter().map(source).collect()
}
