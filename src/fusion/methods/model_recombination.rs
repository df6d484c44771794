//! Model recombination (FedMR, Hu et al. 2023): the experts' tensors dealt out anew.

use crate::fusion::kernels::tensors::each_tensor;
use crate::fusion::seeded;
use crate::fusion::{Context, Examples, Family, Fused, FusionError, Method, Needs, Pool};
use crate::params::{ParamSet, int, seed};
use rand_chacha::rand_core::RngCore;

crate::params! {
    /// Which of the recombined models to look at; there are as many as experts.
    model: i64 = int(1, 1, 64, 1).symbol("j");
    /// Seed of the deals.
    seed: u64 = seed(0);
}

pub static METHOD: Method = Method {
    id: "model_recombination",
    name: "Model Recombination",
    family: Family::Merging,
    formula: "θⱼ[t] = θ_{πₜ(j)}[t], πₜ a random permutation of the experts for each tensor t",
    summary: "Deals the experts' tensors out anew: a recombined model has every tensor from some expert, and every \
              expert's tensor is in exactly one of them. A step of federated training; here it shows how far experts \
              are interchangeable. Integer buffers stay the base's.",
    reference: "arXiv:2305.10730",
    specs: Params::SPECS,
    needs: Needs { base: false, min_models: 1, max_models: None, data: Examples::None },
    fuse,
};

fn fuse(set: &ParamSet, pool: &Pool, cx: &mut Context<'_>) -> Result<Fused, FusionError> {
    let Params { model, seed } = METHOD.typed(Params::from_set(set))?;
    let experts = pool.experts().len();
    let Some(model) = usize::try_from(model - 1).ok().filter(|model| *model < experts) else {
        let reason = format!("there is no recombined model {model}: {experts} experts give {experts} models");
        return Err(FusionError::Unusable { method: METHOD.name, reason });
    };
    each_tensor(METHOD.name, pool, cx, |task, out| {
        let dealt = deal(seed, task.name(), experts)[model];
        let mut scratch = Vec::new();
        // The peer loads views of the other models in place, and so loses tensors on the way: nothing is written here
        // before it was read.
        out.copy_from_slice(task.row.experts[dealt].read(0..out.len(), &mut scratch));
        Ok(())
    })
    .map(Fused::Weights)
}

/// A permutation of the experts that depends on nothing but seed and name.
fn deal(seed: u64, tensor: &str, experts: usize) -> Vec<usize> {
    let mut stream = seeded::stream("deal", seed, &[tensor.as_bytes()]);
    let mut order: Vec<usize> = (0..experts).collect();
    for last in (1..experts).rev() {
        // Fisher and Yates; the bias of the remainder is below 2^-58.
        order.swap(last, (stream.next_u64() % (last as u64 + 1)) as usize);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fusion::testing::{fuse, fused, pool};
    use crate::params::Value::Int;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_tensor_goes_to_exactly_one_model(experts in 1usize..9, seed in 0u64..1000) {
            let mut order = deal(seed, "encoder.layers.0.mlp.fc.weight", experts);
            order.sort_unstable();
            prop_assert_eq!(order, (0..experts).collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_models_together_are_the_experts() {
        let experts: Vec<Vec<f32>> = (0..3).map(|at| vec![at as f32; crate::fusion::testing::ELEMENTS]).collect();
        let pool = pool(None, &experts);
        let models: Vec<Vec<f32>> = (1..=3).map(|model| fused(METHOD.id, &[("model", Int(model))], &pool)).collect();
        for element in 0..models[0].len() {
            let mut seen: Vec<f32> = models.iter().map(|model| model[element]).collect();
            seen.sort_by(f32::total_cmp);
            assert_eq!(seen, [0.0, 1.0, 2.0]);
        }
        assert_ne!(models[0], fused(METHOD.id, &[("seed", Int(5))], &pool));
        assert!(
            fuse(METHOD.id, &[("model", Int(4))], &pool).unwrap_err().to_string().contains("no recombined model 4")
        );
    }
}
