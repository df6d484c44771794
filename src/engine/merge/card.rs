//! What lies beside the weights: configuration and tokenizer of a parent, the index of shards, the model card.

use super::config;
use super::provenance::Provenance;
use super::tokenizer::FILES;
use super::{Inputs, MergeJob, MergePlan};
use crate::fusion::PER_TASK;
use serde_json::{Value as Json, json};
use std::collections::HashSet;
use std::fmt::Write;
use std::fs;
use std::path::Path;

/// Files of a Hugging Face folder that belong to a model whatever its weights, beside those of its tokenizer.
const COPIED: &[&str] = &[
    "config.json",
    "generation_config.json",
    "chat_template.jinja",
    "chat_template.json",
    "preprocessor_config.json",
    "processor_config.json",
    "image_processor_config.json",
];

/// Names and contents of all files beside the weights.
pub(super) fn beside(
    job: &MergeJob,
    inputs: &Inputs,
    provenance: &Provenance,
    plan: &MergePlan,
    out: &Path,
) -> Vec<(String, Vec<u8>)> {
    let beside = &inputs.beside;
    let mut files = Vec::new();
    for name in COPIED.iter().chain(FILES) {
        let tokenizer = beside.tokenizer.as_ref().filter(|_| FILES.contains(name));
        let found = match beside.replaced.iter().find(|(replaced, _)| replaced == name) {
            Some((_, replaced)) => replaced.clone(),
            None => tokenizer.or(beside.like.as_ref()).and_then(|folder| fs::read(folder.join(name)).ok()),
        };
        let found = match (*name, &beside.chat_template) {
            ("chat_template.jinja", Some(template)) => Some(template.clone().into_bytes()),
            // One place for it: a template in the configuration would be read instead by some versions.
            ("tokenizer_config.json", Some(_)) => found.map(without_template),
            _ => found,
        };
        let Some(bytes) = found else { continue };
        let bytes = if *name == "config.json" { config::changed(bytes, job.dtype, plan, beside) } else { bytes };
        files.push(((*name).to_owned(), bytes));
    }
    if let Some(index) = plan.layout.index() {
        files.push(("model.safetensors.index.json".to_owned(), index.into_bytes()));
    }
    let title = out.file_name().map_or_else(|| "Merged model".into(), |name| name.to_string_lossy());
    files.push(("README.md".to_owned(), card(job, provenance, &title).into_bytes()));
    files
}

/// A tokenizer's configuration without a chat template.
fn without_template(bytes: Vec<u8>) -> Vec<u8> {
    let Ok(Json::Object(mut config)) = serde_json::from_slice::<Json>(&bytes) else { return bytes };
    match config.shift_remove("chat_template") {
        Some(_) => format!("{:#}\n", Json::Object(config)).into_bytes(),
        None => bytes,
    }
}

fn card(job: &MergeJob, provenance: &Provenance, title: &str) -> String {
    let method = job.method;
    let mut text = "---\nbase_model:\n".to_owned();
    let mut listed = HashSet::new();
    for place in provenance.parents.iter().flat_map(|parent| parent.from.split('+')) {
        // The hub knows ids, not commits.
        let id = if place.starts_with('/') { place } else { place.split('@').next().unwrap_or(place) };
        if listed.insert(id) {
            let _ = writeln!(text, "- {}", json!(id));
        }
    }
    text.push_str(
        "base_model_relation: merge\nlibrary_name: transformers\ntags:\n- merge\n- model-fusion\n- fusebench\n---\n",
    );
    let (reference, formula, summary) = match job.document.as_ref().and_then(|document| document.mixture) {
        Some(_) => (
            "arXiv:2212.05055",
            "y = x + Σ_{e in top k} softmax(R·x)ₑ · FFNₑ(x)",
            "The models' feed-forward networks side by side as experts, everything else from the base. The routers R are \
             not trained yet.",
        ),
        None => (method.reference, method.formula, method.summary),
    };
    let _ = write!(
        text,
        "# {title}\n\nMade with [fusebench](https://crates.io/crates/fusebench) {}: **{}**, {}\n\n    {}\n\n{}\n",
        env!("CARGO_PKG_VERSION"),
        job.title(),
        if reference.is_empty() { "a standard method" } else { reference },
        formula,
        summary,
    );
    if let Some(task) = &job.task {
        let _ = write!(text, "\nThis is the model of `{task}`; {PER_TASK}.\n");
    }
    text.push_str("\n## Models\n\n| model | from | fingerprint |\n| --- | --- | --- |\n");
    for parent in &provenance.parents {
        let cell = |text: &str| text.replace('|', "\\|");
        let _ = writeln!(text, "| {} | {} | `{}` |", cell(&parent.name), cell(&parent.from), parent.fingerprint);
    }
    text.push_str("\n## Recipe\n\n```toml\n");
    if let Some(document) = &job.document {
        text.push_str(&document.to_toml());
    } else {
        let _ = writeln!(text, "[method]\nid = \"{}\"\n\n[method.params]", method.id);
        text.push_str(&toml::to_string(&job.params).unwrap_or_default());
    }
    text.push_str("```\n");
    if let Some(dtype) = &provenance.recipe.dtype {
        let _ = writeln!(text, "\nComputed in f32, rounded once to {dtype}.");
    }
    text.push_str(
        "\nThe safetensors metadata holds recipe and parents; `fusebench reproduce FOLDER` makes it again and compares.\n",
    );
    text
}
