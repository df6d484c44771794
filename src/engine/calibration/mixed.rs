//! What the routers of a mixture say, and how they would have to say it to make answers surer.

use super::Source;
use super::compute::values;
use super::source::input;
use super::tracked::{answers, over_features};
use super::work::{Batch, Routed};
use crate::cancel::Cancel;
use crate::engine::EngineError;
use crate::models::clip_vit::{HostMixture, HostRouted, MixedClipVit};
use crate::tasks::objective::entropy;
use crate::zoo::Head;
use burn::tensor::Tensor;

/// Whom the routers ask for images `[n, channels, side, side]`; with a head, the mean entropy of its answers and the slope
/// over the routers' numbers.
pub(super) fn routed(tower: &MixedClipVit, pixels: Tensor<4>, head: Option<&Head>) -> Result<Routed, EngineError> {
    let images = pixels.dims()[0];
    let Some(head) = head else {
        let weights = values(tower.asked(pixels))?;
        return Ok(Routed { loss: 0.0, slopes: Vec::new(), weights, seen: Vec::new(), images });
    };
    let routed = tower.features(pixels);
    let weights = values(routed.weights.detach())?;
    let seen = routed.seen.into_iter().map(|seen| seen.map_or(Ok(Vec::new()), |seen| values(seen.mean_dim(0))));
    let seen = seen.collect::<Result<_, _>>()?;
    let loss = entropy(answers(routed.features, head));
    let slopes = tower.router_gradients(&loss.backward())?;
    let loss = values(loss)?.first().copied().unwrap_or(f32::NAN);
    Ok(Routed { loss: f64::from(loss), slopes, weights, seen, images })
}

/// The same for a batch on the CPU, by hand: burn follows the entropy back to the features, from where the tower goes on.
pub(super) fn routed_on_host(
    tower: &HostMixture,
    source: &dyn Source,
    batch: &Batch,
    slopes: bool,
    cancel: &Cancel,
) -> Result<Routed, EngineError> {
    let (input, images) = (input(source), batch.indices.len());
    let shape = [input.channels, input.side, input.side];
    let pixels = source.pixels(&batch.task, batch.shown, &batch.indices)?;
    if !slopes {
        let weights = tower.asked(&pixels, shape);
        return Ok(Routed { loss: 0.0, slopes: Vec::new(), weights, seen: Vec::new(), images });
    }
    let mut passages = Vec::new();
    for pixels in pixels.chunks(tower.images() * shape.iter().product::<usize>()) {
        cancel.check()?;
        passages.push(tower.pass(pixels, shape));
    }
    let all =
        |of: fn(&HostRouted) -> &[f32]| passages.iter().flat_map(|passage| of(passage.routed())).copied().collect();
    let (features, weights): (Vec<f32>, Vec<f32>) = (all(|routed| &routed.features), all(|routed| &routed.weights));
    let seen = tower.seen(&passages);
    let (loss, over) = over_features(features, images, source.head(&batch.task)?, |logits| Ok(entropy(logits)))?;
    let (mut over, mut slopes) = (over.as_slice(), tower.zero());
    for passage in passages {
        cancel.check()?;
        let (own, others) = over.split_at(passage.routed().features.len());
        tower.back(passage, own, &mut slopes);
        over = others;
    }
    let loss = values(loss)?.first().copied().unwrap_or(f32::NAN);
    Ok(Routed { loss: f64::from(loss), slopes, weights, seen, images })
}
