//! A tower in which some linear layers have experts behind routers: runs a [`Mixture`] on every device, and under autodiff.

mod branch;
mod gate;
#[cfg(test)]
mod tests;

use super::forward::{Run, Weights};
use super::linear::Part;
use super::{ClipVit, ClipVitConfig};
use crate::fusion::Mixture;
use crate::models::ModelError;
use branch::Branch;
use burn::tensor::module::linear;
use burn::tensor::{Device, Tensor};
use gate::{Gate, Gates};
use std::collections::HashMap;

/// A CLIP vision tower with experts. Routes every image, or every token of it, by itself: what an image is answered does
/// not depend on the others of its batch.
#[derive(Debug)]
pub struct MixedClipVit {
    network: ClipVit,
    places: Vec<Place>,
    /// Which place, and which of its layers, a linear layer is.
    mixed: HashMap<Part, (usize, usize)>,
    experts: usize,
}

#[derive(Debug)]
struct Place {
    gate: Gate,
    branches: Vec<Branch>,
}

/// What a tower with experts gives for images.
#[derive(Debug)]
pub struct Routed {
    /// `[n, feature_dim]`
    pub features: Tensor<2>,
    /// What each expert weighed for each image, `[n, place · expert]`; means over tokens where routers look at tokens.
    pub weights: Tensor<2>,
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
        for (at, (place, router)) in mixture.body.places.iter().zip(&mixture.routers).enumerate() {
            let mut branches = Vec::with_capacity(place.layers.len());
            for (layer, linear) in place.layers.iter().enumerate() {
                let name = linear.weight.strip_prefix("vision_model.").unwrap_or(&linear.weight);
                let Some(part) = parts.get(name) else {
                    let (tensor, layers) = (linear.weight.clone(), config.num_hidden_layers);
                    return Err(ModelError::UnknownTensor { tensor, model: "CLIP vision tower", layers });
                };
                mixed.insert(*part, (at, layer));
                branches.push(Branch::new(linear, device));
            }
            places.push(Place { gate: Gate::new(router, device), branches });
        }
        // Only routers are ever trained.
        Ok(Self { network: network.no_grad(), places, mixed, experts: mixture.body.experts.len() })
    }

    #[must_use]
    pub fn experts(&self) -> usize {
        self.experts
    }

    #[must_use]
    pub fn network(&self) -> &ClipVit {
        &self.network
    }

    /// Features of images, `[n, channels, height, width]`, and who was asked for them.
    #[must_use]
    pub fn features(&self, pixels: Tensor<4>) -> Routed {
        let n = pixels.dims()[0];
        let mut pass = self.pass();
        let mut tokens = self.network.embed(pixels);
        let last = self.network.config().num_hidden_layers - 1;
        for layer in 0..last {
            tokens = self.network.block(layer, tokens.clone(), tokens, &mut pass);
        }
        // Routers that look at whole images need all of their tokens, though only the class token is looked at then.
        let class = if self.looks_at_images(last) { tokens.clone() } else { tokens.clone().narrow(1, 0, 1) };
        let pooled = self.network.pool(self.network.block(last, class, tokens, &mut pass));
        let features = match self.network.projection() {
            Some(weight) => {
                let width = pooled.dims()[1];
                let features = pass.dense(Part::Projection, pooled.reshape([n, 1, width]), (weight, None));
                let width = features.dims()[2];
                features.reshape([n, width])
            }
            None => pooled,
        };
        let weights = pass.gates.into_iter().map(|gates| match gates {
            Some(gates) => gates.of_images(n),
            None => Tensor::zeros([n, self.experts], &self.network.device()),
        });
        let weights: Vec<Tensor<2>> = weights.collect();
        let weights =
            if weights.is_empty() { Tensor::zeros([n, 0], &self.network.device()) } else { Tensor::cat(weights, 1) };
        Routed { features, weights }
    }

    /// The last block's output for all tokens, `[n, tokens, hidden]`.
    #[must_use]
    pub fn last_hidden_state(&self, pixels: Tensor<4>) -> Tensor<3> {
        let mut pass = self.pass();
        let mut tokens = self.network.embed(pixels);
        for layer in 0..self.network.config().num_hidden_layers {
            tokens = self.network.block(layer, tokens.clone(), tokens, &mut pass);
        }
        tokens
    }

    /// One mixed layer by itself: `[n, tokens, inputs]` → `[n, tokens, outputs]`. Nothing if it is not mixed.
    #[must_use]
    pub fn layer(&self, part: Part, input: Tensor<3>) -> Option<Tensor<3>> {
        self.mixed.get(&part)?;
        let weights = self.network.part(part)?;
        Some(self.pass().dense(part, input, weights))
    }

    fn pass(&self) -> Pass<'_> {
        Pass { tower: self, gates: (0..self.places.len()).map(|_| None).collect() }
    }

    fn looks_at_images(&self, layer: usize) -> bool {
        let mut mlp = [Part::Fc1(layer), Part::Fc2(layer)].into_iter().filter_map(|part| self.mixed.get(&part));
        mlp.any(|(place, _)| self.places[*place].gate.looks_at_images())
    }
}

/// One batch on its way through the tower.
struct Pass<'a> {
    tower: &'a MixedClipVit,
    /// What the routers of the places that were reached say.
    gates: Vec<Option<Gates>>,
}

impl Run for Pass<'_> {
    fn dense(&mut self, part: Part, input: Tensor<3>, (weight, bias): Weights<'_>) -> Tensor<3> {
        let (weight, bias) = (weight.val(), bias.map(burn::module::Param::val));
        let Some(&(at, layer)) = self.tower.mixed.get(&part) else { return linear(input, weight, bias) };
        let place = &self.tower.places[at];
        let gates = self.gates[at].get_or_insert_with(|| place.gate.weigh(&input));
        place.branches[layer].apply(input, weight, bias, gates)
    }
}
