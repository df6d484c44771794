//! RanDeS (Zhou et al. 2025): task vectors superposed under random signs and shuffled layers, told apart by their seeds.

use crate::fusion::kernels::chunks::for_chunks;
use crate::fusion::kernels::dare::is_linear_weight;
use crate::fusion::kernels::names::Patterns;
use crate::fusion::kernels::rows::{Scratch, rows};
use crate::fusion::kernels::superposition::{Shuffle, add_flipped, places, signs};
use crate::fusion::{Context, Examples, Family, Fused, FusionError, Method, Needs, Own, PerTask, Pool};
use crate::params::{ParamSet, choice, flag, float, int, seed, text};
use crate::weights::{DType, Data, StateDict, Tensor, TensorInfo};
use std::collections::BTreeSet;

crate::params! {
    /// Coefficient of what is retrieved.
    scaling: f32 = float(0.5, -1.0, 2.0, 0.05).unbounded().symbol("λ");
    /// Turn the signs of random input columns around, other ones for each expert and matrix.
    flip: bool = flag(true);
    /// Where each expert's matrices go: to their own layer, some layers on in a circle, or to a random one.
    layers: String = choice("keep", &["keep", "shift", "shuffle"]);
    /// Superpose only every so many of the matrices at random; the others are plainly added up.
    every: usize = int(1, 1, 16, 1).at_least(1.0).advanced();
    /// Which tensors are superposed, by name (`*` stands for anything); if empty, the weights of all linear layers in blocks.
    tensors: String = text("").advanced();
    /// Seed of signs and shuffles.
    seed: u64 = seed(42);
}

pub static METHOD: Method = Method {
    id: "randes",
    name: "RanDeS",
    family: Family::Compression,
    formula: "θₖ = θ₀ + λ cₖ∘S, S = Σ cᵢ∘τᵢ, cᵢ ∈ {±1} from the seed",
    summary: "Adds all task vectors up under random signs (and layers), and takes one out by its own: the others become \
              noise that cancels instead of pulling one way. Each task costs no more than its seed, however many there \
              are.",
    reference: "arXiv:2505.11204",
    specs: Params::SPECS,
    needs: Needs { base: true, min_models: 1, max_models: None, data: Examples::None },
    fuse,
};

fn fuse(set: &ParamSet, pool: &Pool, cx: &mut Context<'_>) -> Result<Fused, FusionError> {
    let params = METHOD.typed(Params::from_set(set))?;
    let shuffle = match params.layers.as_str() {
        "shift" => Shuffle::Shift,
        "shuffle" => Shuffle::Random,
        _ => Shuffle::Keep,
    };
    // Of a window on the models, too, the matrices that its own are added to may lie elsewhere.
    let whole = rows(pool.whole())?;
    let infos: Vec<&TensorInfo> = whole.iter().map(|row| row.info).collect();
    let target = params.targets(pool, &infos);
    let experts: Vec<usize> = (0..pool.experts().len()).collect();
    let place = |expert: &usize| places(&infos, &target, shuffle, params.seed, *expert);
    let put: Vec<Vec<usize>> = experts.iter().map(place).collect();
    let found: Vec<Vec<usize>> = put.iter().map(|put| inverse(put)).collect();
    let sign = |expert: &usize, at: usize| {
        if params.flip && target[at] { signs(params.seed, *expert, infos[at]) } else { Vec::new() }
    };
    let signs: Vec<Vec<Vec<f32>>> =
        experts.iter().map(|expert| (0..infos.len()).map(|at| sign(expert, at)).collect()).collect();

    let shown = pool.reference().map_or(&[][..], |reference| reference.tensors());
    let shown: Vec<usize> =
        shown.iter().filter_map(|info| infos.iter().position(|known| known.name == info.name)).collect();
    let needed: BTreeSet<usize> = shown.iter().flat_map(|&at| put.iter().map(move |put| put[at])).collect();
    let needed: Vec<usize> = needed.into_iter().collect();
    let mut sum = like(needed.iter().map(|&at| infos[at]));
    for_chunks(
        sum.tensors_mut(),
        |_| true,
        cx,
        |piece, out, Scratch { decode, .. }| {
            for (&expert, (found, signs)) in experts.iter().zip(found.iter().zip(&signs)) {
                let at = found[needed[piece.tensor]];
                whole[at].read(&[expert], &piece.range, decode, |base, experts| {
                    add_flipped(experts[0], base, piece.range.start, &signs[at], out);
                });
            }
            Ok(())
        },
    )?;
    let of = |(put, signs): (Vec<usize>, Vec<Vec<f32>>)| {
        let own = |&at: &usize| {
            let source = needed.binary_search(&put[at]).unwrap_or_default();
            Own::Flipped { source, signs: signs[at].clone(), scale: params.scaling }
        };
        shown.iter().map(own).collect()
    };
    Ok(Fused::PerTask(PerTask::new(Some(sum), put.into_iter().zip(signs).map(of).collect())))
}

/// Zeros in f32 for these tensors; nothing for integer buffers.
fn like<'a>(infos: impl Iterator<Item = &'a TensorInfo>) -> StateDict {
    let tensor = |info: &TensorInfo| Tensor {
        name: info.name.clone(),
        shape: info.shape.clone(),
        dtype: DType::F32,
        data: if info.dtype.is_float() { Data::Float(vec![0.0; info.len()]) } else { Data::Raw(Vec::new()) },
    };
    StateDict::new(infos.map(tensor).collect())
}

impl Params {
    /// Which tensors are superposed: every so many of those that are chosen.
    fn targets(&self, pool: &Pool, infos: &[&TensorInfo]) -> Vec<bool> {
        let patterns = Patterns::new(&self.tensors);
        let outside = [0, pool.groups().len().saturating_sub(1)];
        let mut chosen = 0;
        let mut target = |info: &TensorInfo| {
            let named = if patterns.is_empty() {
                is_linear_weight(info) && !outside.contains(&pool.groups().index(&info.name))
            } else {
                patterns.matches(&info.name)
            };
            let is_target = named && info.dtype.is_float() && !info.is_empty();
            chosen += usize::from(is_target);
            is_target && (chosen - 1).is_multiple_of(self.every)
        };
        infos.iter().map(|info| target(info)).collect()
    }
}

fn inverse(places: &[usize]) -> Vec<usize> {
    let mut inverse = vec![0; places.len()];
    places.iter().enumerate().for_each(|(from, to)| inverse[*to] = from);
    inverse
}

#[cfg(test)]
mod tests {
    use crate::fusion::testing::{ELEMENTS, assert_close, models, pool};
    use crate::params::Value::{Bool, Float, Int, Text};

    #[test]
    fn without_signs_it_is_task_arithmetic_for_every_task() {
        let experts = [vec![1.0; ELEMENTS], (0..ELEMENTS).map(|x| x as f32).collect()];
        let pool = pool(Some(&[0.5; ELEMENTS]), &experts);
        let given = [("flip", Bool(false)), ("scaling", Float(0.3))];
        let expected = crate::fusion::testing::fused("task_arithmetic", &given[1..], &pool);
        for model in models("randes", &given, &pool) {
            assert_close(&model, &expected, 1e-5);
        }
    }

    #[test]
    fn others_come_out_as_noise_and_ones_own_as_it_was() {
        let experts = [vec![1.0; ELEMENTS], vec![0.25; ELEMENTS]];
        let pool = pool(Some(&[0.0; ELEMENTS]), &experts);
        for (layers, seed) in [("keep", 1), ("shift", 2), ("shuffle", 3)] {
            let given = [("scaling", Float(1.0)), ("layers", Text(layers.into())), ("seed", Int(seed))];
            let all = models("randes", &given, &pool);
            // The matrix of the block is superposed, all the rest is added up.
            assert!(all[0][..12].iter().all(|x| *x == 1.25 || *x == 0.75), "{layers} {:?}", all[0]);
            assert!(all[1][..12].iter().all(|x| *x == 1.25 || *x == -0.75), "{layers} {:?}", all[1]);
            assert!(all.iter().all(|model| model[12..].iter().all(|x| *x == 1.25)), "{layers}");
        }
        // Named, the others are superposed too.
        let named = models("randes", &[("scaling", Float(1.0)), ("tensors", Text("*".into()))], &pool);
        assert!(named[1].contains(&-0.75) && named[1][12..].contains(&-0.75), "{:?}", named[1]);
    }
}
