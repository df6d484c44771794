//! What WEMoE and its efficient form have in common: the experts' own parts of blocks, whole or pruned, behind routers that
//! look at an image.

use super::experts::{Experts, Reach, dense};
use super::routing::{Widths, first_routers, train};
use super::spectral::Dense;
use crate::fusion::options::routing;
use crate::fusion::{Context, FusionError, Matrix, Method, Mixture, Pool, Unit};

/// Experts and routers.
pub(in crate::fusion) struct WeightEnsembling<'a> {
    /// `mlp`, or `both` for attention too.
    pub parts: &'a str,
    /// Share of every change's smallest entries that is dropped, tensor by tensor.
    pub prune: f64,
    /// Whether all places ask the same router.
    pub shared: bool,
    pub router_layers: usize,
}

impl WeightEnsembling<'_> {
    /// The mixture, its routers trained.
    ///
    /// # Errors
    /// As [`Experts::upscale`] and [`train`].
    pub(in crate::fusion) fn train(
        &self,
        method: &Method,
        routing: &routing::Params,
        pool: &Pool,
        cx: &mut Context<'_>,
    ) -> Result<Mixture, FusionError> {
        let kept = |delta: &Dense| largest(dense(delta), self.prune);
        let experts = Experts {
            method: method.name,
            lambda: routing.init,
            reach: if self.parts == "mlp" { Reach::FeedForward } else { Reach::Blocks },
            unit: Unit::Expert,
            biases: true,
            shared: self.shared,
            keep: &|_, delta| Ok(Matrix::Dense(kept(delta))),
            keep_bias: &kept,
        };
        let body = experts.upscale(pool, cx)?;
        let routers = first_routers(&body, self.router_layers, routing, |place| {
            let width = place.layers[0].inputs;
            Widths { input: width, hidden: width, answer: body.experts.len() }
        });
        train(method, &body, &routers, routing, pool, cx)
    }
}

/// Zeros where magnitudes are not above their `share`-quantile, interpolated between neighbours as PyTorch does.
fn largest(mut values: Vec<f32>, share: f64) -> Vec<f32> {
    if values.is_empty() || share <= 0.0 {
        return values;
    }
    let mut sizes: Vec<f32> = values.iter().map(|x| x.abs()).collect();
    sizes.sort_unstable_by(f32::total_cmp);
    let at = share.min(1.0) * (sizes.len() - 1) as f64;
    let (low, high) = (sizes[at.floor() as usize], sizes[at.ceil() as usize]);
    let threshold = low + (high - low) * at.fract() as f32;
    values.iter_mut().filter(|x| x.abs() <= threshold).for_each(|x| *x = 0.0);
    values
}

#[cfg(test)]
mod tests {
    use super::largest;

    #[test]
    fn only_what_is_above_the_quantile_is_kept() {
        assert_eq!(largest(vec![1.0, -4.0, 2.0, 3.0, -5.0], 0.5), [0.0, -4.0, 0.0, 0.0, -5.0]);
        // Between the third and the fourth: 3.4.
        assert_eq!(largest(vec![1.0, -4.0, 2.0, 3.0, -5.0], 0.6), [0.0, -4.0, 0.0, 0.0, -5.0]);
        assert_eq!(largest(vec![1.0, -4.0], 0.0), [1.0, -4.0]);
        assert_eq!(largest(vec![1.0, 1.0, 1.0], 0.9), [0.0; 3]);
    }
}
