//! The geometry of the task vectors: how long they are, and which point the same way.

/// Norms and cosines of the task vectors τᵢ = θᵢ − θ₀.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Similarity {
    /// The experts, in pool order.
    pub names: Vec<String>,
    /// ‖τᵢ‖
    pub norms: Vec<f64>,
    /// ‖θ₀‖
    pub base_norm: f64,
    /// `[expert][expert]`
    pub cosine: Vec<Vec<f64>>,
    /// ‖τᵢ‖ within a block, `[expert][group]`
    pub group_norms: Vec<Vec<f64>>,
}
