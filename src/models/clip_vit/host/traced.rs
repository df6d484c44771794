//! A tower on the CPU that knows its way back: over a checkpoint's own tensors, which are neither copied nor turned.

use super::slope::Slope;
use super::tape::Tape;
use super::weight::Matrix;
use super::{Host, TOKENS};
use crate::models::ModelError;
use crate::models::clip_vit::ClipVitConfig;
use crate::models::clip_vit::layout::Entry;
use crate::models::clip_vit::module::{find, full_name};
use crate::weights::{DType, Data, StateDict, Tensor as Named};

/// A CLIP vision tower for slopes over its weights, by hand-written loops instead of burn's autodiff: the same to rounding,
/// in less time and memory.
pub struct TracedClipVit<'a> {
    host: Host<'a, Matrix<'a>>,
    entries: Vec<Entry>,
}

/// Images that have passed through the tower.
pub struct Passage {
    pixels: Vec<f32>,
    shape: [usize; 3],
    tape: Tape,
    features: Vec<f32>,
}

impl Passage {
    /// What heads look at, `[n, feature_dim]`.
    #[must_use]
    pub fn features(&self) -> &[f32] {
        &self.features
    }
}

/// One number for each weight of a tower.
pub struct WeightSlope(Slope);

impl<'a> TracedClipVit<'a> {
    /// Names may have the prefix `vision_model.` or lack it, and whether there is a projection is for the weights to say, as in
    /// [`ClipVit::load`](super::super::ClipVit::load).
    ///
    /// # Errors
    /// Sizes that make no model; missing tensors and shapes that do not fit.
    pub fn new(config: &'a ClipVitConfig, weights: &'a StateDict) -> Result<Self, ModelError> {
        config.check()?;
        let (entries, found) = find(config, weights)?;
        let host = Host::over(config, &entries, &found, |_, matrix| matrix);
        Ok(Self { host, entries })
    }

    /// Images that are best passed through at once.
    #[must_use]
    pub fn images(&self) -> usize {
        // More than without the way back: the slopes of large weights pass through the caches once a passage.
        (2 * TOKENS / self.host.config.tokens()).max(1)
    }

    /// Passes images through, `[n, channels, height, width]`.
    #[must_use]
    pub fn pass(&self, pixels: Vec<f32>, shape: [usize; 3]) -> Passage {
        let mut tape = Tape::default();
        // Only a tensor that is not f32 gives nothing, and slices are.
        let features = self.host.features(&pixels, shape, Some(&mut tape)).unwrap_or_default();
        Passage { pixels, shape, tape, features }
    }

    /// A slope of nothing, in the room of a slope that nobody needs any more, if there is one.
    #[must_use]
    pub fn zero(&self, room: Option<StateDict>) -> WeightSlope {
        let mut room = room.map(StateDict::into_tensors).unwrap_or_default().into_iter();
        let zeros = |entry: &Entry| match room.next().map(|tensor| tensor.data) {
            Some(Data::Float(mut values)) if values.len() == entry.len() => {
                values.fill(0.0);
                values
            }
            _ => vec![0.0; entry.len()],
        };
        WeightSlope(Slope::new(&self.entries, self.entries.iter().map(zeros)))
    }

    /// Adds to `slope` what a passage contributes, given the slope over its features, `[n, feature_dim]`.
    pub fn back(&self, passage: Passage, over: &[f32], slope: &mut WeightSlope) {
        self.host.follow((&passage.pixels, passage.shape), passage.tape, over, &mut slope.0);
    }

    /// A slope under the names and in the layout of Hugging Face's `CLIPVisionModelWithProjection`. The inner product of it
    /// with a task vector is the slope over the task vector's coefficient.
    #[must_use]
    pub fn named(&self, WeightSlope(mut slope): WeightSlope) -> StateDict {
        let tensor = |entry: &Entry| Named {
            name: full_name(&entry.name),
            shape: entry.shape.clone(),
            dtype: DType::F32,
            data: Data::Float(slope.take(entry)),
        };
        StateDict::new(self.entries.iter().map(tensor).collect())
    }
}
