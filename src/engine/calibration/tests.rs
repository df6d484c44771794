//! Statistics of a small random tower on made-up images.

mod faults;

use super::{Source, Statistics};
use crate::cancel::Cancel;
use crate::engine::EngineError;
use crate::fusion::{Calibration, Context, Draw, Fused, FusionError, Grams, News, Pool, Router, Shown, Slopes, find};
use crate::models::clip_vit::{ClipVitConfig, random_weights};
use crate::params::{ParamSet, Value};
use crate::weights::{Checkpoint, Source as Bytes, StateDict};
use crate::zoo::Head;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Tasks `a`, `b` and `c`, with 20 examples each, and `empty`, with none.
pub struct Made {
    config: ClipVitConfig,
    head: Head,
    /// Examples that were looked at.
    pub seen: AtomicUsize,
    /// Examples after which pixels are no numbers.
    good: usize,
}

impl Made {
    pub fn new() -> Self {
        let config = ClipVitConfig {
            architectures: vec!["CLIPVisionModelWithProjection".to_owned()],
            hidden_size: 12,
            intermediate_size: 20,
            projection_dim: 6,
            num_hidden_layers: 2,
            num_attention_heads: 3,
            image_size: 8,
            patch_size: 4,
            ..ClipVitConfig::default()
        };
        let head = Head::new(6, (0..18).map(|at| (at as f32 * 1.7).sin()).collect(), 8.0);
        Self { config, head, seen: AtomicUsize::new(0), good: usize::MAX }
    }

    /// A tower with random weights.
    pub fn tower(&self, seed: u64) -> Checkpoint {
        let weights = random_weights(&self.config, seed).unwrap();
        let views = weights.tensors().iter().map(|tensor| (tensor.name.as_str(), tensor));
        let bytes = safetensors::serialize(views, None).unwrap();
        Checkpoint::from_source("tower", Bytes::Owned(bytes.into())).unwrap()
    }
}

impl Source for Made {
    fn config(&self) -> &ClipVitConfig {
        &self.config
    }

    fn head(&self, _: &str) -> Result<&Head, EngineError> {
        Ok(&self.head)
    }

    fn count(&self, task: &str, _: Shown) -> Result<usize, EngineError> {
        match task {
            "a" | "b" | "c" => Ok(20),
            "empty" => Ok(0),
            _ => Err(FusionError::Data { task: task.to_owned(), reason: "no such task".to_owned() }.into()),
        }
    }

    fn pixels(&self, task: &str, _: Shown, indices: &[usize]) -> Result<Vec<f32>, EngineError> {
        let seen = self.seen.fetch_add(indices.len(), Ordering::Relaxed);
        let own = if seen < self.good { f32::from(task.as_bytes()[0]) } else { f32::NAN };
        let pixel = |at: usize, i: usize| ((at * 192 + i) as f32 * 0.37 + own).sin();
        Ok(indices.iter().flat_map(|&at| (0..192).map(move |i| pixel(at, i))).collect())
    }

    /// Task `b` claims to have more classes than the head has.
    fn labels(&self, task: &str, _: Shown, indices: &[usize]) -> Result<Vec<usize>, EngineError> {
        Ok(indices.iter().map(|at| if task == "b" { at + 3 } else { at % self.head.classes }).collect())
    }
}

pub const ALL: Draw = Draw { shown: Shown::Validation, samples: 100, batch: 8, seed: 0 };

fn grams(statistics: &Statistics, task: &str, model: &Checkpoint, draw: Draw) -> Result<Arc<Grams>, FusionError> {
    let (cancel, mut silent) = (Cancel::default(), |_, _| {});
    statistics.grams(task, model, draw, &mut Context::new(&cancel, &mut silent))
}

#[test]
fn gram_matrices_do_not_depend_on_batches_and_are_not_computed_twice() {
    let made = Arc::new(Made::new());
    let model = made.tower(3);
    let statistics = Statistics::direct(Arc::clone(&made) as Arc<dyn Source>).unwrap();
    let whole = grams(&statistics, "a", &model, ALL).unwrap();
    assert_eq!(whole.len(), 2 * 6 + 1, "two blocks and a projection: {:?}", whole.keys());
    assert_eq!(made.seen.load(Ordering::Relaxed), 20);
    assert!(Arc::ptr_eq(&whole, &grams(&statistics, "a", &model, ALL).unwrap()));
    assert_eq!(made.seen.load(Ordering::Relaxed), 20, "known already");
    // Other batches, other order: the same sums.
    let again = grams(&statistics, "a", &model, Draw { batch: 3, seed: 9, ..ALL }).unwrap();
    for (name, gram) in &*whole {
        let scale = gram.values.iter().fold(0.0f64, |most, x| most.max(x.abs()));
        for (a, b) in gram.values.iter().zip(&*again[name].values) {
            assert!((a - b).abs() < 1e-5 * scale, "{name}: {a} {b}");
        }
        for (i, j) in [(0, 1), (2, 0), (gram.size - 1, 1)] {
            let (a, b) = (gram.values[i * gram.size + j], gram.values[j * gram.size + i]);
            assert!((a - b).abs() < 1e-6 * scale, "{name} is symmetric");
        }
    }
    let (q, v) = (
        "vision_model.encoder.layers.0.self_attn.q_proj.weight",
        "vision_model.encoder.layers.0.self_attn.v_proj.weight",
    );
    assert!(Arc::ptr_eq(&whole[q].values, &whole[v].values), "query and value see the same inputs");
}

#[test]
fn what_cannot_be_looked_at_is_named() {
    let made = Arc::new(Made::new());
    let model = made.tower(3);
    let statistics = Statistics::direct(Arc::clone(&made) as Arc<dyn Source>).unwrap();
    let error = |task: &str, draw: Draw| grams(&statistics, task, &model, draw).unwrap_err().to_string();
    assert_eq!(error("empty", ALL), "empty: there are no validation examples to look at");
    assert_eq!(error("empty", Draw { shown: Shown::Test, ..ALL }), "empty: there are no test examples to look at");
    assert_eq!(error("nobody", ALL), "nobody: no such task");
    let cancel = Cancel::default();
    let mut stop = |_, _| cancel.cancel();
    let stopped = statistics.grams("a", &model, Draw { batch: 1, ..ALL }, &mut Context::new(&cancel, &mut stop));
    assert!(matches!(stopped, Err(FusionError::Cancelled(_))));
    assert!(made.seen.load(Ordering::Relaxed) < 20, "it went on to the end");
}

#[test]
fn the_gram_matrices_of_a_block_are_those_of_the_whole_tower() {
    let made = Arc::new(Made::new());
    let model = made.tower(3);
    let statistics = Statistics::direct(Arc::clone(&made) as Arc<dyn Source>).unwrap();
    let whole = grams(&statistics, "a", &model, ALL).unwrap();
    let weights = Arc::new(StateDict::load(&model));
    let (cancel, mut silent) = (Cancel::default(), |_, _| {});
    let mut block = |name: &str| {
        let mut cx = Context::new(&cancel, &mut silent);
        statistics.block_grams("a", Arc::clone(&weights), &[name], ALL, &mut cx).unwrap()
    };
    for (name, count) in [
        ("vision_model.encoder.layers.0.mlp.fc1.weight", 6),
        ("vision_model.encoder.layers.1.self_attn.out_proj.weight", 6),
        ("visual_projection.weight", 1),
    ] {
        let found = block(name);
        assert_eq!(found.len(), count, "{name}: {:?}", found.keys());
        assert!(found.contains_key(name) && found.iter().all(|(name, gram)| *gram == whole[name]), "{name}");
    }
    let seen = made.seen.load(Ordering::Relaxed);
    assert!(block("vision_model.embeddings.position_embedding.weight").is_empty());
    assert_eq!(made.seen.load(Ordering::Relaxed), seen, "what is no linear layer needs no look");
}

#[test]
fn the_cross_entropy_has_the_slope_that_differences_say_and_labels_must_fit() {
    let made = Arc::new(Made::new());
    let model = made.tower(3);
    let statistics = Statistics::direct(Arc::clone(&made) as Arc<dyn Source>).unwrap();
    let (cancel, mut silent) = (Cancel::default(), |_, _| {});
    let mut cx = Context::new(&cancel, &mut silent);
    let name = "vision_model.encoder.layers.0.mlp.fc1.weight";
    let loss = |nudge: f32, cx: &mut Context<'_>| {
        let mut weights = StateDict::load(&model);
        let tensor = weights.tensors_mut().iter_mut().find(|tensor| tensor.name == name).unwrap();
        let crate::weights::Data::Float(values) = &mut tensor.data else { panic!() };
        values[5] += nudge;
        statistics.cross_entropy(&["a"], None, Arc::new(weights), ALL, 0, cx)
    };
    let here = loss(0.0, &mut cx).unwrap();
    let slope = f64::from(here.slope.get(name).unwrap().values().unwrap()[5]);
    let sides = [loss(0.02, &mut cx).unwrap().losses[0], loss(-0.02, &mut cx).unwrap().losses[0]];
    let measured = (sides[0] - sides[1]) / 0.04;
    assert!((measured - slope).abs() < 0.02 * slope.abs() + 2e-4, "{measured} {slope}");
    // Of one example, the mean size of the slope is the slope's size.
    let one = Draw { samples: 1, batch: 1, ..ALL };
    let sizes = statistics.slopes("a", &model, Slopes::LabelledMagnitudes, one, &mut cx).unwrap();
    let own = statistics.cross_entropy(&["a"], None, Arc::new(StateDict::load(&model)), one, 0, &mut cx).unwrap();
    let (sizes, own) = (sizes.get(name).unwrap().values().unwrap(), own.slope.get(name).unwrap().values().unwrap());
    assert!(sizes.iter().any(|x| *x > 0.0));
    assert!(sizes.iter().zip(own).all(|(size, x)| (size - x.abs()).abs() < 1e-6));
    let error = statistics.slopes("b", &model, Slopes::LabelledMagnitudes, one, &mut cx).unwrap_err().to_string();
    assert_eq!(error, "b: labels are missing or not below 3, the number of classes");
}

#[test]
fn the_entropy_has_the_slope_over_routers_that_differences_say() {
    let made = Arc::new(Made::new());
    let statistics = Statistics::direct(Arc::clone(&made) as Arc<dyn Source>).unwrap();
    let (cancel, mut silent) = (Cancel::default(), |_, _| {});
    let mut cx = Context::new(&cancel, &mut silent).with_data(&statistics);
    let experts = [("a", 4), ("b", 5)].map(|(task, seed)| (task.to_owned(), made.tower(seed)));
    let pool = Pool::new(Some(made.tower(3)), experts.into()).unwrap();
    for id in ["wemoe", "e_wemoe", "rankone_moe", "dawe"] {
        let method = find(id).unwrap();
        let given = [("steps", Value::Int(0)), ("rate", Value::Float(0.01))];
        let params = ParamSet::checked(method.specs, given).unwrap();
        let Fused::Mixture(mixture) = method.run(&params, &pool, &mut cx).unwrap() else { panic!("{id}") };
        let draw = Draw { batch: 20, ..ALL };
        let here = statistics.routed(&["a", "b"], &mixture, draw, 0, &mut cx).unwrap();
        assert_eq!((here.losses.len(), here.weights.len(), here.slopes.len()), (2, 2, mixture.routers.len()));
        // A router of one layer answers on the mean what it would answer to the mean.
        let Router::Perceptron(network) = &mixture.routers[0] else { panic!("not trained") };
        if let ([layer], "wemoe") = (&network.layers[..], id) {
            for (expert, (row, bias)) in layer.weight.chunks_exact(layer.inputs).zip(&layer.bias).enumerate() {
                let to_mean = row.iter().zip(&here.seen[0]).map(|(a, x)| f64::from(*a) * x).sum::<f64>();
                let mean = here.weights.iter().map(|weights| weights[expert]).sum::<f64>() / 2.0;
                assert!((to_mean + f64::from(*bias) - mean).abs() < 1e-5, "{to_mean} {bias} {mean}");
            }
        }
        let at = mixture.routers[0].len() - 1;
        let mut loss = |by: f32| {
            let mut nudged = mixture.clone();
            let Router::Perceptron(network) = &nudged.routers[0] else { panic!("not trained") };
            let mut numbers = network.numbers();
            numbers[at] += by;
            nudged.routers[0] = Router::Perceptron(Arc::new(network.with_numbers(numbers)));
            statistics.routed(&["a", "b"], &nudged, draw, 0, &mut cx).unwrap().losses.iter().sum::<f64>()
        };
        let measured = (loss(0.02) - loss(-0.02)) / 0.04;
        let slope = here.slopes[0][at];
        assert!((measured - slope).abs() < 0.03 * slope.abs() + 2e-4, "{id}: {measured} {slope}");
        let mean = statistics.routing("a", &mixture, ALL, &mut cx).unwrap();
        assert!(mean.iter().zip(&here.weights[0]).all(|(a, b)| (a - b).abs() < 1e-5), "{id}");
    }
}

#[test]
fn training_routers_makes_answers_surer_and_is_reproducible() {
    let made = Arc::new(Made::new());
    let statistics = Statistics::direct(Arc::clone(&made) as Arc<dyn Source>).unwrap();
    let experts = [("a", 4), ("b", 5)].map(|(task, seed)| (task.to_owned(), made.tower(seed)));
    let pool = Pool::new(Some(made.tower(3)), experts.into()).unwrap();
    let run = |steps: i64| {
        let method = find("wemoe").unwrap();
        let given = [("steps", Value::Int(steps)), ("rate", Value::Float(0.02))];
        let params = ParamSet::checked(method.specs, given).unwrap();
        let (cancel, mut silent, mut heard) = (Cancel::default(), |_, _| {}, Vec::new());
        let mut listener = |news| heard.push(news);
        let mut cx = Context::new(&cancel, &mut silent).with_data(&statistics).with_listener(&mut listener);
        let Fused::Mixture(mixture) = method.run(&params, &pool, &mut cx).unwrap() else { panic!("no mixture") };
        let losses = heard.into_iter().filter_map(|news| match news {
            News::Adapted(adapted) => Some(adapted.losses.iter().sum::<f64>()),
            _ => None,
        });
        (losses.collect::<Vec<f64>>(), mixture.routers)
    };
    let (losses, routers) = run(20);
    assert!(losses.len() == 20 && losses[19] < losses[0] - 0.01, "{losses:?}");
    assert!(run(20).1 == routers, "the same seed gives the same routers");
}

#[test]
fn a_learned_mask_is_not_learned_again_for_another_coefficient() {
    let made = Arc::new(Made::new());
    let experts = [("a", 4), ("b", 5)].map(|(name, seed)| (name.to_owned(), made.tower(seed)));
    let pool = Pool::new(Some(made.tower(3)), experts.into()).unwrap();
    let statistics = Statistics::direct(Arc::clone(&made) as Arc<dyn Source>).unwrap();
    let method = find("concrete_task_arithmetic").unwrap();
    let run = |statistics: &Statistics, scaling: f64, logit: f64, pool: &Pool| {
        // Answers of models at random come to be the same as likely as not; of so few images nobody judges.
        let counts = [("steps", Value::Int(2)), ("batch", Value::Int(4))];
        let given = [("scaling", Value::Float(scaling)), ("logit", Value::Float(logit))].into_iter().chain(counts);
        let (cancel, mut silent) = (Cancel::default(), |_, _| {});
        let mut cx = Context::new(&cancel, &mut silent).with_data(statistics);
        match method.run(&ParamSet::checked(method.specs, given).unwrap(), pool, &mut cx).unwrap() {
            Fused::Weights(weights) => (weights, made.seen.load(Ordering::Relaxed)),
            other => panic!("{other:?}"),
        }
    };
    let (first, seen) = run(&statistics, 0.3, 0.0, &pool);
    assert!(seen > 0);
    let (second, again) = run(&statistics, 0.6, 0.0, &pool);
    assert_eq!(again, seen, "the mask is known");
    let fresh = Statistics::direct(Arc::clone(&made) as Arc<dyn Source>).unwrap();
    let (anew, after) = run(&fresh, 0.6, 0.0, &pool);
    assert!(after > again && anew == second && anew != first, "what is kept and what is learned are the same");
    let (_, other) = run(&statistics, 0.6, 1.0, &pool);
    assert!(other > after, "another start, another mask");
    let swapped = [("b", 4), ("a", 5)].map(|(name, seed)| (name.to_owned(), made.tower(seed)));
    let swapped = Pool::new(Some(made.tower(3)), swapped.into()).unwrap();
    let (_, last) = run(&statistics, 0.6, 1.0, &swapped);
    assert!(last > other, "other models, another mask");
}
