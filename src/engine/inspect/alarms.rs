//! What should stop somebody, or at least make them look, before models are merged.

use serde::Serialize;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth a look; merging works.
    Warning,
    /// Merging fails, or its result cannot be any good.
    Error,
}

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The weights have little or nothing to do with the base's.
    Ancestor,
    /// Vocabularies differ.
    Vocabulary,
    /// NaN or infinities.
    NotFinite,
    /// All values of a tensor are the same.
    Dead,
    /// Tensors that are missing, additional or of another shape.
    Shape,
    /// Weights that are one in a model and two in another.
    Tied,
    /// The same model twice, or an expert that is its base.
    Duplicate,
}

impl Kind {
    /// In one or two words.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Ancestor => "ancestor",
            Self::Vocabulary => "vocabulary",
            Self::NotFinite => "not finite",
            Self::Dead => "dead",
            Self::Shape => "shape",
            Self::Tied => "tied",
            Self::Duplicate => "duplicate",
        }
    }

    /// What a person can do about it.
    #[must_use]
    pub fn hint(self) -> &'static str {
        match self {
            Self::Ancestor => "merge only models that were fine-tuned from the same base; is this the right one?",
            Self::Vocabulary => {
                "`fusebench merge --vocab truncate, union or backbone` says what is done with the embeddings"
            }
            Self::NotFinite => "use another checkpoint; `fusebench merge --nan zero` merges around it",
            Self::Dead => "a part that was never trained, or was pruned: see that it is meant to be so",
            Self::Shape => "use models of one architecture and size",
            Self::Tied => "a merged head will be untied: larger, and not what the others were trained with",
            Self::Duplicate => "take it out: it only counts twice, or not at all",
        }
    }
}

/// Something wrong with a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Alarm {
    pub severity: Severity,
    pub kind: Kind,
    /// `base` or the expert's name; two names for what two models share.
    pub models: Vec<String>,
    /// The first tensors that it is about; all of them are counted in `text`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tensors: Vec<String>,
    /// One sentence that names the model.
    pub text: String,
}

/// Tensors that are named; the others are counted.
const NAMED: usize = 3;

impl Alarm {
    pub(super) fn new(severity: Severity, kind: Kind, models: &[&str], text: String) -> Self {
        let models = models.iter().map(|&name| name.to_owned()).collect();
        Self { severity, kind, models, tensors: Vec::new(), text }
    }

    pub(super) fn error(kind: Kind, model: &str, text: String) -> Self {
        Self::new(Severity::Error, kind, &[model], text)
    }

    pub(super) fn warning(kind: Kind, model: &str, text: String) -> Self {
        Self::new(Severity::Warning, kind, &[model], text)
    }

    /// About these tensors; `text` says how many there are: "in `a`, `b` and 3 more".
    pub(super) fn about(mut self, tensors: &[String]) -> Self {
        let named: Vec<String> = tensors.iter().take(NAMED).map(|name| format!("`{name}`")).collect();
        self.text.push_str(&format!(": {}", named.join(", ")));
        if tensors.len() > NAMED {
            self.text.push_str(&format!(" and {} more", tensors.len() - NAMED));
        }
        self.tensors = tensors.iter().take(NAMED).cloned().collect();
        self
    }
}

/// "1 tensor", "3 tensors".
pub(super) fn count(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}
