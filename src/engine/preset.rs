//! Presets: a recipe and what to evaluate it on, in a TOML file that a person can read, comment and pass on.

mod builtin;
mod error;
mod read;
mod schema;
mod write;

pub use builtin::{BUILTIN, Builtin};
pub use error::{Position, PresetError, Problem};
pub use schema::preset_schema;

use super::document::Plain;
use super::{Job, JobKind, Recipe};
use crate::fusion::Method;
use crate::params::{Kind, ParamError, ParamSet, PerGroup, PerModel, closest};
use crate::tasks::{Corruption, Split};
use crate::zoo::Zoo;
use std::collections::BTreeMap;
use std::path::Path;

/// No preset is longer; whoever names a checkpoint by mistake gets a message instead of a wait.
const LONGEST: u64 = 1 << 20;

/// A name in a preset and where it stands, for errors that only show once the zoo is known.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Named {
    name: String,
    at: Option<Position>,
}

/// Where a file gives which parameter.
type Places = BTreeMap<String, Position>;

/// A recipe and what to evaluate it on. Checked against the registry, not yet against a zoo.
#[derive(Debug, Clone)]
pub struct Preset {
    label: String,
    method: &'static Method,
    params: ParamSet,
    params_at: Places,
    /// All of the pool when missing.
    experts: Option<Vec<Named>>,
    /// All of the zoo when missing.
    tasks: Option<Vec<Named>>,
    split: Split,
    limit: Option<usize>,
    /// None for images as they are; several are looked at one after the other, beside these.
    corruptions: Vec<Corruption>,
    /// Checkpoints to merge, where the preset is about more than the zoo.
    models: Option<Models>,
}

/// Checkpoints on disk or in the hub cache, as `fusebench merge` takes them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Models {
    pub base: Option<String>,
    /// `WHERE` or `NAME=WHERE`.
    pub experts: Vec<String>,
    /// Of the result.
    pub dtype: Option<String>,
}

impl Preset {
    /// Reads a preset file.
    ///
    /// # Errors
    /// When the file cannot be read, or as [`Preset::parse`].
    pub fn load(path: &Path) -> Result<Self, PresetError> {
        let label = path.display().to_string();
        let unreadable =
            |source: std::io::Error| PresetError::new(&label, None, Problem::Unreadable(source.to_string()));
        if std::fs::metadata(path).map_err(unreadable)?.len() > LONGEST {
            return Err(unreadable(std::io::Error::other("larger than 1 MiB, so not a preset")));
        }
        Self::parse(&std::fs::read_to_string(path).map_err(unreadable)?, &label)
    }

    /// Reads a preset from text; `label` names it in messages.
    ///
    /// # Errors
    /// Malformed TOML, unknown keys or methods, wrong types, values out of range: with line, column and suggestion.
    pub fn parse(text: &str, label: &str) -> Result<Self, PresetError> {
        read::read(text, label)
    }

    /// What a person names on the command line: a file, or a built-in preset as `merging/ties` or `ties`.
    ///
    /// # Errors
    /// When there is no such preset (with the closest name), or as [`Preset::load`].
    pub fn resolve(name: &str) -> Result<Self, PresetError> {
        let path = Path::new(name);
        let looks_like_file = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("toml"));
        if path.is_file() || looks_like_file {
            return Self::load(path);
        }
        let preset = Self::builtin(name)?;
        Self::parse(preset.text, preset.name)
    }

    /// The built-in preset called `merging/ties` or `ties`.
    ///
    /// # Errors
    /// When there is none, with the closest name.
    pub fn builtin(name: &str) -> Result<&'static Builtin, PresetError> {
        let unknown = || PresetError::new(name, None, Problem::NoSuchPreset { closest: builtin::closest_name(name) });
        builtin::find(name).ok_or_else(unknown)
    }

    /// The recipe of a job as a preset that does the same again.
    ///
    /// # Errors
    /// When the job names a method that does not exist.
    pub fn from_job(job: &Job) -> Result<Self, PresetError> {
        let method = crate::fusion::find(&job.recipe.method)
            .map_err(|error| PresetError::new("recipe", None, Problem::Method(error.to_string())))?;
        let named = |names: &[String]| Some(names.iter().map(|name| Named { name: name.clone(), at: None }).collect());
        Ok(Self {
            label: "recipe".to_owned(),
            method,
            params: job.recipe.params.clone(),
            params_at: Places::new(),
            experts: named(&job.recipe.experts),
            tasks: named(&job.tasks),
            split: job.split,
            limit: job.limit,
            corruptions: job.corruption.into_iter().collect(),
            models: None,
        })
    }

    /// A method on checkpoints, as a preset that `fusebench merge` takes.
    #[must_use]
    pub fn of_plain(plain: &Plain) -> Self {
        let models = Models { base: plain.base.clone(), experts: plain.experts.clone(), dtype: plain.dtype.clone() };
        Self {
            label: "recipe".to_owned(),
            method: plain.method,
            params: plain.params.clone(),
            params_at: Places::new(),
            experts: None,
            tasks: None,
            split: Split::default(),
            limit: None,
            corruptions: Vec::new(),
            models: Some(models),
        }
    }

    /// The checkpoints that it names.
    #[must_use]
    pub fn models(&self) -> Option<&Models> {
        self.models.as_ref()
    }

    /// File name or built-in name, for messages.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }

    #[must_use]
    pub fn method(&self) -> &'static Method {
        self.method
    }

    #[must_use]
    pub fn params(&self) -> &ParamSet {
        &self.params
    }

    /// The experts it names; nothing means all of the zoo.
    #[must_use]
    pub fn experts(&self) -> Option<Vec<String>> {
        self.experts.as_ref().map(|experts| experts.iter().map(|expert| expert.name.clone()).collect())
    }

    /// Replaces one parameter by its text, as `--set` does.
    ///
    /// # Errors
    /// Unknown name, wrong type, out of range.
    pub fn set(&mut self, name: &str, text: &str) -> Result<(), ParamError> {
        self.params.set_text(self.method.specs, name, text)?;
        // What is wrong with it from now on is not the file's fault.
        self.params_at.remove(name);
        Ok(())
    }

    /// Combines these experts instead of those that the preset names.
    pub fn set_experts(&mut self, names: &[String]) {
        self.experts = Some(names.iter().map(|name| Named { name: name.clone(), at: None }).collect());
    }

    /// Evaluates on another split than the preset says.
    pub fn set_split(&mut self, split: Split) {
        self.split = split;
    }

    /// Evaluates at most `limit` samples a task.
    pub fn set_limit(&mut self, limit: Option<usize>) {
        self.limit = limit;
    }

    /// What is done to the images; several corruptions make as many jobs, beside that on images as they are.
    #[must_use]
    pub fn corruptions(&self) -> &[Corruption] {
        &self.corruptions
    }

    /// Evaluates on images corrupted in these ways; those that stand twice count once.
    pub fn set_corruptions(&mut self, corruptions: Vec<Corruption>) {
        self.corruptions.clear();
        for one in corruptions {
            if !self.corruptions.contains(&one) {
                self.corruptions.push(one);
            }
        }
    }

    /// The preset as a job on a zoo, everything checked: names, number of experts, lengths of per-expert lists. With several
    /// corruptions, it is the one on images as they are.
    ///
    /// # Errors
    /// What does not fit the zoo, with its place in the file.
    pub fn job(&self, zoo: &Zoo) -> Result<Job, PresetError> {
        let pool = zoo.pool();
        let known: Vec<&str> = pool.experts().iter().map(|(name, _)| name.as_str()).collect();
        let experts = self.select("expert", self.experts.as_deref(), &known, zoo.own_experts().len())?;
        let known: Vec<&str> = zoo.tasks().iter().map(|task| task.id.as_str()).collect();
        let tasks = self.select("task", self.tasks.as_deref(), &known, known.len())?;
        self.method
            .check(pool.base().is_some(), experts.len())
            .map_err(|error| PresetError::new(&self.label, None, Problem::Method(error.to_string())))?;
        self.check_lengths(experts.len(), pool.groups().len())?;
        let recipe = Recipe { method: self.method.id.to_owned(), params: self.params.clone(), experts };
        let Self { split, limit, .. } = *self;
        let corruption = if let [one] = self.corruptions[..] { Some(one) } else { None };
        Ok(Job { kind: JobKind::Run, recipe, tasks, split, limit, corruption })
    }

    /// The names in `wanted`, each of which has to be known; the first `usual` if it names none.
    fn select(
        &self,
        kind: &'static str,
        wanted: Option<&[Named]>,
        known: &[&str],
        usual: usize,
    ) -> Result<Vec<String>, PresetError> {
        let Some(wanted) = wanted else { return Ok(known.iter().take(usual).map(|&name| name.to_owned()).collect()) };
        let check = |named: &Named| {
            if known.contains(&named.name.as_str()) {
                return Ok(named.name.clone());
            }
            let closest = closest(&named.name, known.iter().copied()).map(str::to_owned);
            let problem = Problem::NotInZoo {
                kind,
                name: named.name.clone(),
                closest,
                known: known.iter().map(|&name| name.to_owned()).collect(),
            };
            Err(PresetError::new(&self.label, named.at, problem))
        };
        wanted.iter().map(check).collect()
    }

    /// Lists with one number per expert or block have to fit the pool; methods would find out only when they run.
    fn check_lengths(&self, experts: usize, groups: usize) -> Result<(), PresetError> {
        for spec in self.method.specs {
            let fits = match spec.kind {
                Kind::PerModel { .. } => {
                    self.params.read::<PerModel>(spec.name).and_then(|list| list.resolve(spec.name, experts).map(drop))
                }
                Kind::PerGroup { .. } => self
                    .params
                    .read::<PerGroup>(spec.name)
                    .and_then(|table| table.resolve(spec.name, experts, groups).map(drop)),
                _ => Ok(()),
            };
            let at = self.params_at.get(spec.name).copied();
            fits.map_err(|error| PresetError::new(&self.label, at, Problem::Param(error)))?;
        }
        Ok(())
    }
}
