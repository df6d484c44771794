//! Images a second of the forward pass on the CPU: CLIP-ViT-B/32 with random weights, and the zoo's own model over all
//! test images. `cargo bench --bench forward`

#[path = "common/pytorch.rs"]
mod pytorch;
#[path = "common/report.rs"]
mod report;

use burn::tensor::{Device, Tensor, TensorData};
use fusebench::cancel::Cancel;
use fusebench::models::clip_vit::{ClipVit, ClipVitConfig, random_weights};
use fusebench::params::Value;
use fusebench::tasks::Split;
use fusebench::zoo::{Judge, Zoo};
use pytorch::pytorch;
use report::report;
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
    println!("CLIP-ViT-B/32, f32, random weights, {cores} threads (one batch a thread), median (range)");
    for batch in [1, 8, 32] {
        forward(&model, batch, cores);
        let mut ours: Vec<f64> = (0..ROUNDS).map(|_| batch as f64 / forward(&model, batch, cores)).collect();
        let ours = report(&format!("batch {batch}, fusebench"), "images/s", &mut ours);
        if let Some(mut theirs) = pytorch("forward_pytorch.py", [cores, batch, ROUNDS]) {
            println!("ours / PyTorch's: {:.2}", ours / report("the same, PyTorch", "images/s", &mut theirs));
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
