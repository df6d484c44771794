//! From a [`Preset`] to TOML text.

use super::{Named, Preset};
use crate::params::ParamSet;
use crate::tasks::{Corruption, Split};
use serde::Serialize;

#[derive(Serialize)]
struct Document<'a> {
    method: MethodSection<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pool: Option<PoolSection<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    models: Option<ModelsSection<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    evaluate: Option<EvaluateSection<'a>>,
}

#[derive(Serialize)]
struct ModelsSection<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    base: Option<&'a str>,
    experts: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    dtype: Option<&'a str>,
}

#[derive(Serialize)]
struct MethodSection<'a> {
    id: &'a str,
    params: &'a ParamSet,
}

#[derive(Serialize)]
struct PoolSection<'a> {
    experts: Vec<&'a str>,
}

#[derive(Serialize)]
struct EvaluateSection<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    tasks: Option<Vec<&'a str>>,
    split: Split,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    corruption: Option<Corruptions<'a>>,
}

/// A text, or a list of them.
#[derive(Serialize)]
#[serde(untagged)]
enum Corruptions<'a> {
    One(Corruption),
    Several(&'a [Corruption]),
}

impl Preset {
    /// The preset as TOML, every parameter spelled out: a recipe must mean the same when defaults have changed.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let document = Document {
            method: MethodSection { id: self.method.id, params: &self.params },
            pool: names(self.experts.as_deref()).map(|experts| PoolSection { experts }),
            models: self.models.as_ref().map(|models| ModelsSection {
                base: models.base.as_deref(),
                experts: &models.experts,
                dtype: models.dtype.as_deref(),
            }),
            // Checkpoints of one's own are merged, the zoo's are evaluated.
            evaluate: self.models.is_none().then(|| EvaluateSection {
                tasks: names(self.tasks.as_deref()),
                split: self.split,
                limit: self.limit,
                corruption: match &self.corruptions[..] {
                    [] => None,
                    [one] => Some(Corruptions::One(*one)),
                    several => Some(Corruptions::Several(several)),
                },
            }),
        };
        // Strings, numbers and lists of them under fixed keys: nothing here that TOML could not express.
        let text = toml::to_string(&document).unwrap_or_default();
        format!("# {}: {}\n{text}", self.method.name, self.method.formula)
    }
}

fn names(named: Option<&[Named]>) -> Option<Vec<&str>> {
    named.map(|list| list.iter().map(|named| named.name.as_str()).collect())
}

#[cfg(test)]
mod tests {
    use crate::engine::{Job, JobKind, Preset, Recipe};
    use crate::fusion::METHODS;
    use crate::params::ParamSet;
    use crate::tasks::Split;

    #[test]
    fn what_is_written_reads_back_the_same_for_every_method() {
        for method in METHODS {
            let recipe = Recipe {
                method: method.id.to_owned(),
                params: ParamSet::defaults(method.specs),
                experts: vec!["mnist".to_owned(), "the \"second\"".to_owned()],
            };
            let tasks = vec!["mnist".to_owned()];
            let corruption = "spatter:2".parse().ok();
            let job = Job { kind: JobKind::Run, recipe, tasks, split: Split::Validation, limit: Some(64), corruption };
            let text = Preset::from_job(&job).unwrap().to_toml();
            let back = Preset::parse(&text, "recipe.toml").unwrap_or_else(|error| panic!("{error}\n{text}"));
            assert_eq!(back.to_toml(), text);
            assert_eq!(back.params(), &job.recipe.params);
            assert_eq!((back.method().id, back.split, back.limit), (method.id, job.split, job.limit));
        }
    }
}
