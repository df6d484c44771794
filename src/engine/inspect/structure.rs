//! What names, shapes and files say before a value is read: who fits together, and what does not.

use super::alarms::{Alarm, Kind, Severity, count};
use super::facts;
use super::vocabulary::Changes;
use crate::engine::merge::{Vocabulary, is_table};
use crate::weights::{Checkpoint, Tie, Tied, ties};
use std::collections::HashSet;
use std::path::Path;

/// Which experts can be compared with the base, and on which of its tensors.
pub(super) struct Fit {
    /// Indices of experts that share at least half of the base's parameters.
    pub experts: Vec<usize>,
    /// Tensors that the base and all of those have in one shape and kind, in the base's order.
    pub common: Vec<String>,
    pub alarms: Vec<Alarm>,
}

/// Compares names, shapes and kinds.
pub(super) fn fit(base: &Checkpoint, experts: &[(String, Checkpoint)]) -> Fit {
    let all: usize = base.tensors().iter().map(|info| info.len()).sum();
    let (mut alarms, mut fitting, mut shared) = (Vec::new(), Vec::new(), Vec::<HashSet<&str>>::new());
    for (at, (name, expert)) in experts.iter().enumerate() {
        let (mut missing, mut shapes, mut tokens, mut kinds) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let (mut same, mut parameters) = (HashSet::new(), 0);
        for info in base.tensors() {
            let Some(other) = expert.get(&info.name).map(|tensor| tensor.info) else {
                missing.push(info.name.clone());
                continue;
            };
            let by_token = is_table(&info.name) && info.shape.len() == 2 && info.shape.get(1) == other.shape.get(1);
            if other.shape != info.shape {
                let list = if by_token { &mut tokens } else { &mut shapes };
                list.push((info.name.clone(), info.shape.clone(), other.shape.clone()));
            } else if other.dtype.is_float() != info.dtype.is_float() {
                kinds.push(info.name.clone());
            } else {
                same.insert(info.name.as_str());
                parameters += info.len();
            }
        }
        let extra = expert.tensors().iter().filter(|info| base.get(&info.name).is_none()).map(|info| info.name.clone());
        let extra: Vec<String> = extra.collect();
        let mut alarm = |kind: Kind, text: String, names: &[String]| {
            if !names.is_empty() {
                alarms.push(
                    Alarm::error(kind, name, format!("{name}: {} {text}", count(names.len(), "tensor"))).about(names),
                );
            }
        };
        alarm(Kind::Shape, "of the base missing".to_owned(), &missing);
        alarm(Kind::Shape, "that the base does not have".to_owned(), &extra);
        alarm(Kind::Shape, "that are numbers in one and a buffer in the other".to_owned(), &kinds);
        let names =
            |list: &[(String, Vec<usize>, Vec<usize>)]| list.iter().map(|(name, ..)| name.clone()).collect::<Vec<_>>();
        let example = |list: &[(String, Vec<usize>, Vec<usize>)]| {
            list.first()
                .map_or_else(String::new, |(_, base, own)| format!("of another shape ({own:?}, the base {base:?})"))
        };
        alarm(Kind::Shape, example(&shapes), &names(&shapes));
        if let Some((_, theirs, own)) = tokens.first() {
            let rows = |shape: &[usize]| shape.first().copied().unwrap_or(0);
            let text = format!("{name}: embeddings of {} tokens, the base has {}", rows(own), rows(theirs));
            alarms.push(Alarm::error(Kind::Vocabulary, name, text).about(&names(&tokens)));
        }
        if 2 * parameters >= all && !same.is_empty() {
            fitting.push(at);
            shared.push(same);
        }
    }
    let common = base.tensors().iter().map(|info| info.name.as_str());
    let common = common.filter(|name| shared.iter().all(|shared| shared.contains(name))).map(str::to_owned).collect();
    Fit { experts: fitting, common, alarms }
}

/// Compares tokenizers and vocabulary sizes of the folders that two models lie in.
pub(super) fn vocabularies(base: Option<&Path>, experts: &[(&str, Option<&Path>)]) -> Vec<Alarm> {
    let Some(folder) = base else { return Vec::new() };
    let size = |folder: &Path| {
        let facts = facts::config(folder).into_iter();
        facts.filter(|fact| fact.key.ends_with("vocab_size")).map(|fact| (fact.key, fact.value)).collect::<Vec<_>>()
    };
    // A tokenizer that cannot be read is a matter for who uses it.
    let tokens = |folder: &Path| Vocabulary::read(folder).ok().flatten();
    let (own, own_size) = (tokens(folder), size(folder));
    let mut alarms = Vec::new();
    for (name, expert) in experts.iter().filter_map(|(name, expert)| Some((*name, (*expert)?))) {
        if expert == folder {
            continue;
        }
        if let (Some(base), Some(expert)) = (&own, tokens(expert)) {
            let changes = Changes::between(base, &expert);
            if changes.moved > 0 {
                let text = format!("{name}: {} with other numbers than in the base", count(changes.moved, "token"));
                alarms.push(Alarm::error(Kind::Vocabulary, name, text));
            } else if changes.added + changes.missing > 0 {
                let (added, missing, all) = (changes.added, changes.missing, base.ids.len());
                let text = format!("{name}: {added} tokens added to the base's {all}, {missing} missing");
                alarms.push(Alarm::warning(Kind::Vocabulary, name, text));
            }
        }
        let other = size(expert);
        if let Some(((key, ours), (_, theirs))) = own_size.iter().zip(&other).find(|((a, x), (b, y))| a == b && x != y)
        {
            let text = format!("{name}: {key} is {theirs} in its configuration, {ours} in the base's");
            alarms.push(Alarm::warning(Kind::Vocabulary, name, text));
        }
    }
    alarms
}

/// Weights that are tied in one model and not in another, or not as the configuration says.
pub(super) fn tied(base: &Checkpoint, experts: &[(String, Checkpoint)]) -> Vec<Alarm> {
    let of_base = ties(base);
    let state = |ties: &[Tie], weight: &str| ties.iter().find(|tie| tie.weight == weight).map(|tie| tie.state);
    let mut alarms = Vec::new();
    let mut alarm = |models: &[&str], tie: &Tie, text: String| {
        let mut alarm = Alarm::new(Severity::Warning, Kind::Tied, models, text);
        alarm.tensors = vec![tie.weight.clone()];
        alarms.push(alarm);
    };
    for (name, expert) in std::iter::once(("base", base)).chain(experts.iter().map(|(n, e)| (n.as_str(), e))) {
        for tie in ties(expert) {
            let (weight, partner) = (&tie.weight, &tie.partner);
            let in_base = state(&of_base, weight);
            if tie.state == Tied::Untied && expert.ties_embeddings() {
                let text =
                    format!("{name}: `{weight}` is not `{partner}`, but its configuration says that they are tied");
                alarm(&[name], &tie, text);
            } else if tie.state == Tied::Untied && in_base != Some(Tied::Untied) && base.get(partner).is_some() {
                alarm(&[name, "base"], &tie, format!("{name}: `{weight}` came untied: in the base it is `{partner}`"));
            } else if tie.state != Tied::Untied && in_base == Some(Tied::Untied) {
                alarm(
                    &[name, "base"],
                    &tie,
                    format!("{name}: `{weight}` is tied to `{partner}`, in the base it is not"),
                );
            }
        }
    }
    alarms
}
