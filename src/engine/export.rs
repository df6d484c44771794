//! A recipe's weights as checkpoints on disk.

use super::calibration::{Source, Statistics};
use super::{EngineError, Job, Lessons, Plan};
use crate::cancel::Cancel;
use crate::files::write_folder;
use crate::fusion::{Calibration, Context, Examples, Fused};
use crate::weights::{StateDict, WeightsError, write_safetensors};
use crate::zoo::Zoo;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// Fuses the job's recipe and writes the weights to `path` as safetensors, in the base's dtype, with the recipe and
/// the parents' fingerprints in the metadata.
///
/// What is in `lessons` is not learned again: these are the very weights that were evaluated.
///
/// Of a method with one model per task, `path` becomes a folder with a file for each expert, all of them or none.
///
/// # Errors
/// What fusing or writing reports; ensembles have no weights of their own; several models do not fit into one file.
pub fn write_checkpoint(
    zoo: &Arc<Zoo>,
    lessons: &Lessons,
    job: &Job,
    path: &Path,
    cancel: &Cancel,
) -> Result<(), EngineError> {
    let plan = Plan::new(zoo, job)?;
    if !plan.method.gives_weights() {
        return Err(EngineError::NoWeights { method: plan.method.name });
    }
    let mut progress = |_, _| {};
    let mut context = Context::new(cancel, &mut progress);
    let (lesson, own);
    let fused = if let Some(known) = lessons.recall(&plan) {
        lesson = known;
        &lesson.fused
    } else {
        own = fuse(&plan, zoo, cancel)?;
        &own
    };
    let write = |path: &Path, weights: &StateDict, metadata: &BTreeMap<String, String>| {
        Ok::<_, EngineError>(write_safetensors(path, weights, metadata)?)
    };
    let mut metadata = metadata(&plan, job);
    match fused {
        Fused::Linear(linear) => write(path, &linear.materialise(&plan.pool, &mut context)?, &metadata),
        Fused::Weights(weights) => write(path, weights, &metadata),
        // Corrections of features are not weights of the model.
        Fused::PerTask(models) if models.adapter(0).is_some() => {
            Err(EngineError::NoWeights { method: plan.method.name })
        }
        Fused::Ensemble(_) | Fused::Mixture(_) => Err(EngineError::NoWeights { method: plan.method.name }),
        Fused::PerTask(models) => {
            if path.extension().is_some_and(|extension| extension == "safetensors") {
                return Err(EngineError::SeveralModels { method: plan.method.name, path: path.to_owned() });
            }
            // The folder's own errors, apart from those of the models in it.
            let mut inside = None;
            let written = write_folder(path, |folder| {
                for (expert, (name, _)) in plan.pool.experts().iter().enumerate() {
                    metadata.insert("fusebench.task".to_owned(), name.clone());
                    let file = folder.join(format!("{name}.safetensors"));
                    let model = models.model(expert, &plan.pool, &mut context).map_err(EngineError::from);
                    if let Err(error) = model.and_then(|model| write(&file, &model, &metadata)) {
                        inside = Some(error);
                        return Err(io::ErrorKind::Other.into());
                    }
                }
                Ok(())
            });
            let outside = |source| WeightsError::Write { path: path.to_owned(), source }.into();
            written.map_err(|source| inside.unwrap_or_else(|| outside(source)))
        }
    }
}

fn fuse(plan: &Plan, zoo: &Arc<Zoo>, cancel: &Cancel) -> Result<Fused, EngineError> {
    let statistics = match plan.method.needs.data {
        Examples::None => None,
        Examples::Inputs | Examples::Labelled => Some(Statistics::direct(Arc::clone(zoo) as Arc<dyn Source>)?),
    };
    let mut silent = |_, _| {};
    let mut within = Context::new(cancel, &mut silent);
    within.data = statistics.as_ref().map(|statistics| statistics as &dyn Calibration);
    Ok(plan.method.run(&plan.params, &plan.pool, &mut within)?)
}

fn metadata(plan: &Plan, job: &Job) -> BTreeMap<String, String> {
    let parents = plan.pool.base().map(|base| ("base", base)).into_iter();
    let experts = plan.pool.experts().iter().map(|(name, checkpoint)| (name.as_str(), checkpoint));
    let parents: BTreeMap<&str, &str> =
        parents.chain(experts).map(|(name, checkpoint)| (name, checkpoint.fingerprint())).collect();
    BTreeMap::from([
        ("format".to_owned(), "pt".to_owned()),
        ("fusebench.recipe".to_owned(), serde_json::json!(job.recipe).to_string()),
        ("fusebench.parents".to_owned(), serde_json::json!(parents).to_string()),
    ])
}
