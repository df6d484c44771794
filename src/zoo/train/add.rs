//! Further tasks for a zoo: the same base, which never saw them, and for each a head and an expert of its own. With these
//! experts left out of a recipe the tasks are *unseen* by everything that is merged.

use super::batch::Sets;
use super::folder::Folder;
use super::options::AddOptions;
use super::{TrainEvent, experts, heads};
use crate::cancel::Cancel;
use crate::zoo::{Judge, Scores, Zoo, ZooError};
use std::path::Path;

/// Makes a zoo in `out` that has all of `zoo` and the tasks of `data`, a folder with `data/tasks.json` and images as in
/// `assets/zoo`. Finished stages are kept, as in training. Returns the recorded scores: those of `zoo` and the new ones;
/// nothing is recorded on merges.
///
/// # Errors
/// Tasks that the zoo has already, missing or damaged data, images of another size than the zoo's, a folder that cannot be
/// written or is one of those that are read, weights that are no longer finite, cancellation.
pub fn add_tasks(
    zoo: &Zoo,
    data: &Path,
    out: &Path,
    options: &AddOptions,
    progress: &mut dyn FnMut(TrainEvent),
    cancel: &Cancel,
) -> Result<Scores, ZooError> {
    let folder = Folder::beside(zoo, data, out, options)?;
    let recipe = options.recipe(zoo);
    let sets = Sets::load(&folder)?;
    let base = folder.base()?;

    progress(TrainEvent::Stage { name: "heads".to_owned(), kept: folder.has_heads() });
    if !folder.has_heads() {
        let new = heads::make(&recipe, &base, &sets)?;
        let own = zoo.tasks().iter().filter_map(|task| Some((task, zoo.head(&task.id)?)));
        let ids: Vec<&str> = sets.tasks.iter().map(|task| task.id.as_str()).collect();
        let about = format!("{}: {}", ids.join(", "), heads::about(&recipe));
        let about = zoo.about_heads().map_or_else(|| about.clone(), |own| format!("{own}; {about}"));
        folder.write_heads(own.chain(sets.tasks.iter().zip(&new)), about)?;
    }
    let heads = folder.heads()?;
    experts(&recipe, &folder, &base, &sets, &heads, progress, cancel)?;

    progress(TrainEvent::Stage { name: "scores".to_owned(), kept: false });
    let mut scores = Scores { tasks: zoo.scores().tasks.clone(), seeds: Vec::new() };
    folder.write_scores(&scores)?;
    let both = Zoo::open(out)?;
    let own = Judge::new(&both, &both, cancel)?.with_tasks(sets.tasks).own_scores(progress)?;
    scores.tasks.extend(own);
    folder.write_scores(&scores)?;
    Ok(scores)
}
