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

/// Which matrix a linear map's weight is, and which vector its bias.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Linear {
    pub weight: usize,
    pub bias: usize,
}

/// Where a block's tensors are kept. A norm is the number of its weight; its bias is the vector after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Block {
    pub key: Linear,
    pub value: Linear,
    pub query: Linear,
    pub out: Linear,
    pub norm1: usize,
    pub fc1: Linear,
    pub fc2: Linear,
    pub norm2: usize,
}

/// In the order of [`entries`], which in turn is that of a checkpoint.
pub(super) fn block(layer: usize) -> Block {
    let (matrices, vectors) = (MATRICES.0 + layer * MATRICES.1, VECTORS.0 + layer * VECTORS.1);
    let linear = |weight: usize, bias: usize| Linear { weight: matrices + weight, bias: vectors + bias };
    Block {
        key: linear(0, 0),
        value: linear(1, 1),
        query: linear(2, 2),
        out: linear(3, 3),
        norm1: vectors + 4,
        fc1: linear(4, 6),
        fc2: linear(5, 7),
        norm2: vectors + 8,
    }
}

/// The weight of the norm after the last of so many blocks.
pub(super) fn post_norm(layers: usize) -> usize {
    VECTORS.0 + layers * VECTORS.1
}

/// The projection's matrix, in towers that have one.
pub(super) fn projection(layers: usize) -> usize {
    MATRICES.0 + layers * MATRICES.1
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
        for layer in 0..3 {
            let of = |part: &str| kept(&format!("encoder.layers.{layer}.{part}"));
            let Block { key, value, query, out, norm1, fc1, fc2, norm2 } = block(layer);
            for (part, at) in [
                ("self_attn.k_proj", key),
                ("self_attn.v_proj", value),
                ("self_attn.q_proj", query),
                ("self_attn.out_proj", out),
                ("mlp.fc1", fc1),
                ("mlp.fc2", fc2),
            ] {
                assert_eq!(of(&format!("{part}.weight")), Kept::Transposed(at.weight), "{part}");
                assert_eq!(of(&format!("{part}.bias")), Kept::Vector(at.bias), "{part}");
            }
            for (part, at) in [("layer_norm1", norm1), ("layer_norm2", norm2)] {
                assert_eq!(of(&format!("{part}.weight")), Kept::Vector(at), "{part}");
                assert_eq!(of(&format!("{part}.bias")), Kept::Vector(at + 1), "{part}");
            }
        }
        assert_eq!(kept("post_layernorm.weight"), Kept::Vector(post_norm(3)));
        assert_eq!(kept("visual_projection.weight"), Kept::Transposed(projection(3)));
        assert_eq!(entries.len(), 5 + 16 * 3 + 3);
    }
}
