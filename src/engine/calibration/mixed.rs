//! What the routers of a mixture say, and how they would have to say it to make answers surer.

use super::Source;
use super::answers::{answers, telling};
use super::compute::{number, values};
use super::source::input;
use super::two_way::Passages;
use super::work::{Batch, Routed};
use crate::cancel::Cancel;
use crate::engine::EngineError;
use crate::models::clip_vit::{HostMixture, MixedClipVit};
use crate::tasks::objective::entropy;
use crate::zoo::Head;
use burn::tensor::Tensor;

/// Whom the routers ask for images `[n, channels, side, side]`; with a head, the mean entropy of its answers and the slope
/// over the routers' numbers.
pub(super) fn routed(tower: &MixedClipVit, pixels: Tensor<4>, head: Option<&Head>) -> Result<Routed, EngineError> {
    let images = pixels.dims()[0];
    let Some(head) = head else {
        let weights = values(tower.asked(pixels))?;
        return Ok(Routed { loss: 0.0, information: 0.0, slopes: Vec::new(), weights, seen: Vec::new(), images });
    };
    let routed = tower.features(pixels);
    let weights = values(routed.weights.detach())?;
    let seen = routed.seen.into_iter().map(|seen| seen.map_or(Ok(Vec::new()), |seen| values(seen.mean_dim(0))));
    let seen = seen.collect::<Result<_, _>>()?;
    let mut told = None;
    let loss = telling(&mut told, entropy)(answers(routed.features, head))?;
    let information = told.map_or(Ok(0.0), number)?;
    let slopes = tower.router_gradients(&loss.backward())?;
    Ok(Routed { loss: number(loss)?, information, slopes, weights, seen, images })
}

/// The same for a batch on the CPU, by hand.
pub(super) fn routed_on_host(
    tower: &HostMixture,
    source: &dyn Source,
    batch: &Batch,
    slopes: bool,
    cancel: &Cancel,
) -> Result<Routed, EngineError> {
    let images = batch.indices.len();
    if !slopes {
        let input = input(source);
        let pixels = source.pixels(&batch.task, batch.shown, &batch.indices)?;
        let weights = tower.asked(&pixels, [input.channels, input.side, input.side]);
        return Ok(Routed { loss: 0.0, information: 0.0, slopes: Vec::new(), weights, seen: Vec::new(), images });
    }
    let passages = Passages::new(tower, source, batch, &batch.indices, cancel)?;
    let weights = passages.all().iter().flat_map(|passage| &passage.routed().weights).copied().collect();
    let seen = tower.seen(passages.all());
    let mut slopes = tower.zero();
    let mut told = None;
    let loss = passages.back(source.head(&batch.task)?, telling(&mut told, entropy), &mut slopes)?;
    let information = told.map_or(Ok(0.0), number)?;
    Ok(Routed { loss: number(loss)?, information, slopes, weights, seen, images })
}
