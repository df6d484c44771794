//! The contract of windows: fused window by window, a model is the same to the last bit as fused at once.

use crate::cancel::Cancel;
use crate::fusion::stream::Sink;
use crate::fusion::testing::{Pretended, checkpoint, counter, params, tensor};
use crate::fusion::{Context, FusionError, METHODS, Method, Pool};
use crate::params::Value;
use crate::weights::{Checkpoint, DType};
use std::collections::BTreeMap;
use std::sync::Mutex;

/// What a stream hands out, as bytes by tensor name.
struct Collect<'a> {
    names: Vec<&'a str>,
    seen: Mutex<Bytes>,
}

impl Sink for Collect<'_> {
    fn floats(&self, model: usize, tensor: usize, offset: usize, values: &mut [f32]) -> Result<(), FusionError> {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        assert!(self.seen.lock().unwrap().insert((model, self.names[tensor].to_owned(), offset), bytes).is_none());
        Ok(())
    }

    fn raw(&self, tensor: usize, bytes: &[u8]) -> Result<(), FusionError> {
        assert!(self.seen.lock().unwrap().insert((0, self.names[tensor].to_owned(), 0), bytes.to_vec()).is_none());
        Ok(())
    }
}

/// Values on a coarse grid, so that magnitudes are equal and signs cancel; `seed` 0 is the base.
fn values(seed: usize, tensor: usize, length: usize) -> Vec<f32> {
    let value = |at: usize| {
        let x = (at * 7919 + tensor * 104_729 + 13) % 97;
        let delta = if seed == 0 { 0 } else { (at * (31 * seed + 7) + tensor * 17 + seed * 5) % 9 };
        x as f32 / 16.0 + (delta as f32 - 4.0) / 8.0
    };
    (0..length).map(value).collect()
}

fn model(seed: usize) -> Checkpoint {
    let shapes: [(&str, &[usize], DType); 7] = [
        ("embeddings.weight", &[17, 5], DType::F32),
        ("encoder.layers.0.fc.weight", &[70, 300], DType::F32),
        ("encoder.layers.0.fc.bias", &[70], DType::Bf16),
        ("encoder.layers.1.fc.weight", &[64, 64], DType::F16),
        ("encoder.layers.1.norm.running_var", &[5], DType::F32),
        ("logit_scale", &[], DType::F32),
        ("nothing", &[0, 3], DType::F32),
    ];
    let float = |(at, (name, shape, dtype)): (usize, (&str, &[usize], DType))| {
        tensor(name, shape, dtype, values(seed, at, shape.iter().product()))
    };
    let mut tensors: Vec<_> = shapes.into_iter().enumerate().map(float).collect();
    tensors.push(counter("num_batches_tracked", 10 + 3 * seed as i64));
    checkpoint(tensors)
}

/// By model, tensor and offset.
type Bytes = BTreeMap<(usize, String, usize), Vec<u8>>;

/// The model fused in windows of `size` tensors; all at once for 0.
fn fused(method: &Method, given: &[(&str, Value)], pool: &Pool, size: usize) -> Bytes {
    let experts: Vec<usize> = if method.is_per_task() { (0..pool.experts().len()).rev().collect() } else { Vec::new() };
    let (cancel, mut silent) = (Cancel::default(), |_, _| {});
    let mut cx = Context::new(&cancel, &mut silent).with_data(&Pretended);
    let names: Vec<&str> = pool.reference().unwrap().tensors().iter().map(|info| info.name.as_str()).collect();
    let params = params(method, given);
    let mut all = Bytes::new();
    if size == 0 {
        let sink = Collect { names, seen: Mutex::default() };
        method.stream(&params, pool, &experts, &mut cx, &sink).unwrap();
        return sink.seen.into_inner().unwrap();
    }
    // Not in the reference's order: that must make no difference either.
    let names: Vec<&str> = names.into_iter().rev().collect();
    for window in names.chunks(size) {
        let sink = Collect { names: window.to_vec(), seen: Mutex::default() };
        method.stream(&params, &pool.window(window.iter().copied()), &experts, &mut cx, &sink).unwrap();
        all.extend(sink.seen.into_inner().unwrap());
    }
    all
}

fn same_by_windows(method: &Method, given: &[(&str, Value)]) {
    let experts = method.needs.max_models.unwrap_or(4).min(4).max(method.needs.min_models);
    let pool = Pool::new(Some(model(0)), (1..=experts).map(|at| (format!("e{at}"), model(at))).collect()).unwrap();
    let whole = fused(method, given, &pool, 0);
    for size in [1, 3, 8] {
        let windows = fused(method, given, &pool, size);
        assert_eq!(whole.keys().collect::<Vec<_>>(), windows.keys().collect::<Vec<_>>(), "{}", method.id);
        for (key, bytes) in &whole {
            assert!(
                *bytes == windows[key],
                "{} differs in {key:?} by windows of {size}: what it needs of the whole model belongs into \
                 `Context::survey`, or the method into `stream::WHOLE`",
                method.id
            );
        }
    }
}

#[test]
fn every_method_is_the_same_by_windows_as_at_once() {
    for method in METHODS.iter().filter(|method| method.gives_weights() && method.streams()) {
        same_by_windows(method, &[]);
    }
}

#[test]
fn also_where_the_majority_of_the_whole_model_decides() {
    for merge in ["sum", "mean", "max"] {
        let given = [("merge", Value::Text(merge.into())), ("density", Value::Float(0.9))];
        same_by_windows(crate::fusion::find("ties").unwrap(), &given);
    }
}
