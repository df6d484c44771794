//! Images a second of the forward pass on the CPU: CLIP-ViT-B/32 with random weights, and the zoo's own model over all
//! test images. `cargo bench --bench forward`

use burn::tensor::{Device, Tensor, TensorData};
use fusebench::cancel::Cancel;
use fusebench::models::clip_vit::{ClipVit, ClipVitConfig, random_weights};
use fusebench::params::Value;
use fusebench::tasks::Split;
use fusebench::zoo::{Judge, Zoo};
use std::time::Instant;

/// As in the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROUNDS: usize = 7;

fn main() {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let config = ClipVitConfig::default();
    let mut model = ClipVit::new(&config, &Device::flex()).expect("a model");
    model.load(&random_weights(&config, 1).expect("weights")).expect("weights fit");
    println!("CLIP-ViT-B/32, f32, random weights, {cores} threads (one batch a thread), images/s, median (range)");
    for batch in [1, 8, 32] {
        forward(&model, batch, cores);
        let mut ours: Vec<f64> = (0..ROUNDS).map(|_| batch as f64 / forward(&model, batch, cores)).collect();
        let median = report(&format!("batch {batch:2}  fusebench"), &mut ours);
        match pytorch(cores, batch) {
            Some(mut theirs) => {
                let ratio = median / report("          PyTorch", &mut theirs);
                println!("            ratio      {ratio:.2}");
            }
            None => println!("            PyTorch is not installed here (python3 -c 'import torch')"),
        }
    }

    let zoo = Zoo::embedded().expect("the zoo");
    let images: usize = zoo.tasks().iter().map(|task| task.len(Split::Test)).sum();
    let cancel = Cancel::default();
    let mut judge = Judge::new(&zoo, &zoo, &cancel).expect("a judge");
    for round in ["first (decompresses)", "second"] {
        let start = Instant::now();
        let accuracy =
            judge.merged("task_arithmetic", &[("scaling", Value::Float(0.3))], Split::Test).expect("an evaluation");
        let seconds = start.elapsed().as_secs_f64();
        let speed = images as f64 / seconds;
        println!(
            "zoo, {images} test images, {round}: {seconds:.2} s, {speed:.0} images/s, mean accuracy {accuracy:.4}"
        );
    }
}

/// Seconds for one batch, its images divided among the cores.
fn forward(model: &ClipVit, batch: usize, cores: usize) -> f64 {
    let share = batch.div_ceil(cores);
    let start = Instant::now();
    std::thread::scope(|scope| {
        for first in (0..batch).step_by(share) {
            let n = share.min(batch - first);
            scope.spawn(move || {
                let pixels = vec![0.1f32; n * 3 * 224 * 224];
                let pixels = Tensor::<4>::from_data(TensorData::new(pixels, [n, 3, 224, 224]), &Device::flex());
                // One image alone may use all cores; several get one core each.
                let threads = if batch == 1 { cores } else { 1 };
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
                pool.install(|| model.features(pixels)).into_data()
            });
        }
    });
    start.elapsed().as_secs_f64()
}

/// PyTorch's figures, in its own process; nothing where it is not installed.
fn pytorch(threads: usize, batch: usize) -> Option<Vec<f64>> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/forward_pytorch.py");
    let numbers = [threads, batch, ROUNDS].map(|number| number.to_string());
    let output = std::process::Command::new("python3").arg(script).args(numbers).output().ok()?;
    let lines = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| lines.lines().filter_map(|line| line.parse().ok()).collect())
}

/// Prints median and range, returns the median.
fn report(what: &str, values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let (low, mid, high) = (values[0], values[values.len() / 2], values[values.len() - 1]);
    println!("  {what}  {mid:7.1} ({low:.1} – {high:.1}, {} runs)", values.len());
    mid
}
