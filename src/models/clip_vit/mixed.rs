//! A tower in which some linear layers have experts behind routers: runs a [`Mixture`] on every device, and under autodiff.

mod branch;
mod gate;
#[cfg(test)]
pub(in crate::models::clip_vit) mod tests;

use super::forward::{Run, Weights};
use super::linear::Part;
use super::{ClipVit, ClipVitConfig};
use crate::fusion::{Mixture, Router};
use crate::models::ModelError;
use branch::Branch;
use burn::tensor::module::linear;
use burn::tensor::{Device, Gradients, Tensor};
use gate::{Gate, Gates};
use std::collections::HashMap;
use std::sync::Arc;

/// A CLIP vision tower with experts. Routes every image, or every token of it, by itself: what an image is answered does
/// not depend on the others of its batch.
#[derive(Debug)]
pub struct MixedClipVit {
    fixed: Arc<Fixed>,
    gates: Vec<Gate>,
}

/// All but the routers.
#[derive(Debug)]
struct Fixed {
    network: ClipVit,
    places: Vec<Place>,
    /// Which place, and which of its layers, a linear layer is.
    mixed: HashMap<Part, (usize, usize)>,
    experts: usize,
}

#[derive(Debug)]
struct Place {
    /// Which of the routers.
    gate: usize,
    branches: Vec<Branch>,
}

/// What a tower with experts gives for images.
#[derive(Debug)]
pub struct Routed {
    /// `[n, feature_dim]`
    pub features: Tensor<2>,
    /// What each expert weighed for each image, `[n, place · expert]`; means over tokens where routers look at tokens.
    pub weights: Tensor<2>,
    /// The means, over tokens, of what the router of each place looks at, `[n, inputs]`; nothing for places whose router
    /// looks token by token.
    pub seen: Vec<Option<Tensor<2>>>,
}

impl MixedClipVit {
    /// # Errors
    /// A mixture of another network.
    pub fn new(config: &ClipVitConfig, mixture: &Mixture, device: &Device) -> Result<Self, ModelError> {
        use burn::module::Module;
        let mut network = ClipVit::new(config, device)?;
        network.load(&mixture.body.backbone)?;
        let parts: HashMap<String, Part> = network.parts().into_iter().map(|part| (part.weight(), part)).collect();
        let (mut places, mut mixed) = (Vec::new(), HashMap::new());
        for (at, place) in mixture.body.places.iter().enumerate() {
            let mut branches = Vec::with_capacity(place.layers.len());
            for (layer, linear) in place.layers.iter().enumerate() {
                let name = linear.weight.strip_prefix("vision_model.").unwrap_or(&linear.weight);
                let Some(part) = parts.get(name) else {
                    let (tensor, layers) = (linear.weight.clone(), config.num_hidden_layers);
                    return Err(ModelError::UnknownTensor { tensor, model: "CLIP vision tower", layers });
                };
                mixed.insert(*part, (at, layer));
                branches.push(Branch::new(linear, place.unit, device));
            }
            places.push(Place { gate: place.router, branches });
        }
        // Only routers are ever trained.
        let fixed = Fixed { network: network.no_grad(), places, mixed, experts: mixture.body.experts.len() };
        Ok(Self { fixed: Arc::new(fixed), gates: gates(&mixture.routers, device) })
    }

    /// The same tower behind these routers: with leaves of the graph of its own, and sharing everything else.
    #[must_use]
    pub fn with_routers(&self, routers: &[Router]) -> Self {
        Self { fixed: Arc::clone(&self.fixed), gates: gates(routers, &self.network().device()) }
    }

    #[must_use]
    pub fn experts(&self) -> usize {
        self.fixed.experts
    }

    #[must_use]
    pub fn network(&self) -> &ClipVit {
        &self.fixed.network
    }

    /// The slopes over the routers' numbers, a router each, in the order of
    /// [`Perceptron::numbers`](crate::fusion::Perceptron::numbers).
    ///
    /// # Errors
    /// When the device fails.
    pub fn router_gradients(&self, gradients: &Gradients) -> Result<Vec<Vec<f32>>, ModelError> {
        let read = |tensor: Tensor<2>| {
            let failed = |reason: String| ModelError::Device { tensor: "router".to_owned(), reason };
            let data = tensor.try_into_data().map_err(|error| failed(format!("{error:?}")))?;
            data.try_into_vec::<f32>().map_err(|error| failed(format!("{error:?}")))
        };
        let of = |gate: &Gate| {
            let parts: Vec<Vec<f32>> = gate.gradients(gradients).into_iter().map(read).collect::<Result<_, _>>()?;
            Ok(parts.concat())
        };
        self.gates.iter().map(of).collect()
    }

    /// Features of images, `[n, channels, height, width]`, and who was asked for them.
    #[must_use]
    pub fn features(&self, pixels: Tensor<4>) -> Routed {
        self.run(pixels, false)
    }

    /// Whom the routers ask for images, `[n, place · expert]`, all tokens of the last block counting too, although only the class
    /// token leaves it.
    #[must_use]
    pub fn asked(&self, pixels: Tensor<4>) -> Tensor<2> {
        self.run(pixels, true).weights
    }

    fn run(&self, pixels: Tensor<4>, whole: bool) -> Routed {
        let n = pixels.dims()[0];
        let mut pass = self.pass(Some(&pixels));
        let network = self.network();
        let mut tokens = network.embed(pixels);
        let last = network.config().num_hidden_layers - 1;
        for layer in 0..last {
            tokens = network.block(layer, tokens.clone(), tokens, &mut pass);
        }
        // Routers that look at whole images need all of their tokens, though only the class token is looked at then.
        let class = if whole || self.sees_all_tokens(last) { tokens.clone() } else { tokens.clone().narrow(1, 0, 1) };
        let pooled = network.pool(network.block(last, class, tokens, &mut pass));
        let features = match network.projection() {
            Some(weight) => {
                let width = pooled.dims()[1];
                let features = pass.dense(Part::Projection, pooled.reshape([n, 1, width]), (weight, None));
                let width = features.dims()[2];
                features.reshape([n, width])
            }
            None => pooled,
        };
        let weights = pass.gates.into_iter().map(|gates| match gates {
            Some(gates) => gates.of_images(n, self.experts()),
            None => Tensor::zeros([n, self.experts()], &network.device()),
        });
        let weights: Vec<Tensor<2>> = weights.collect();
        let weights =
            if weights.is_empty() { Tensor::zeros([n, 0], &network.device()) } else { Tensor::cat(weights, 1) };
        Routed { features, weights, seen: pass.seen }
    }

    /// The last block's output for all tokens, `[n, tokens, hidden]`.
    #[must_use]
    pub fn last_hidden_state(&self, pixels: Tensor<4>) -> Tensor<3> {
        let mut pass = self.pass(Some(&pixels));
        let network = self.network();
        let mut tokens = network.embed(pixels);
        for layer in 0..network.config().num_hidden_layers {
            tokens = network.block(layer, tokens.clone(), tokens, &mut pass);
        }
        tokens
    }

    /// One mixed layer by itself: `[n, tokens, inputs]` → `[n, tokens, outputs]`. Nothing if it is not mixed.
    #[must_use]
    pub fn layer(&self, part: Part, input: Tensor<3>) -> Option<Tensor<3>> {
        self.fixed.mixed.get(&part)?;
        let weights = self.network().part(part)?;
        Some(self.pass(None).dense(part, input, weights))
    }

    /// A block's feed-forward network by itself: `[n, tokens, hidden]` → the same.
    #[must_use]
    pub fn feed_forward(&self, layer: usize, input: Tensor<3>) -> Tensor<3> {
        self.network().feed_forward(layer, input, &mut self.pass(None))
    }

    /// A way through the tower: of these images, or of whatever some part of it is given.
    fn pass(&self, pixels: Option<&Tensor<4>>) -> Pass<'_> {
        let wanted = self.gates.iter().any(Gate::sees_features);
        let features = pixels.filter(|_| wanted).map(|pixels| {
            let features = self.network().differentiable_features(pixels.clone());
            let [n, width] = features.dims();
            features.reshape([n, 1, width])
        });
        let places = self.fixed.places.len();
        Pass { tower: self, features, gates: (0..places).map(|_| None).collect(), seen: vec![None; places] }
    }

    fn sees_all_tokens(&self, layer: usize) -> bool {
        let parts = [Part::Query, Part::Key, Part::Value, Part::Out, Part::Fc1, Part::Fc2];
        let mut mixed = parts.into_iter().filter_map(|part: fn(usize) -> Part| self.fixed.mixed.get(&part(layer)));
        mixed.any(|(place, _)| self.gates[self.fixed.places[*place].gate].sees_all_tokens())
    }
}

/// One batch on its way through the tower.
struct Pass<'a> {
    tower: &'a MixedClipVit,
    /// The backbone's, `[n, 1, width]`, where a router looks at them.
    features: Option<Tensor<3>>,
    /// What the routers of the places that were reached say.
    gates: Vec<Option<Gates>>,
    /// As [`Routed::seen`].
    seen: Vec<Option<Tensor<2>>>,
}

impl Run for Pass<'_> {
    fn dense(&mut self, part: Part, input: Tensor<3>, (weight, bias): Weights<'_>) -> Tensor<3> {
        let (weight, bias) = (weight.val(), bias.map(burn::module::Param::val));
        let Some(&(at, layer)) = self.tower.fixed.mixed.get(&part) else { return linear(input, weight, bias) };
        let place = &self.tower.fixed.places[at];
        let gate = &self.tower.gates[place.gate];
        let seen = self.features.as_ref().filter(|_| gate.sees_features()).unwrap_or(&input);
        let gates = self.gates[at].get_or_insert_with(|| {
            self.seen[at] = gate.looks_at(seen);
            gate.weigh(seen)
        });
        place.branches[layer].apply(input, weight, bias, gates)
    }
}

fn gates(routers: &[Router], device: &Device) -> Vec<Gate> {
    routers.iter().map(|router| Gate::new(router, device)).collect()
}
