//! What the forward pass leaves behind for the way back: what cannot be had again by a cheap loop.

/// A micro-batch that has passed through the tower.
#[derive(Default)]
pub(super) struct Tape {
    /// Tokens before the first norm, `[n · tokens · hidden]`.
    pub embedded: Option<Vec<f32>>,
    pub blocks: Vec<Passed>,
    /// The class tokens before the last norm, `[n · hidden]`.
    pub class: Vec<f32>,
}

/// What has passed through a block; everything without biases.
pub(super) struct Passed {
    /// `[n · tokens · hidden]`
    pub input: Vec<f32>,
    /// `[n · attending · hidden]`
    pub query: Vec<f32>,
    /// `[n · tokens · hidden]`
    pub key: Vec<f32>,
    pub value: Vec<f32>,
    /// What attention mixes of the values, `[n · attending · hidden]`.
    pub mixed: Vec<f32>,
    /// What the feed-forward network is added to, `[n · attending · hidden]`.
    pub middle: Vec<f32>,
    /// Before the activation, `[n · through · intermediate]`.
    pub inner: Vec<f32>,
}
