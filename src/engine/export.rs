//! A recipe's weights as a checkpoint on disk.

use super::calibration::{Source, Statistics};
use super::{EngineError, Job, Plan};
use crate::cancel::Cancel;
use crate::fusion::{Calibration, Context, Examples, Fused};
use crate::weights::write_safetensors;
use crate::zoo::Zoo;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// Fuses the job's recipe and writes the weights to `path` as safetensors, in the base's dtype, with the recipe and
/// the parents' fingerprints in the metadata.
///
/// # Errors
/// What fusing or writing reports; ensembles have no single set of weights.
pub fn write_checkpoint(zoo: &Arc<Zoo>, job: &Job, path: &Path, cancel: &Cancel) -> Result<(), EngineError> {
    let plan = Plan::new(zoo, job)?;
    let mut progress = |_, _| {};
    let mut context = Context::new(cancel, &mut progress);
    let statistics = match plan.method.needs.data {
        Examples::None => None,
        Examples::Inputs | Examples::Labelled => Some(Statistics::direct(Arc::clone(zoo) as Arc<dyn Source>)?),
    };
    context.data = statistics.as_ref().map(|statistics| statistics as &dyn Calibration);
    let weights = match plan.method.run(&plan.params, &plan.pool, &mut context)? {
        Fused::Linear(linear) => linear.materialise(&plan.pool, &mut context)?,
        Fused::Weights(weights) => weights,
        Fused::Ensemble(_) => return Err(EngineError::NoWeights { method: plan.method.name }),
    };
    let parents = plan.pool.base().map(|base| ("base", base)).into_iter();
    let experts = plan.pool.experts().iter().map(|(name, checkpoint)| (name.as_str(), checkpoint));
    let parents: BTreeMap<&str, &str> =
        parents.chain(experts).map(|(name, checkpoint)| (name, checkpoint.fingerprint())).collect();
    let metadata = BTreeMap::from([
        ("format".to_owned(), "pt".to_owned()),
        ("fusebench.recipe".to_owned(), serde_json::json!(job.recipe).to_string()),
        ("fusebench.parents".to_owned(), serde_json::json!(parents).to_string()),
    ]);
    Ok(write_safetensors(path, &weights, &metadata)?)
}
