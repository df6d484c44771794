//! There and back through a tower on the CPU: burn's autodiff follows a function of the answers to the features, from where
//! the tower goes on by itself.

use super::Source;
use super::answers::answers;
use super::compute::values;
use super::source::input;
use super::work::Batch;
use crate::cancel::Cancel;
use crate::engine::EngineError;
use crate::models::clip_vit::{HostMixture, MixedPassage, Passage, TracedClipVit, WeightSlope};
use crate::zoo::Head;
use burn::tensor::{Device, Tensor, TensorData};

/// A tower with a way back.
pub(super) trait TwoWay {
    /// Images that have passed through.
    type Passage;
    type Slope;

    /// Images that are best passed through at once.
    fn images(&self) -> usize;

    /// `[n, channels, height, width]`
    fn pass(&self, pixels: Vec<f32>, shape: [usize; 3]) -> Self::Passage;

    /// What heads look at, `[n, dim]`.
    fn features(passage: &Self::Passage) -> &[f32];

    /// Adds to `slope` what a passage contributes, given the slope over its features.
    fn back(&self, passage: Self::Passage, over: &[f32], slope: &mut Self::Slope);
}

impl TwoWay for TracedClipVit<'_> {
    type Passage = Passage;
    type Slope = WeightSlope;

    fn images(&self) -> usize {
        self.images()
    }

    fn pass(&self, pixels: Vec<f32>, shape: [usize; 3]) -> Passage {
        self.pass(pixels, shape)
    }

    fn features(passage: &Passage) -> &[f32] {
        passage.features()
    }

    fn back(&self, passage: Passage, over: &[f32], slope: &mut WeightSlope) {
        self.back(passage, over, slope);
    }
}

impl TwoWay for HostMixture {
    type Passage = MixedPassage;
    /// `[router][number]`
    type Slope = Vec<Vec<f32>>;

    fn images(&self) -> usize {
        self.images()
    }

    fn pass(&self, pixels: Vec<f32>, shape: [usize; 3]) -> MixedPassage {
        self.pass(&pixels, shape)
    }

    fn features(passage: &MixedPassage) -> &[f32] {
        &passage.routed().features
    }

    fn back(&self, passage: MixedPassage, over: &[f32], slope: &mut Vec<Vec<f32>>) {
        self.back(passage, over, slope);
    }
}

/// Some examples of a task, a few at a time.
pub(super) struct Passages<'a, T: TwoWay> {
    tower: &'a T,
    cancel: &'a Cancel,
    all: Vec<T::Passage>,
    images: usize,
}

impl<'a, T: TwoWay> Passages<'a, T> {
    /// Passes `indices` of the batch's task through.
    ///
    /// # Errors
    /// Examples that cannot be read; cancellation.
    pub fn new(
        tower: &'a T,
        source: &dyn Source,
        batch: &Batch,
        indices: &[usize],
        cancel: &'a Cancel,
    ) -> Result<Self, EngineError> {
        let input = input(source);
        let pass = |indices: &[usize]| {
            cancel.check()?;
            let pixels = source.pixels(&batch.task, batch.shown, indices)?;
            Ok(tower.pass(pixels, [input.channels, input.side, input.side]))
        };
        let all = indices.chunks(tower.images()).map(pass).collect::<Result<_, EngineError>>()?;
        Ok(Self { tower, cancel, all, images: indices.len() })
    }

    pub fn all(&self) -> &[T::Passage] {
        &self.all
    }

    /// A function of a head's answers; what the examples contribute to its slope is added to `slope`.
    ///
    /// # Errors
    /// Whatever the function reports; cancellation.
    pub fn back(
        self,
        head: &Head,
        of: impl FnOnce(Tensor<2>) -> Result<Tensor<1>, EngineError>,
        slope: &mut T::Slope,
    ) -> Result<Tensor<1>, EngineError> {
        let features: Vec<f32> = self.all.iter().flat_map(T::features).copied().collect();
        let (found, over) = over_features(features, self.images, head, of)?;
        let mut over = over.as_slice();
        for passage in self.all {
            self.cancel.check()?;
            let (own, others) = over.split_at(T::features(&passage).len());
            self.tower.back(passage, own, slope);
            over = others;
        }
        Ok(found)
    }
}

/// A function of a head's answers to the features of `n` images, and its slope over these, `[n, dim]`.
fn over_features(
    features: Vec<f32>,
    n: usize,
    head: &Head,
    of: impl FnOnce(Tensor<2>) -> Result<Tensor<1>, EngineError>,
) -> Result<(Tensor<1>, Vec<f32>), EngineError> {
    let count = features.len();
    let features = TensorData::new(features, [n, count / n.max(1)]);
    let features = Tensor::<2>::from_data(features, &Device::flex().autodiff()).require_grad();
    let found = of(answers(features.clone(), head))?;
    let over = match features.grad(&found.backward()) {
        Some(over) => values(over)?,
        None => vec![0.0; count],
    };
    Ok((found, over))
}
