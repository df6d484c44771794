//! How the zoo is made: a base trained on all tasks at once, frozen heads that fit it badly, and one expert a task.
//!
//! | file | what |
//! |---|---|
//! | `options` | everything that decides the result |
//! | `batch` | drawing and augmenting training images |
//! | `fit` | the optimiser loop |
//! | `base`, `expert` | what is optimised |
//! | `heads` | prototypes of classes, pushed off by noise |
//! | `add` | further tasks for a zoo that is there |
//! | `folder` | the files, and what of them is finished |
//!
//! The stages are: base, heads, every expert, scores. A finished stage is kept on disk, so that training again with
//! the same options goes on at the first unfinished one; a stage that was interrupted starts from its own beginning.
//! Every draw depends only on seed, stage and step. `assets/zoo/README.md` says why the recipe is as it is.

mod add;
mod base;
mod batch;
mod expert;
mod fit;
mod folder;
mod heads;
mod options;

pub use add::add_tasks;
pub use options::{AddOptions, TrainOptions};

use super::scores::{Scores, SeedScores};
use super::{Head, Judge, Zoo, ZooError, judge as judging};
use crate::cancel::Cancel;
use crate::weights::StateDict;
use folder::Folder;
use options::Recipe;
use std::path::Path;

/// What training has to say.
#[derive(Debug, Clone, PartialEq)]
pub enum TrainEvent {
    /// A stage begins, `base`, `heads`, an expert's task or `scores`; `kept` when it was finished before.
    Stage { name: String, kept: bool },
    /// A smoothed training loss, in nats.
    Step { stage: String, step: usize, steps: usize, loss: f64 },
    /// An accuracy on validation, as a share of 1.
    Accuracy { model: String, task: String, accuracy: f64 },
}

/// Trains a zoo into `out` and one of each further seed into `out/seeds`, so that the scores tell how much chance there
/// is in them. Returns the recorded scores, those of `out` with the accuracies of every seed.
///
/// # Errors
/// Those of one training.
pub fn train_seeds(
    data: &Path,
    out: &Path,
    options: &TrainOptions,
    further: &[u64],
    progress: &mut dyn FnMut(TrainEvent),
    cancel: &Cancel,
) -> Result<Scores, ZooError> {
    let mut scores = train(data, out, options, progress, cancel)?;
    for &seed in further {
        let options = TrainOptions { seed, ..options.clone() };
        let one = train(data, &out.join("seeds").join(seed.to_string()), &options, progress, cancel)?;
        scores.seeds.extend(one.seeds);
    }
    Folder::open(data, out, &options.into())?.write_scores(&scores)?;
    Ok(scores)
}

/// Trains a zoo into `out`, which gets everything that `assets/zoo` has but the training data; data are read from `data`, a
/// zoo's folder. Returns the recorded scores.
///
/// # Errors
/// Missing or damaged data, a folder that cannot be written, weights that are no longer finite, cancellation.
fn train(
    data: &Path,
    out: &Path,
    options: &TrainOptions,
    progress: &mut dyn FnMut(TrainEvent),
    cancel: &Cancel,
) -> Result<Scores, ZooError> {
    let recipe = Recipe::from(options);
    let folder = Folder::open(data, out, &recipe)?;
    let sets = batch::Sets::load(&folder)?;

    progress(TrainEvent::Stage { name: "base".to_owned(), kept: folder.has_base() });
    if !folder.has_base() {
        let weights = base::train(&recipe, &sets, progress, cancel)?;
        folder.write_base(&weights)?;
    }
    // As it is on disk, rounded to f16: experts start from exactly the base that is shipped.
    let base = folder.base()?;

    progress(TrainEvent::Stage { name: "heads".to_owned(), kept: folder.has_heads() });
    if !folder.has_heads() {
        let heads = heads::make(&recipe, &base, &sets)?;
        folder.write_heads(sets.tasks.iter().zip(&heads), heads::about(&recipe))?;
    }
    let heads = folder.heads()?;
    experts(&recipe, &folder, &base, &sets, &heads, progress, cancel)?;

    progress(TrainEvent::Stage { name: "scores".to_owned(), kept: false });
    folder.write_scores(&Scores::default())?;
    let zoo = Zoo::open(out)?;
    let images = Zoo::data_only(data)?;
    let mut judge = Judge::new(&zoo, &images, cancel)?;
    let tasks = judge.own_scores(progress)?;
    let merging = judge.merges(progress)?;
    let mean = |pick: fn(&super::TaskScores) -> super::Accuracy| judging::mean(tasks.values().map(pick));
    let (base, experts) = (mean(|task| task.base), mean(|task| task.expert));
    let seeds = vec![SeedScores { seed: options.seed, base, experts, merging }];
    let scores = Scores { tasks, seeds };
    folder.write_scores(&scores)?;
    Ok(scores)
}

/// The experts that are not there yet.
fn experts(
    recipe: &Recipe,
    folder: &Folder,
    base: &StateDict,
    sets: &batch::Sets,
    heads: &[Head],
    progress: &mut dyn FnMut(TrainEvent),
    cancel: &Cancel,
) -> Result<(), ZooError> {
    for (at, (task, head)) in sets.tasks.iter().zip(heads).enumerate() {
        let kept = folder.has_expert(task);
        progress(TrainEvent::Stage { name: task.id.clone(), kept });
        if !kept {
            let weights = expert::train(recipe, base, head, sets, at, progress, cancel)?;
            folder.write_expert(task, &weights)?;
        }
    }
    Ok(())
}
