//! Small pools for tests.

use super::{
    Calibration, Context, Draw, Entropy, Features, Fused, FusionError, Gram, Grams, Layout, Method, Mixture, Pool,
    Routed, Router, Slopes, find,
};
use crate::cancel::Cancel;
use crate::params::{ParamSet, Value};
use crate::weights::{Checkpoint, DType, Data, Source, StateDict, Tensor};
use std::sync::Arc;

/// A float tensor.
pub fn tensor(name: &str, shape: &[usize], dtype: DType, values: Vec<f32>) -> Tensor {
    assert_eq!(shape.iter().product::<usize>(), values.len());
    Tensor { name: name.to_owned(), shape: shape.to_vec(), dtype, data: Data::Float(values) }
}

/// An integer buffer with one element.
pub fn counter(name: &str, value: i64) -> Tensor {
    Tensor { name: name.to_owned(), shape: vec![], dtype: DType::I64, data: Data::Raw(value.to_le_bytes().to_vec()) }
}

/// A checkpoint in memory.
pub fn checkpoint(tensors: Vec<Tensor>) -> Checkpoint {
    let views = tensors.iter().map(|tensor| (tensor.name.as_str(), tensor));
    let bytes = safetensors::serialize(views, None).unwrap();
    Checkpoint::from_source("test", Source::Owned(bytes.into())).unwrap()
}

/// A checkpoint with the values of a flat vector: a matrix, a 4-D tensor, a scalar, an empty tensor and a
/// vector, in the order in which safetensors files hold them.
pub fn model(values: &[f32]) -> Checkpoint {
    assert_eq!(values.len(), ELEMENTS);
    let shapes: [(&str, &[usize]); 5] = [
        ("encoder.layers.0.mlp.fc.weight", &[3, 4]),
        ("encoder.layers.1.conv.weight", &[2, 1, 2, 2]),
        ("logit_scale", &[]),
        ("nothing", &[0, 3]),
        ("post_layernorm.bias", &[3]),
    ];
    let mut rest = values;
    let tensors = shapes.map(|(name, shape)| {
        let (now, later) = rest.split_at(shape.iter().product());
        rest = later;
        tensor(name, shape, DType::F32, now.to_vec())
    });
    checkpoint(tensors.into())
}

/// Elements of a [`model`].
pub const ELEMENTS: usize = 12 + 8 + 1 + 3;

pub fn pool(base: Option<&[f32]>, experts: &[Vec<f32>]) -> Pool {
    let experts = experts.iter().enumerate().map(|(at, values)| (format!("expert {at}"), model(values)));
    Pool::new(base.map(model), experts.collect()).unwrap()
}

pub fn params(method: &Method, given: &[(&str, Value)]) -> ParamSet {
    ParamSet::checked(method.specs, given.iter().cloned()).unwrap()
}

/// As many of the experts as the method takes.
pub fn fitting<'a, T>(method: &Method, experts: &'a [T]) -> &'a [T] {
    &experts[..experts.len().min(method.needs.max_models.unwrap_or(usize::MAX))]
}

/// Runs a method and computes its weights.
pub fn fuse(id: &str, given: &[(&str, Value)], pool: &Pool) -> Result<StateDict, FusionError> {
    let method = find(id)?;
    let (cancel, mut silent) = (Cancel::default(), |_, _| {});
    let mut cx = Context::new(&cancel, &mut silent).with_data(&Pretended);
    let mut all = all_of(&method.run(&params(method, given), pool, &mut cx)?, pool, &mut cx)?;
    assert_eq!(all.len(), 1, "{id} does not give one model");
    Ok(all.remove(0))
}

/// All weights of a result: one model, or one an expert.
pub fn all_of(fused: &Fused, pool: &Pool, cx: &mut Context<'_>) -> Result<Vec<StateDict>, FusionError> {
    match fused {
        Fused::Linear(plan) => Ok(vec![plan.materialise(pool, cx)?]),
        Fused::Weights(weights) => Ok(vec![weights.clone()]),
        Fused::PerTask(models) => (0..pool.experts().len()).map(|expert| models.model(expert, pool, cx)).collect(),
        Fused::Mixture(mixture) => Ok(vec![mixture.body.backbone.clone()]),
        Fused::Ensemble(rule) => panic!("an ensemble has no weights: {rule:?}"),
    }
}

/// Runs a method and computes all its weights.
pub fn fuse_all(id: &str, given: &[(&str, Value)], pool: &Pool) -> Result<Vec<StateDict>, FusionError> {
    let method = find(id)?;
    let (cancel, mut silent) = (Cancel::default(), |_, _| {});
    let mut cx = Context::new(&cancel, &mut silent).with_data(&Pretended);
    all_of(&method.run(&params(method, given), pool, &mut cx)?, pool, &mut cx)
}

/// The values of every expert's model, which must come out.
pub fn models(id: &str, given: &[(&str, Value)], pool: &Pool) -> Vec<Vec<f32>> {
    fuse_all(id, given, pool).unwrap().iter().map(flat).collect()
}

/// All float values, tensor after tensor.
pub fn flat(weights: &StateDict) -> Vec<f32> {
    weights.tensors().iter().filter_map(Tensor::values).flatten().copied().collect()
}

/// The values of [`fuse`] that must succeed.
pub fn fused(id: &str, given: &[(&str, Value)], pool: &Pool) -> Vec<f32> {
    flat(&fuse(id, given, pool).unwrap())
}

pub fn assert_close(a: &[f32], b: &[f32], tolerance: f32) {
    assert_eq!(a.len(), b.len());
    for (at, (a, b)) in a.iter().zip(b).enumerate() {
        assert!((a - b).abs() <= tolerance, "element {at}: {a} and {b}");
    }
}

/// Data that do not exist: statistics that depend on names and shapes only.
pub struct Pretended;

/// [`Pretended`], until a step from which on the loss or its slope is no number.
pub struct Breaking {
    pub loss_at: usize,
    pub slope_at: usize,
}

impl Calibration for Breaking {
    fn grams(&self, _: &str, _: &Checkpoint, _: Draw, _: &mut Context<'_>) -> Result<Arc<Grams>, FusionError> {
        Ok(Arc::default())
    }

    fn slopes(
        &self,
        _: &str,
        _: &Checkpoint,
        _: Slopes,
        _: Draw,
        _: &mut Context<'_>,
    ) -> Result<Arc<StateDict>, FusionError> {
        Ok(Arc::default())
    }

    fn entropy(
        &self,
        tasks: &[&str],
        weights: Arc<StateDict>,
        draw: Draw,
        step: usize,
        cx: &mut Context<'_>,
    ) -> Result<Entropy, FusionError> {
        let mut found = Pretended.entropy(tasks, weights, draw, step, cx)?;
        if step >= self.loss_at {
            found.losses[0] = f64::NAN;
        }
        if step >= self.slope_at {
            for tensor in found.slope.tensors_mut() {
                if let Data::Float(values) = &mut tensor.data {
                    values.fill(f32::INFINITY);
                }
            }
        }
        Ok(found)
    }

    fn cross_entropy(
        &self,
        tasks: &[&str],
        _: Option<&[f64]>,
        weights: Arc<StateDict>,
        draw: Draw,
        step: usize,
        cx: &mut Context<'_>,
    ) -> Result<Entropy, FusionError> {
        self.entropy(tasks, weights, draw, step, cx)
    }

    fn block_grams(
        &self,
        _: &str,
        _: Arc<StateDict>,
        _: &[&str],
        _: Draw,
        _: &mut Context<'_>,
    ) -> Result<Grams, FusionError> {
        Ok(Grams::new())
    }

    fn count(&self, _: &str, _: Draw) -> Result<usize, FusionError> {
        Ok(1)
    }
}

/// It never breaks.
pub const SOUND: Breaking = Breaking { loss_at: usize::MAX, slope_at: usize::MAX };

/// Examples a task has.
const PRETENDED: usize = 10;

impl Calibration for Pretended {
    fn grams(
        &self,
        task: &str,
        model: &Checkpoint,
        draw: Draw,
        cx: &mut Context<'_>,
    ) -> Result<Arc<Grams>, FusionError> {
        cx.cancel.check()?;
        cx.advance(self.count(task, draw)?);
        let matrices = model.tensors().iter().filter(|info| info.shape.len() == 2 && info.name.contains("layers"));
        Ok(Arc::new(matrices.map(|info| pretended_gram(task, &info.name, info.shape[1])).collect()))
    }

    fn slopes(
        &self,
        task: &str,
        model: &Checkpoint,
        _: Slopes,
        draw: Draw,
        cx: &mut Context<'_>,
    ) -> Result<Arc<StateDict>, FusionError> {
        cx.cancel.check()?;
        cx.advance(self.count(task, draw)?);
        let mut made = StateDict::load(model);
        let own = task.bytes().map(f32::from).sum::<f32>();
        for tensor in made.tensors_mut() {
            if let Data::Float(values) = &mut tensor.data {
                values.iter_mut().enumerate().for_each(|(at, x)| *x = (at as f32 * 0.7 + own).sin().powi(2));
            }
        }
        Ok(Arc::new(made))
    }

    /// Half the squared length of the weights, for every task: the slope is the weights themselves.
    fn entropy(
        &self,
        tasks: &[&str],
        weights: Arc<StateDict>,
        _: Draw,
        _: usize,
        cx: &mut Context<'_>,
    ) -> Result<Entropy, FusionError> {
        cx.cancel.check()?;
        let n = tasks.len() as f32;
        let mut slope = (*weights).clone();
        let mut loss = 0.0;
        for tensor in slope.tensors_mut() {
            if let Data::Float(values) = &mut tensor.data {
                loss += values.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / 2.0;
                for x in values.iter_mut() {
                    *x *= n;
                }
            }
        }
        Ok(Entropy { losses: vec![loss; tasks.len()], information: None, slope })
    }

    fn cross_entropy(
        &self,
        tasks: &[&str],
        _: Option<&[f64]>,
        weights: Arc<StateDict>,
        draw: Draw,
        step: usize,
        cx: &mut Context<'_>,
    ) -> Result<Entropy, FusionError> {
        self.entropy(tasks, weights, draw, step, cx)
    }

    fn block_grams(
        &self,
        task: &str,
        weights: Arc<StateDict>,
        names: &[&str],
        draw: Draw,
        cx: &mut Context<'_>,
    ) -> Result<Grams, FusionError> {
        cx.cancel.check()?;
        cx.advance(self.count(task, draw)?);
        let named = weights.tensors().iter().filter(|tensor| names.contains(&tensor.name.as_str()));
        Ok(named.map(|tensor| pretended_gram(task, &tensor.name, tensor.shape[1])).collect())
    }

    /// Half the squared length of the routers' numbers, for every task.
    fn routed(
        &self,
        tasks: &[&str],
        mixture: &Mixture,
        _: Draw,
        _: usize,
        cx: &mut Context<'_>,
    ) -> Result<Routed, FusionError> {
        cx.cancel.check()?;
        let numbers = |router: &Router| match router {
            Router::Perceptron(network) => network.numbers().into_iter().map(f64::from).collect(),
            Router::Norms(_) => Vec::new(),
        };
        let slopes: Vec<Vec<f64>> = mixture.routers.iter().map(numbers).collect();
        let loss = slopes.iter().flatten().map(|x| x * x).sum::<f64>() / 2.0;
        let weights = vec![0.5; mixture.body.places.len() * mixture.body.experts.len()];
        let weights = vec![weights; tasks.len()];
        Ok(Routed { losses: vec![loss; tasks.len()], information: None, slopes, weights, seen: Vec::new() })
    }

    fn features(
        &self,
        task: &str,
        weights: Arc<StateDict>,
        draw: Draw,
        cx: &mut Context<'_>,
    ) -> Result<Features, FusionError> {
        cx.cancel.check()?;
        let count = self.count(task, draw)?;
        cx.advance(count);
        let shift = weights.tensors().iter().filter_map(Tensor::values).flatten().sum::<f32>();
        let values = (0..3 * count).map(|at| (at as f32 + shift).sin()).collect();
        Ok(Features { width: 3, values })
    }

    fn routing(
        &self,
        task: &str,
        mixture: &Mixture,
        draw: Draw,
        cx: &mut Context<'_>,
    ) -> Result<Vec<f64>, FusionError> {
        cx.cancel.check()?;
        cx.advance(self.count(task, draw)?);
        let weights = mixture.body.places.len() * mixture.body.experts.len();
        Ok((0..weights).map(|at| ((at + task.len()) as f64).sin().abs()).collect())
    }

    fn count(&self, _: &str, draw: Draw) -> Result<usize, FusionError> {
        Ok(draw.samples.min(PRETENDED))
    }
}

fn pretended_gram(task: &str, name: &str, n: usize) -> (String, Gram) {
    let rows: Vec<f64> = (0..3 * n * n).map(|at| (at as f64 + (task.len() + name.len()) as f64).sin()).collect();
    let product = |i: usize, j: usize| (0..3 * n).map(|row| rows[row * n + i] * rows[row * n + j]).sum();
    let values = (0..n * n).map(|at| product(at / n, at % n)).collect();
    (name.to_owned(), Gram { size: n, values: Arc::new(values), layout: Layout::OutIn })
}
