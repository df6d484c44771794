//! What the routers of a mixture say, and how they would have to say it to make answers surer.

use super::compute::values;
use super::tracked::answers;
use super::work::Routed;
use crate::engine::EngineError;
use crate::models::clip_vit::MixedClipVit;
use crate::tasks::objective::entropy;
use crate::zoo::Head;
use burn::tensor::Tensor;

/// Whom the routers ask for images `[n, channels, side, side]`; with a head, the mean entropy of its answers and the slope
/// over the routers' numbers.
pub(super) fn routed(tower: &MixedClipVit, pixels: Tensor<4>, head: Option<&Head>) -> Result<Routed, EngineError> {
    let images = pixels.dims()[0];
    let routed = tower.features(pixels);
    let Some(head) = head else {
        let weights = values(routed.weights)?;
        return Ok(Routed { loss: 0.0, slopes: Vec::new(), weights, seen: Vec::new(), images });
    };
    let weights = values(routed.weights.detach())?;
    let seen = routed.seen.into_iter().map(|seen| seen.map_or(Ok(Vec::new()), |seen| values(seen.mean_dim(0))));
    let seen = seen.collect::<Result<_, _>>()?;
    let loss = entropy(answers(routed.features, head));
    let slopes = tower.router_gradients(&loss.backward())?;
    let loss = values(loss)?.first().copied().unwrap_or(f32::NAN);
    Ok(Routed { loss: f64::from(loss), slopes, weights, seen, images })
}
