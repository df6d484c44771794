//! Fusion of eight experts of the size of CLIP ViT-B/32 (88 M parameters, f32, mapped from files), measured against the
//! memory bandwidth of the same machine in the same run.
//!
//! `FUSEBENCH_BENCH_LAYERS` (12), `FUSEBENCH_BENCH_EXPERTS` (8) and `FUSEBENCH_BENCH_ROUNDS` (5) make it smaller. An
//! argument that is not an option is a filter on the names; the spectral methods (`iso_c`, `tsv_m` …) run only if so named.
//! 12 layers and 8 experts take 3.2 GB in the temporary folder and as much page cache.

use fusebench::cancel::Cancel;
use fusebench::fusion::{Context, Fused, Incremental, LinearPlan, Origin, Pool, find, similarity};
use fusebench::params::{ParamSet, Value};
use fusebench::weights::Checkpoint;
use rayon::prelude::*;
use std::fs::File;
use std::hint::black_box;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::Instant;

/// As in the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    // `cargo test --benches` runs this too: then there is nothing to measure.
    if std::env::args().any(|argument| argument == "--test" || argument == "--list") {
        return;
    }
    let filter: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let number = |name: &str, default| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default);
    let layers = number("FUSEBENCH_BENCH_LAYERS", 12usize);
    let experts = number("FUSEBENCH_BENCH_EXPERTS", 8usize).max(2);
    let rounds = number("FUSEBENCH_BENCH_ROUNDS", 5usize).max(1);

    let folder = tempfile::tempdir().expect("a temporary folder");
    let model = |seed: u64| {
        let path = folder.path().join(format!("{seed}.safetensors"));
        write_model(&path, layers, seed).expect("room for the models");
        Checkpoint::open(&path).expect("the file just written")
    };
    let base = model(0);
    let elements = base.parameters();
    let pool = Pool::new(Some(base), (1..=experts as u64).map(|seed| (seed.to_string(), model(seed))).collect());
    let pool = pool.expect("models of one shape");

    println!(
        "{experts} experts × {:.1} M parameters, f32, mapped; {} threads; {rounds} rounds, median (smallest – largest)",
        elements as f64 / 1e6,
        rayon::current_num_threads()
    );
    let bench = Bench { filter, rounds, limit: probe(elements, rounds), elements };
    run(&bench, &pool);
}

struct Bench {
    filter: Vec<String>,
    rounds: usize,
    /// Bytes a second.
    limit: f64,
    elements: usize,
}

impl Bench {
    /// Times `work`, which has to move `streams` arrays of the models' size through memory at least.
    fn measure(&self, name: &str, streams: usize, mut work: impl FnMut()) {
        if !self.filter.is_empty() && !self.filter.iter().any(|part| name.contains(part)) {
            return;
        }
        let (median, least, most) = time(self.rounds, &mut work);
        let bytes = (streams * self.elements * 4) as f64;
        println!(
            "{name:34} {median:7.3} s ({least:.3} – {most:.3})  {streams:2} streams  {:5.1} GB/s  {:3.0} % of the memory limit ({:.0} – {:.0})",
            bytes / median / 1e9,
            100.0 * bytes / median / self.limit,
            100.0 * bytes / most / self.limit,
            100.0 * bytes / least / self.limit,
        );
    }
}

fn run(bench: &Bench, pool: &Pool) {
    let experts = pool.experts().len();
    let (cancel, mut silent) = (Cancel::default(), |_, _| {});
    let mut cx = Context::new(&cancel, &mut silent);
    let lambdas = vec![0.3; experts];
    let mut plan = LinearPlan::uniform(Origin::Base, pool, &lambdas);

    bench.measure("linear fusion, new output", experts + 2, || {
        black_box(plan.materialise(pool, &mut cx).expect("finite"));
    });
    let mut incremental = Incremental::new();
    incremental.fuse(&plan, pool, &mut cx).expect("finite");
    bench.measure("linear fusion, same output", experts + 2, || {
        black_box(incremental.refresh(&plan, pool, &mut cx).expect("finite"));
    });
    let mut nudges = 0;
    bench.measure("nudge of one expert", 4, || {
        nudges += 1;
        plan.coefficients[nudges % experts].iter_mut().for_each(|lambda| *lambda += 0.05);
        black_box(incremental.fuse(&plan, pool, &mut cx).expect("finite"));
    });
    for (id, streams) in [
        ("magmax", experts + 2),
        ("ties", 2 * (experts + 1) + 1),
        ("dare", experts + 2),
        ("dare_ties", 2 * (experts + 1) + 1),
        // One model per task: once over everything for the rescalers, once for what is shared and the masks.
        ("emr", 2 * (experts + 1) + 1),
        ("tall_mask", experts + 2),
        ("consensus_ta", experts + 2),
        ("randes", experts + 2),
        ("bitdelta", experts + 1),
    ] {
        let method = find(id).expect("a method");
        let given: Vec<(&str, Value)> = vec![];
        let params = ParamSet::checked(method.specs, given).expect("defaults");
        bench.measure(method.name, streams, || {
            let fused = method.run(&params, pool, &mut cx).expect("finite");
            assert!(matches!(black_box(fused), Fused::Weights(_) | Fused::PerTask(_)));
        });
    }
    let emr = find("emr").expect("a method");
    if let Ok(Fused::PerTask(models)) = emr.run(&ParamSet::defaults(emr.specs), pool, &mut cx) {
        let mut task = 0;
        bench.measure("emr, one task's model", 3, || {
            task += 1;
            black_box(models.model(task % experts, pool, &mut cx).expect("finite"));
        });
        let storage = models.storage(pool);
        println!("{:34} {:.1} % of the experts' bytes", "emr, stored", 100.0 * storage.share());
    }
    // Seconds, not memory bandwidth: singular vectors. Only when they are asked for by name.
    for id in ["iso_c", "iso_cts", "tsv_m", "svc", "opcm"] {
        if !bench.filter.iter().any(|part| part == id) {
            continue;
        }
        let method = find(id).expect("a method");
        let params = ParamSet::defaults(method.specs);
        bench.measure(id, experts + 2, || {
            black_box(method.run(&params, pool, &mut cx).expect("finite"));
        });
    }
    bench.measure("similarity", experts + 1, || {
        black_box(similarity(pool, &cancel).expect("a base"));
    });
}

/// The memory bandwidth in bytes a second: the best of reading, and of reading two arrays and writing one.
fn probe(elements: usize, rounds: usize) -> f64 {
    let (a, b) = (filled(elements, 1.0), filled(elements, 2.0));
    let mut c = filled(elements, 0.0);
    let block = 64 * 1024;
    let (read, ..) = time(rounds, &mut || {
        let sum = |(a, b): (&[f32], &[f32])| {
            let mut lanes = [0.0f32; 32];
            for (a, b) in a.as_chunks::<32>().0.iter().zip(b.as_chunks::<32>().0) {
                lanes.iter_mut().zip(a).zip(b).for_each(|((lane, a), b)| *lane += a + b);
            }
            lanes.iter().sum::<f32>()
        };
        black_box(a.par_chunks(block).zip(b.par_chunks(block)).map(sum).sum::<f32>());
    });
    let (triad, ..) = time(rounds, &mut || {
        let chunks = c.par_chunks_mut(block).zip(a.par_chunks(block)).zip(b.par_chunks(block));
        chunks.for_each(|((c, a), b)| c.iter_mut().zip(a).zip(b).for_each(|((c, a), b)| *c = a + 0.3 * b));
        black_box(&mut c);
    });
    let rate = |streams: usize, seconds: f64| (streams * elements * 4) as f64 / seconds;
    let (read, triad) = (rate(2, read), rate(3, triad));
    println!("memory: reading {:.1} GB/s, triad {:.1} GB/s; the larger is the limit", read / 1e9, triad / 1e9);
    read.max(triad)
}

/// An array whose pages exist.
fn filled(elements: usize, value: f32) -> Vec<f32> {
    let mut array = vec![0.0; elements];
    array.par_chunks_mut(1 << 16).for_each(|chunk| chunk.fill(value));
    array
}

/// Seconds: median, smallest, largest; after one run that does not count.
fn time(rounds: usize, work: &mut impl FnMut()) -> (f64, f64, f64) {
    work();
    let mut seconds: Vec<f64> = (0..rounds)
        .map(|_| {
            let start = Instant::now();
            work();
            start.elapsed().as_secs_f64()
        })
        .collect();
    seconds.sort_by(f64::total_cmp);
    (seconds[rounds / 2], seconds[0], seconds[rounds - 1])
}

/// Writes a model with the tensors of CLIP ViT-B/32's vision tower and so many layers; fine-tunes differ a little.
fn write_model(path: &Path, layers: usize, seed: u64) -> std::io::Result<()> {
    let mut tensors: Vec<(String, Vec<usize>)> = vec![
        ("embeddings.class_embedding".to_owned(), vec![768]),
        ("embeddings.patch_embedding.weight".to_owned(), vec![768, 3, 32, 32]),
        ("embeddings.position_embedding.weight".to_owned(), vec![50, 768]),
    ];
    for layer in 0..layers {
        let linear = |name: &str, out: usize, inner: usize| {
            let name = format!("encoder.layers.{layer}.{name}");
            [(format!("{name}.weight"), vec![out, inner]), (format!("{name}.bias"), vec![out])]
        };
        for name in ["q_proj", "k_proj", "v_proj", "out_proj"] {
            tensors.extend(linear(&format!("self_attn.{name}"), 768, 768));
        }
        tensors.extend(linear("mlp.fc1", 3072, 768));
        tensors.extend(linear("mlp.fc2", 768, 3072));
    }
    let mut end = 0usize;
    let entry = |(name, shape): &(String, Vec<usize>)| {
        let start = end;
        end += shape.iter().product::<usize>() * 4;
        format!(r#""{name}":{{"dtype":"F32","shape":{shape:?},"data_offsets":[{start},{end}]}}"#)
    };
    let header = format!("{{{}}}", tensors.iter().map(entry).collect::<Vec<_>>().join(","));
    // The data start aligned, as in files that the safetensors library writes.
    let header = format!("{header:width$}", width = header.len().next_multiple_of(8));
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path)?);
    file.write_all(&(header.len() as u64).to_le_bytes())?;
    file.write_all(header.as_bytes())?;
    let total = end / 4;
    let mut block = vec![0.0f32; 1 << 20];
    for start in (0..total).step_by(block.len()) {
        let block = &mut block[..(total - start).min(1 << 20)];
        block.par_iter_mut().enumerate().for_each(|(at, value)| {
            let at = (start + at) as u64;
            *value = 0.05 * noise(at) + if seed > 0 { 0.002 * noise(at ^ (seed << 40)) } else { 0.0 };
        });
        file.write_all(block.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>().as_slice())?;
    }
    file.flush()
}

/// A number that looks random, in −1..1, with few large ones as in real task vectors.
fn noise(seed: u64) -> f32 {
    let mut x = seed.wrapping_add(0x9e37_79b9_7f4a_7c15).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x ^= x >> 27;
    x = x.wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^= x >> 31;
    let uniform = (x >> 40) as f32 / (1u64 << 23) as f32 - 1.0;
    uniform * uniform * uniform
}
