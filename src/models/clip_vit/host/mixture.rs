//! A tower with experts on the CPU, over the mixture's own numbers, and the way back to its routers.
//!
//! | file | what |
//! |---|---|
//! | `gated` | a linear layer with experts |
//! | `router` | what weighs them |

mod gated;
mod router;
#[cfg(test)]
mod tests;

use super::backward::Ledger;
use super::tape::Tape;
use super::weight::Matrix;
use super::{Host, Reach, TOKENS};
use crate::fusion::{Mixture, Router};
use crate::models::ModelError;
use crate::models::clip_vit::ClipVitConfig;
use crate::models::clip_vit::layout::{self, Entry, Kept};
use crate::models::clip_vit::module::find;
use gated::{Experts, Gated, Visit};
use router::{Gates, means};

/// What [`MixedClipVit`](crate::models::clip_vit::MixedClipVit) is on every device, by hand-written loops: the same to
/// rounding, in less time and without a second copy of the experts.
#[derive(Debug, Clone)]
pub struct HostMixture {
    config: ClipVitConfig,
    mixture: Mixture,
    entries: Vec<Entry>,
    /// Of each matrix, which place it belongs to, and which of its layers it is.
    mixed: Vec<Option<(usize, usize)>>,
}

/// What a tower with experts gives for images.
#[derive(Debug, Clone, PartialEq)]
pub struct HostRouted {
    /// `[n, feature_dim]`
    pub features: Vec<f32>,
    /// What each expert weighed for each image, `[n, place · expert]`; means over tokens where routers look at tokens, and over
    /// components where these are weighed.
    pub weights: Vec<f32>,
}

/// Images that have passed through the tower.
pub struct MixedPassage {
    routed: HostRouted,
    n: usize,
    tape: Tape,
    visits: Vec<Visit>,
    /// Of the backbone, where routers look at them.
    plain: Option<Vec<f32>>,
}

impl MixedPassage {
    #[must_use]
    pub fn routed(&self) -> &HostRouted {
        &self.routed
    }
}

impl HostMixture {
    /// # Errors
    /// A mixture of another network.
    pub fn new(config: &ClipVitConfig, mixture: &Mixture) -> Result<Self, ModelError> {
        config.check()?;
        let (entries, _) = find(config, &mixture.body.backbone)?;
        let matrices = entries.iter().filter(|entry| !matches!(entry.kept, Kept::Vector(_))).count();
        let mut mixed = vec![None; matrices];
        for (at, place) in mixture.body.places.iter().enumerate() {
            for (layer, linear) in place.layers.iter().enumerate() {
                let name = linear.weight.strip_prefix("vision_model.").unwrap_or(&linear.weight);
                let matrix = entries.iter().find(|entry| entry.name == name).and_then(|entry| match entry.kept {
                    Kept::Transposed(matrix) if matrix != layout::PATCH => Some((matrix, entry)),
                    _ => None,
                });
                let Some((matrix, entry)) = matrix else {
                    let (tensor, layers) = (linear.weight.clone(), config.num_hidden_layers);
                    return Err(ModelError::UnknownTensor { tensor, model: "CLIP vision tower", layers });
                };
                let (got, expected) = (vec![linear.outputs, linear.inputs], entry.shape.clone());
                if got != expected {
                    return Err(ModelError::Shape { tensor: linear.weight.clone(), got, expected });
                }
                mixed[matrix] = Some((at, layer));
            }
        }
        Ok(Self { config: config.clone(), mixture: mixture.clone(), entries, mixed })
    }

    #[must_use]
    pub fn experts(&self) -> usize {
        self.mixture.body.experts.len()
    }

    /// Whether there is a way back to all routers: they are networks, image by image.
    #[must_use]
    pub fn has_way_back(&self) -> bool {
        self.mixture.routers.iter().all(|router| matches!(router, Router::Perceptron(_)))
    }

    /// Features of images, `[n, channels, height, width]`, and who was asked for them.
    #[must_use]
    pub fn features(&self, pixels: &[f32], shape: [usize; 3]) -> HostRouted {
        self.look(pixels, shape, false)
    }

    /// Whom the routers ask for images, `[n, place · expert]`, all tokens of the last block counting too, although only the class
    /// token leaves it.
    #[must_use]
    pub fn asked(&self, pixels: &[f32], shape: [usize; 3]) -> Vec<f32> {
        self.look(pixels, shape, true).weights
    }

    fn look(&self, pixels: &[f32], shape: [usize; 3], whole: bool) -> HostRouted {
        let image = shape.iter().product::<usize>() * self.images();
        let mut all = HostRouted { features: Vec::new(), weights: Vec::new() };
        for pixels in pixels.chunks(image.max(1)) {
            let HostRouted { features, weights } = self.run(pixels, shape, None, whole).routed;
            all.features.extend(features);
            all.weights.extend(weights);
        }
        all
    }

    /// Images that are best passed through at once.
    #[must_use]
    pub fn images(&self) -> usize {
        (TOKENS / self.config.tokens()).max(1)
    }

    /// Passes images through, `[n, channels, height, width]`, so that there is a way back.
    #[must_use]
    pub fn pass(&self, pixels: &[f32], shape: [usize; 3]) -> MixedPassage {
        self.run(pixels, shape, Some(Tape::default()), false)
    }

    fn run(&self, pixels: &[f32], shape: [usize; 3], mut tape: Option<Tape>, whole: bool) -> MixedPassage {
        let n = pixels.len() / shape.iter().product::<usize>().max(1);
        let plain = self.mixture.routers.iter().any(Router::sees_features).then(|| {
            // Only a tensor that is not f32 gives nothing, and slices are.
            self.backbone().features(pixels, shape, None).unwrap_or_default()
        });
        let visits: Vec<Visit> = self.mixture.body.places.iter().map(|_| Visit::default()).collect();
        let mut host = self.host(&visits, plain.as_deref(), n);
        if whole {
            host.reach = Reach::All;
        }
        let features = host.features(pixels, shape, tape.as_mut());
        let routed = HostRouted { features: features.unwrap_or_default(), weights: self.weights(&visits, n) };
        MixedPassage { routed, n, tape: tape.unwrap_or_default(), visits, plain }
    }

    /// `[n, place · expert]`
    fn weights(&self, visits: &[Visit], n: usize) -> Vec<f32> {
        let experts = self.experts();
        let of_place = |visit: &Visit| match visit.said().map(|said| &said.gates) {
            Some(Gates::Tokens(values)) => means(values, experts, values.len() / (n * experts).max(1)),
            Some(Gates::Images(values)) => {
                let each = values.len() / (n * experts).max(1);
                values.chunks_exact(each.max(1)).map(|part| part.iter().sum::<f32>() / part.len() as f32).collect()
            }
            None => vec![0.0; n * experts],
        };
        let places: Vec<Vec<f32>> = visits.iter().map(of_place).collect();
        (0..n)
            .flat_map(|image| places.iter().flat_map(move |place| &place[image * experts..][..experts]))
            .copied()
            .collect()
    }

    /// The means over images and tokens of what the router of each place looked at; empty where it looks token by token.
    #[must_use]
    pub fn seen(&self, passages: &[MixedPassage]) -> Vec<Vec<f32>> {
        let n: usize = passages.iter().map(|passage| passage.n).sum();
        let of_place = |at: usize| {
            let all = passages.iter().filter_map(|passage| passage.visits[at].said()?.seen());
            let mut rows = all.collect::<Vec<_>>().concat();
            let width = rows.len() / n.max(1);
            if width > 0 {
                rows = means(&rows, width, n);
            }
            rows
        };
        (0..self.mixture.body.places.len()).map(of_place).collect()
    }

    /// No slope over any of the routers' numbers yet, `[router][number]`.
    #[must_use]
    pub fn zero(&self) -> Vec<Vec<f32>> {
        let numbers = |router: &Router| match router {
            Router::Perceptron(network) => vec![0.0; network.len()],
            Router::Norms(_) => Vec::new(),
        };
        self.mixture.routers.iter().map(numbers).collect()
    }

    /// Adds to `slopes` what a passage contributes, given the slope over its features, `[n, feature_dim]`.
    pub fn back(&self, mut passage: MixedPassage, over: &[f32], slopes: &mut [Vec<f32>]) {
        let host = self.host(&passage.visits, passage.plain.as_deref(), passage.n);
        let norm = (vec![0.0; self.config.hidden_size], vec![0.0; self.config.hidden_size]);
        let mut ledger = Routers { tower: self, visits: &passage.visits, slopes, norm };
        host.backward(&mut passage.tape, over, &mut ledger);
        ledger.settle(None, None);
    }

    fn backbone(&self) -> Host<'_, Matrix<'_>> {
        Host::over(&self.config, &self.entries, &self.found(), |_, matrix| matrix)
    }

    fn host<'a>(&'a self, visits: &'a [Visit], features: Option<&'a [f32]>, n: usize) -> Host<'a, Gated<'a>> {
        let Mixture { body, routers } = &self.mixture;
        let gated = |at: usize, plain: Matrix<'a>| {
            let experts = self.mixed[at].map(|(place, layer)| {
                let (visit, place) = (&visits[place], &body.places[place]);
                let router = &routers[place.router];
                let features = features.filter(|_| router.sees_features());
                Experts { layer: &place.layers[layer], unit: place.unit, router, visit, features, n }
            });
            Gated { at, plain, experts }
        };
        let mut host = Host::over(&self.config, &self.entries, &self.found(), gated);
        host.reach = self.reach();
        host
    }

    /// How far all tokens have to go in the last block for routers that look at whole images.
    fn reach(&self) -> Reach {
        let last = layout::block(self.config.num_hidden_layers - 1);
        let asked = [
            (last.query, Reach::Keys),
            (last.key, Reach::Keys),
            (last.value, Reach::Keys),
            (last.out, Reach::Attention),
            (last.fc1, Reach::Attention),
            (last.fc2, Reach::All),
        ];
        // A place's router is asked about what the first of its layers is given.
        let (mut known, mut reach) = (Vec::new(), Reach::Keys);
        for (linear, least) in asked {
            let Some((place, _)) = self.mixed[linear.weight].filter(|(place, _)| !known.contains(place)) else {
                continue;
            };
            known.push(place);
            if self.mixture.routers[self.mixture.body.places[place].router].sees_all_tokens() {
                reach = reach.max(least);
            }
        }
        reach
    }

    /// The backbone's tensors in the order of the entries; that they are all there was made sure of when it was built.
    fn found(&self) -> Vec<&[f32]> {
        find(&self.config, &self.mixture.body.backbone).map(|(_, found)| found).unwrap_or_default()
    }
}

/// Leaves behind the slopes over routers.
struct Routers<'a> {
    tower: &'a HostMixture,
    visits: &'a [Visit],
    slopes: &'a mut [Vec<f32>],
    /// Nobody asks for the slopes over norms.
    norm: (Vec<f32>, Vec<f32>),
}

impl Ledger<Gated<'_>> for Routers<'_> {
    fn product(&mut self, _at: usize, weight: &Gated<'_>, inputs: &[f32], over: &[f32], onto: &mut [f32]) {
        match &weight.experts {
            Some(experts) => experts.back(weight.plain, inputs, over, onto),
            None => Matrix::new(over, weight.plain.rows()).times_onto(weight.plain, onto),
        }
    }

    fn looked(&mut self, at: usize, onto: &mut [f32]) {
        self.settle(Some(at), Some(onto));
    }

    fn norm(&mut self, _at: usize) -> (&mut [f32], &mut [f32]) {
        (&mut self.norm.0, &mut self.norm.1)
    }
}

impl Routers<'_> {
    /// Goes back through the routers that were asked about the inputs of this matrix: all layers that they weigh come after it
    /// on the way there.
    fn settle(&mut self, matrix: Option<usize>, mut onto: Option<&mut [f32]>) {
        let Mixture { body, routers } = &self.tower.mixture;
        for (place, visit) in body.places.iter().zip(self.visits) {
            let Router::Perceptron(network) = &routers[place.router] else { continue };
            let on_features = routers[place.router].sees_features();
            // What features are made of does not depend on routers, and they are asked about by whichever place comes first.
            if on_features == matrix.is_some() {
                continue;
            }
            if let Some((said, over)) = visit.take_over(matrix) {
                let onto = if on_features { None } else { onto.as_deref_mut() };
                said.back(network, over, &mut self.slopes[place.router], onto);
            }
        }
    }
}
