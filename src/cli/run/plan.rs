//! From arguments to jobs: the preset, what `--set`, `--split` and `--limit` change in it, and the values of a sweep.

use crate::cli::args::Run;
use crate::cli::error::CliError;
use crate::engine::{Job, Preset};
use crate::fusion::METHODS;
use crate::params::{ParamError, Value, closest};
use crate::tasks::Corruption;
use crate::zoo::Zoo;

/// More runs than this are a typo in the step, not a sweep.
const MOST_RUNS: usize = 1000;

/// One parameter and the values it is given in turn.
#[derive(Debug, Clone, PartialEq)]
pub struct Sweep {
    pub name: String,
    pub values: Vec<f64>,
}

/// What is to be run, checked against the registry.
#[derive(Debug)]
pub struct Plan {
    pub preset: Preset,
    pub sweep: Option<Sweep>,
    /// Seeds to run it with in turn; none for the recipe's own.
    pub seeds: Vec<u64>,
    /// What it is tested against.
    pub against: Option<Preset>,
}

impl Plan {
    pub fn read(args: &Run, zoo: &Zoo) -> Result<Self, CliError> {
        let mut preset = Preset::resolve(&args.preset)?;
        for setting in &args.set {
            let (name, value) = assignment("--set", "PARAM=VALUE", setting)?;
            let name = own_parameter(&preset, "--set", setting, name)?;
            preset.set(name, value).map_err(|error| refused(&preset, "--set", setting, &error))?;
        }
        if !args.experts.is_empty() {
            if let Some(twice) = twice(&args.experts) {
                return Err(CliError::input(format!("`{twice}` stands twice"))
                    .at(format!("--experts {}", args.experts.join(",")))
                    .hint("name every expert once"));
            }
            preset.set_experts(&args.experts);
        }
        if !args.unseen.is_empty() {
            preset.set_experts(&all_but(&args.unseen, &preset, zoo)?);
        }
        if let Some(split) = args.split {
            preset.set_split(split.into());
        }
        if args.limit.is_some() {
            preset.set_limit(args.limit);
        }
        if !args.corrupt.is_empty() {
            preset.set_corruptions(corruptions(&args.corrupt)?);
        }
        let sweep = args.sweep.as_deref().map(|text| sweep(&preset, text)).transpose()?;
        let seeds = args.seeds.map_or_else(|| Ok(Vec::new()), |count| seeds(&preset, count))?;
        let against = args.against.as_deref().map(|name| against(name, args, &preset)).transpose()?;
        let plan = Self { preset, sweep, seeds, against };
        let more = [
            (plan.sweep.is_some(), "--sweep"),
            (!plan.seeds.is_empty(), "--seeds"),
            (plan.against.is_some(), "--against"),
        ];
        if let Some((_, option)) = more.iter().find(|(given, _)| plan.is_robustness() && *given) {
            return Err(CliError::input("that takes one kind of images, and there are several corruptions")
                .at(*option)
                .hint("name one with --corrupt"));
        }
        Ok(plan)
    }

    /// Whether it is about images as they are and corrupted in several ways.
    pub fn is_robustness(&self) -> bool {
        self.preset.corruptions().len() > 1
    }

    /// One job, and that which it is tested against; or one for every seed, or every value of the sweep, with that value.
    pub fn jobs(&self, zoo: &Zoo) -> Result<Vec<(Option<f64>, Job)>, CliError> {
        if self.is_robustness() {
            // With several corruptions, the preset's own job is that on images as they are.
            let clean = self.preset.job(zoo)?;
            let corrupted = self.preset.corruptions().iter().map(|&one| Job { corruption: Some(one), ..clean.clone() });
            return Ok(std::iter::once(clean.clone()).chain(corrupted).map(|job| (None, job)).collect());
        }
        if !self.seeds.is_empty() {
            let job = |&seed: &u64| {
                let mut preset = self.preset.clone();
                preset
                    .set(SEED, &seed.to_string())
                    .map_err(|error| refused(&preset, "--seeds", &self.seeds.len().to_string(), &error))?;
                Ok((Some(seed as f64), preset.job(zoo)?))
            };
            return self.seeds.iter().map(job).collect();
        }
        let Some(sweep) = &self.sweep else {
            let first = self.preset.job(zoo)?;
            let mut jobs = vec![(None, first.clone())];
            if let Some(against) = &self.against {
                // The same samples, whatever it says itself.
                let Job { tasks, split, limit, corruption, .. } = first;
                jobs.push((None, Job { tasks, split, limit, corruption, ..against.job(zoo)? }));
            }
            return Ok(jobs);
        };
        let job = |&value: &f64| {
            let mut preset = self.preset.clone();
            preset
                .set(&sweep.name, &value.to_string())
                .map_err(|error| refused(&preset, "--sweep", &format!("{}={value}", sweep.name), &error))?;
            Ok((Some(value), preset.job(zoo)?))
        };
        sweep.values.iter().map(job).collect()
    }
}

/// Several texts of one corruption each, or of all.
fn corruptions(given: &[String]) -> Result<Vec<Corruption>, CliError> {
    let mut all = Vec::new();
    for text in given {
        let named = Corruption::named(text).map_err(|error| {
            CliError::input(error.to_string()).at(format!("--corrupt {text}")).hint("`all` means every kind")
        })?;
        all.extend(named);
    }
    Ok(all)
}

/// What a seed is called in every method that has one.
pub const SEED: &str = "seed";

/// So many seeds, from the preset's own on.
fn seeds(preset: &Preset, count: u16) -> Result<Vec<u64>, CliError> {
    let method = preset.method();
    let Some(&Value::Int(first)) = preset.params().get(SEED) else {
        return Err(CliError::input(format!("{} has no seed: every run gives the same", method.name))
            .at(format!("--seeds {count}"))
            .hint("leave --seeds out"));
    };
    let first = u64::try_from(first).unwrap_or_default();
    Ok((0..u64::from(count)).map(|at| first + at).collect())
}

/// The first name that was there before.
fn twice(names: &[String]) -> Option<&String> {
    names.iter().enumerate().find(|(at, name)| names[..*at].contains(name)).map(|(_, name)| name)
}

/// The experts that are combined otherwise, without those of the tasks that are to be unseen.
fn all_but(unseen: &[String], preset: &Preset, zoo: &Zoo) -> Result<Vec<String>, CliError> {
    let place = || format!("--unseen {}", unseen.join(","));
    if let Some(unknown) = unseen.iter().find(|name| zoo.own_experts().all(|known| known != *name)) {
        let suggestion = closest(unknown, zoo.own_experts());
        let suggestion = suggestion.map_or_else(String::new, |known| format!(", did you mean `{known}`?"));
        return Err(CliError::input(format!("no task `{unknown}` in this zoo{suggestion}"))
            .at(place())
            .hint("`fusebench tasks` lists them"));
    }
    let mut left = preset.experts().unwrap_or_else(|| zoo.own_experts().map(str::to_owned).collect());
    left.retain(|name| !unseen.contains(name));
    if left.is_empty() {
        return Err(CliError::input("no expert is left to combine").at(place()).hint("leave some tasks seen"));
    }
    Ok(left)
}

/// Another preset, with the experts of the first unless it names its own and the command line none.
fn against(name: &str, args: &Run, first: &Preset) -> Result<Preset, CliError> {
    let mut preset = Preset::resolve(name)?;
    if let Some(experts) =
        first.experts().filter(|_| preset.experts().is_none() || !args.experts.is_empty() || !args.unseen.is_empty())
    {
        preset.set_experts(&experts);
    }
    Ok(preset)
}

fn assignment<'a>(option: &str, form: &str, text: &'a str) -> Result<(&'a str, &'a str), CliError> {
    let (name, value) = text
        .split_once('=')
        .ok_or_else(|| CliError::input(format!("`{text}` is not of the form {form}")).at(format!("{option} {text}")))?;
    Ok((name.trim(), value.trim()))
}

/// `scaling` and `task_arithmetic.scaling` mean the same; a parameter of another method is an error.
fn own_parameter<'a>(preset: &Preset, option: &str, setting: &str, name: &'a str) -> Result<&'a str, CliError> {
    let Some((method, parameter)) = name.rsplit_once('.') else { return Ok(name) };
    let id = preset.method().id;
    if method == id || method == "method" || method == "method.params" {
        return Ok(parameter);
    }
    let known = if METHODS.iter().any(|other| other.id == method) { "another method" } else { "not a method" };
    Err(CliError::input(format!("`{method}` is {known}; {} runs `{id}`", preset.label()))
        .at(format!("{option} {setting}"))
        .hint(format!("write `{parameter}=…` or `{id}.{parameter}=…`")))
}

fn refused(preset: &Preset, option: &str, setting: &str, error: &ParamError) -> CliError {
    let method = preset.method();
    let hint = match (error, method.specs) {
        (ParamError::Unknown { .. }, []) => format!("{} has no parameters", method.id),
        (ParamError::Unknown { .. }, specs) => {
            format!("{} has {}", method.id, specs.iter().map(|spec| spec.name).collect::<Vec<_>>().join(", "))
        }
        _ => format!("`fusebench methods {}` shows its parameters and their ranges", method.id),
    };
    CliError::input(error.to_string()).at(format!("{option} {setting}")).hint(hint)
}

/// `scaling=0:1:0.1`, or the values one by one: `scaling=0.1,0.3,0.5`.
fn sweep(preset: &Preset, text: &str) -> Result<Sweep, CliError> {
    let (name, range) = assignment("--sweep", "PARAM=FROM:TO:STEP", text)?;
    let name = own_parameter(preset, "--sweep", text, name)?;
    let wrong = |what: &str| {
        CliError::input(what.to_owned())
            .at(format!("--sweep {text}"))
            .hint("such as --sweep scaling=0:1:0.1, or one by one: --sweep scaling=0.1,0.3,0.5")
    };
    let number = |text: &str| {
        let number: Option<f64> = text.trim().parse().ok().filter(|number: &f64| number.is_finite());
        number.ok_or_else(|| wrong(&format!("`{}` is not a number", text.trim())))
    };
    let parts: Vec<&str> = range.split(':').collect();
    let values = match parts[..] {
        [list] => list.split(',').map(number).collect::<Result<Vec<_>, _>>()?,
        [from, to, step] => {
            let (from, to, step) = (number(from)?, number(to)?, number(step)?);
            if step <= 0.0 || to < from {
                return Err(wrong("a sweep goes up: FROM is at most TO, STEP is above zero"));
            }
            let last = ((to - from) / step + 1e-9).floor();
            if last >= MOST_RUNS as f64 {
                return Err(wrong(&format!("that is more than {MOST_RUNS} runs")));
            }
            (0..=last as usize).map(|at| tidy(from + at as f64 * step)).collect()
        }
        _ => return Err(wrong("a sweep is FROM:TO:STEP")),
    };
    // Refused now rather than after half of the runs.
    for value in &values {
        let mut trial = preset.clone();
        trial.set(name, &value.to_string()).map_err(|error| refused(preset, "--sweep", text, &error))?;
    }
    Ok(Sweep { name: name.to_owned(), values })
}

/// 0.30000000000000004 is 0.3.
fn tidy(value: f64) -> f64 {
    (value * 1e9).round() / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(text: &str) -> Result<Vec<f64>, String> {
        let preset = Preset::resolve("task_arithmetic").unwrap();
        sweep(&preset, text).map(|sweep| sweep.values).map_err(|error| error.to_string())
    }

    #[test]
    fn sweeps_include_both_ends_without_dust() {
        assert_eq!(values("scaling=0:1:0.1").unwrap(), [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]);
        assert_eq!(values("task_arithmetic.scaling=0.3:0.3:1").unwrap(), [0.3]);
        assert_eq!(values("scaling = 0.5, 0.1").unwrap(), [0.5, 0.1]);
    }

    #[test]
    fn bad_sweeps_say_why() {
        for (text, expected) in [
            ("scaling", "is not of the form PARAM=FROM:TO:STEP"),
            ("scaling=0:1", "a sweep is FROM:TO:STEP"),
            ("scaling=1:0:0.1", "a sweep goes up"),
            ("scaling=0:1:0", "STEP is above zero"),
            ("scaling=0:1:0.0001", "more than 1000 runs"),
            ("scaling=0:x:1", "`x` is not a number"),
            ("scaling=0:nan:1", "`nan` is not a number"),
            ("scalling=0:1:0.1", "did you mean `scaling`?"),
            ("scaling=0:1e40:1e39", "is out of bounds (finite)"),
            ("ties.scaling=0:1:0.1", "`ties` is another method"),
            ("tiess.scaling=0:1:0.1", "`tiess` is not a method"),
        ] {
            let message = values(text).unwrap_err();
            assert!(message.contains(expected), "{text}: {message}");
        }
    }
}
