//! A step of layer-wise AdaMerging on the CPU: merge, entropy of every task's batch, slopes over all coefficients, Adam.
//! CLIP-ViT-B/32 with random weights and eight experts beside PyTorch, and a hundred steps on the zoo's own models.
//! `cargo bench --bench adaptation`

#[path = "common/pytorch.rs"]
mod pytorch;
#[path = "common/report.rs"]
mod report;

use fusebench::cancel::Cancel;
use fusebench::engine::EngineError;
use fusebench::engine::calibration::{Source, Statistics};
use fusebench::fusion::{Context, News, Pool, Shown, find};
use fusebench::models::clip_vit::{ClipVitConfig, random_weights};
use fusebench::params::ParamSet;
use fusebench::weights::{Checkpoint, Data, Source as Bytes, StateDict};
use fusebench::zoo::{Head, Zoo};
use pytorch::pytorch;
use report::report;
use std::sync::Arc;
use std::time::Instant;

/// As in the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const EXPERTS: usize = 8;
/// Images of each task in a step, as in the paper.
const BATCH: usize = 16;
const CLASSES: usize = 10;
/// The first is not counted.
const STEPS: usize = 6;

fn main() {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    println!("a step of layer-wise AdaMerging, f32, {cores} threads, median (range)");
    let ours = report(&format!("CLIP-ViT-B/32, {EXPERTS} x {BATCH} images, fusebench"), "s", &mut clip());
    if let Some(mut theirs) = pytorch("adaptation_pytorch.py", [cores, EXPERTS, BATCH, STEPS - 1]) {
        let theirs = report("the same, PyTorch", "s", &mut theirs);
        println!("PyTorch's time / ours: {:.2}", theirs / ours);
    }
    for round in 1..=3 {
        let start = Instant::now();
        let zoo = Arc::new(Zoo::embedded().expect("the zoo"));
        let pool = zoo.pool().clone();
        let steps = steps(zoo, &pool, 100);
        let all = start.elapsed().as_secs_f64();
        println!("zoo, {} steps of eight tasks, round {round}: {all:.1} s", steps.len());
    }
}

/// Seconds of each step of CLIP-ViT-B/32 but the first.
fn clip() -> Vec<f64> {
    let config =
        ClipVitConfig { architectures: vec!["CLIPVisionModelWithProjection".to_owned()], ..ClipVitConfig::default() };
    let base = random_weights(&config, 1).expect("weights");
    let names: Vec<String> = (0..EXPERTS).map(|at| format!("task{at}")).collect();
    let experts = names.iter().zip(2..).map(|(name, seed)| {
        let mut expert = base.clone();
        let away = random_weights(&config, seed).expect("weights");
        for (tensor, away) in expert.tensors_mut().iter_mut().zip(away.tensors()) {
            if let (Data::Float(values), Some(away)) = (&mut tensor.data, away.values()) {
                values.iter_mut().zip(away).for_each(|(value, away)| *value += 0.05 * away);
            }
        }
        (name.clone(), checkpoint(name, &expert))
    });
    let pool = Pool::new(Some(checkpoint("base", &base)), experts.collect()).expect("a pool");
    drop(base);
    let dim = config.projection_dim;
    let rows = (0..CLASSES * dim).map(|at| (at as f32 * 0.37).sin()).collect();
    let head = Head { classes: CLASSES, dim, rows, scale: 100.0 };
    let mut seconds = steps(Arc::new(Made { config, head }), &pool, STEPS);
    seconds.remove(0);
    seconds
}

/// Seconds of each step.
fn steps(source: Arc<dyn Source>, pool: &Pool, steps: usize) -> Vec<f64> {
    let method = find("adamerging_layer_wise").expect("a method");
    let mut params = ParamSet::defaults(method.specs);
    for (name, value) in [("steps", steps), ("batch", BATCH)] {
        params.set_text(method.specs, name, &value.to_string()).expect("a value");
    }
    let statistics = Statistics::direct(source).expect("threads");
    let (cancel, mut silent) = (Cancel::default(), |_, _| {});
    let (mut seconds, mut last) = (Vec::new(), Instant::now());
    let mut listener = |news| {
        if matches!(news, News::Adapted(_)) {
            seconds.push(last.elapsed().as_secs_f64());
            last = Instant::now();
        }
    };
    let mut cx = Context::new(&cancel, &mut silent).with_data(&statistics).with_listener(&mut listener);
    method.run(&params, pool, &mut cx).expect("a result");
    seconds
}

fn checkpoint(name: &str, weights: &StateDict) -> Checkpoint {
    let views = weights.tensors().iter().map(|tensor| (tensor.name.as_str(), tensor));
    let bytes = safetensors::serialize(views, None).expect("bytes");
    Checkpoint::from_source(name, Bytes::Owned(bytes.into())).expect("a checkpoint")
}

/// Images that are the same for every task; only how long they take matters.
struct Made {
    config: ClipVitConfig,
    head: Head,
}

impl Source for Made {
    fn config(&self) -> &ClipVitConfig {
        &self.config
    }

    fn head(&self, _: &str) -> Result<&Head, EngineError> {
        Ok(&self.head)
    }

    fn count(&self, _: &str, _: Shown) -> Result<usize, EngineError> {
        Ok(BATCH * STEPS)
    }

    fn pixels(&self, _: &str, _: Shown, indices: &[usize]) -> Result<Vec<f32>, EngineError> {
        let each = self.config.num_channels * self.config.image_size * self.config.image_size;
        Ok(indices.iter().flat_map(|&index| (0..each).map(move |at| ((at + index) as f32 * 0.01).sin())).collect())
    }

    fn labels(&self, _: &str, _: Shown, indices: &[usize]) -> Result<Vec<usize>, EngineError> {
        Ok(vec![0; indices.len()])
    }
}
