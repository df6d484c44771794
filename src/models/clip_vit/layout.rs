//! Which tensors a tower has: Hugging Face's names, shapes and order, and where the module keeps each.

use super::ClipVitConfig;

/// How a checkpoint's tensor is kept in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    /// As it is, in the list of vectors.
    Vector(usize),
    /// As it is, in the list of matrices.
    Matrix(usize),
    /// `[out, in…]` in a checkpoint, `[in, out]` in the list of matrices.
    Transposed(usize),
}

/// One tensor of the tower.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// Without the prefix `vision_model.`
    pub name: String,
    /// As a checkpoint has it.
    pub shape: Vec<usize>,
    pub kept: Kept,
}

impl Entry {
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Rows and columns of a checkpoint's tensor read as a matrix.
    pub fn rows_columns(&self) -> (usize, usize) {
        let rows = self.shape[0];
        (rows, self.len() / rows)
    }
}

/// The only tensor that a tower need not have.
pub(super) const PROJECTION: &str = "visual_projection.weight";

pub(super) const CLASS: usize = 0;
pub(super) const PRE_NORM: usize = 1;
pub(super) const PATCH: usize = 0;
pub(super) const POSITION: usize = 1;
/// Vectors before the first layer, and in each layer.
const VECTORS: (usize, usize) = (3, 10);
/// Matrices before the first layer, and in each layer.
const MATRICES: (usize, usize) = (2, 6);

/// First vector of a layer: the biases of key, value, query, out; norm 1; biases of fc1, fc2; norm 2.
pub(super) fn layer_vectors(layer: usize) -> usize {
    VECTORS.0 + layer * VECTORS.1
}

/// First matrix of a layer: key, value, query, out, fc1, fc2.
pub(super) fn layer_matrices(layer: usize) -> usize {
    MATRICES.0 + layer * MATRICES.1
}

/// All tensors in the order of Hugging Face's state dict; the projection, when there is one, comes last.
pub(super) fn entries(config: &ClipVitConfig, projection: bool) -> Vec<Entry> {
    let (width, mlp) = (config.hidden_size, config.intermediate_size);
    let (side, channels) = (config.patch_size, config.num_channels);
    let mut list = List::default();
    list.vector("embeddings.class_embedding", width);
    list.linear("embeddings.patch_embedding.weight", vec![width, channels, side, side]);
    let position = Kept::Matrix(list.matrices());
    list.push("embeddings.position_embedding.weight", vec![config.tokens(), width], position);
    // The misspelling is Hugging Face's.
    list.norm("pre_layrnorm", width);
    for layer in 0..config.num_hidden_layers {
        let name = |part: &str| format!("encoder.layers.{layer}.{part}");
        for part in ["k_proj", "v_proj", "q_proj", "out_proj"] {
            list.dense(&name(&format!("self_attn.{part}")), width, width);
        }
        list.norm(&name("layer_norm1"), width);
        list.dense(&name("mlp.fc1"), width, mlp);
        list.dense(&name("mlp.fc2"), mlp, width);
        list.norm(&name("layer_norm2"), width);
    }
    list.norm("post_layernorm", width);
    if projection {
        list.linear(PROJECTION, vec![config.projection_dim, width]);
    }
    list.0
}

#[derive(Default)]
struct List(Vec<Entry>);

impl List {
    fn vectors(&self) -> usize {
        self.0.iter().filter(|entry| matches!(entry.kept, Kept::Vector(_))).count()
    }

    fn matrices(&self) -> usize {
        self.0.len() - self.vectors()
    }

    fn push(&mut self, name: &str, shape: Vec<usize>, kept: Kept) {
        self.0.push(Entry { name: name.to_owned(), shape, kept });
    }

    fn vector(&mut self, name: &str, len: usize) {
        self.push(name, vec![len], Kept::Vector(self.vectors()));
    }

    fn linear(&mut self, name: &str, shape: Vec<usize>) {
        self.push(name, shape, Kept::Transposed(self.matrices()));
    }

    fn dense(&mut self, name: &str, inputs: usize, outputs: usize) {
        self.linear(&format!("{name}.weight"), vec![outputs, inputs]);
        self.vector(&format!("{name}.bias"), outputs);
    }

    fn norm(&mut self, name: &str, width: usize) {
        self.vector(&format!("{name}.weight"), width);
        self.vector(&format!("{name}.bias"), width);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_stand_where_the_module_looks_for_them() {
        let config = ClipVitConfig { num_hidden_layers: 3, ..ClipVitConfig::default() };
        let entries = entries(&config, true);
        let kept = |name: &str| entries.iter().find(|entry| entry.name == name).unwrap().kept;
        assert_eq!(kept("embeddings.class_embedding"), Kept::Vector(CLASS));
        assert_eq!(kept("embeddings.patch_embedding.weight"), Kept::Transposed(PATCH));
        assert_eq!(kept("embeddings.position_embedding.weight"), Kept::Matrix(POSITION));
        assert_eq!(kept("pre_layrnorm.weight"), Kept::Vector(PRE_NORM));
        assert_eq!(kept("encoder.layers.2.self_attn.k_proj.bias"), Kept::Vector(layer_vectors(2)));
        assert_eq!(kept("encoder.layers.2.self_attn.k_proj.weight"), Kept::Transposed(layer_matrices(2)));
        assert_eq!(kept("encoder.layers.1.layer_norm2.bias"), Kept::Vector(layer_vectors(2) - 1));
        assert_eq!(kept("post_layernorm.weight"), Kept::Vector(layer_vectors(3)));
        assert_eq!(kept("visual_projection.weight"), Kept::Transposed(layer_matrices(3)));
        assert_eq!(entries.len(), 5 + 16 * 3 + 3);
    }
}
