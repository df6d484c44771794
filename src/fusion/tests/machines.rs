//! The same result whatever the number of cores, and where chunks end.

use crate::cancel::Cancel;
use crate::fusion::testing::{checkpoint, fitting, flat, fuse, fuse_all, tensor};
use crate::fusion::{Family, METHODS, Pool, similarity};
use crate::weights::{Checkpoint, DType};

/// Larger than two chunks and no multiple of anything.
const LARGE: usize = 2 * 16 * 1024 + 4097;

/// Numbers that look random.
fn noise(seed: u32, count: usize) -> Vec<f32> {
    let step = |state: &mut u32| {
        *state ^= *state << 13;
        *state ^= *state >> 17;
        *state ^= *state << 5;
        Some(*state as f32 / u32::MAX as f32 - 0.5)
    };
    std::iter::repeat(()).scan(seed * 2_654_435 + 1, |state, ()| step(state)).take(count).collect()
}

fn large(seed: u32, dtype: DType) -> Checkpoint {
    let values = noise(seed, LARGE + 3);
    checkpoint(vec![
        tensor("layers.0.weight", &[LARGE, 1], dtype, values[..LARGE].to_vec()),
        tensor("layers.1.bias", &[3], dtype, values[LARGE..].to_vec()),
    ])
}

fn pool(dtype: DType, experts: u32) -> Pool {
    let experts = (1..=experts).map(|seed| (seed.to_string(), large(seed, dtype))).collect();
    Pool::new(Some(large(0, dtype)), experts).unwrap()
}

#[test]
fn one_core_or_four_make_no_difference() {
    let pool = pool(DType::F32, 2);
    let cores = |count| rayon::ThreadPoolBuilder::new().num_threads(count).build().unwrap();
    for method in METHODS.iter().filter(|method| matches!(method.family, Family::Merging | Family::Compression)) {
        let pool = Pool::new(pool.base().cloned(), fitting(method, pool.experts()).to_vec()).unwrap();
        let with = |count| {
            let all = cores(count).install(|| fuse_all(method.id, &[], &pool)).unwrap();
            all.iter().flat_map(flat).collect::<Vec<f32>>()
        };
        assert!(with(1) == with(4), "{}", method.id);
    }
    let cosine = |count| cores(count).install(|| similarity(&pool, &Cancel::default())).unwrap();
    assert_eq!(cosine(1), cosine(4));
}

#[test]
fn many_experts_in_every_dtype_agree_with_f64() {
    // More experts than a kernel is handed without an allocation.
    for (dtype, count) in [(DType::F32, 20), (DType::F16, 5), (DType::Bf16, 3), (DType::F64, 17)] {
        let pool = pool(dtype, count);
        let out = fuse("task_arithmetic", &[], &pool).unwrap();
        let read = |model: &Checkpoint| -> Vec<f64> { model.iter().flat_map(|tensor| tensor.to_f64_vec()).collect() };
        let base = read(pool.base().unwrap());
        let mut expected = base.clone();
        for (_, expert) in pool.experts() {
            expected.iter_mut().zip(read(expert)).zip(&base).for_each(|((sum, x), base)| *sum += 0.3 * (x - base));
        }
        for (at, (ours, expected)) in flat(&out).iter().zip(&expected).enumerate() {
            assert!((f64::from(*ours) - expected).abs() < 3e-6, "{dtype} {at}: {ours} {expected}");
        }
    }
}

#[test]
fn similarity_is_that_of_the_flat_vectors() {
    let pool = pool(DType::F32, 3);
    let found = similarity(&pool, &Cancel::default()).unwrap();
    let read = |model: &Checkpoint| -> Vec<f64> { model.iter().flat_map(|tensor| tensor.to_f64_vec()).collect() };
    let base = read(pool.base().unwrap());
    let vectors: Vec<Vec<f64>> =
        pool.experts().iter().map(|(_, e)| read(e).iter().zip(&base).map(|(a, b)| a - b).collect()).collect();
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-6 * b.abs().max(1.0), "{a} {b}");
    close(found.base_norm, dot(&base, &base).sqrt());
    for (i, a) in vectors.iter().enumerate() {
        close(found.norms[i], dot(a, a).sqrt());
        for (j, b) in vectors.iter().enumerate() {
            close(found.cosine[i][j], dot(a, b) / (dot(a, a) * dot(b, b)).sqrt());
        }
        // Blocks: embeddings (nothing), layer 0, layer 1, head (nothing).
        close(found.group_norms[i][1], dot(&a[..LARGE], &a[..LARGE]).sqrt());
        close(found.group_norms[i][2], dot(&a[LARGE..], &a[LARGE..]).sqrt());
        assert_eq!((found.group_norms[i][0], found.group_norms[i][3]), (0.0, 0.0));
    }
    assert_eq!(found.names, ["1", "2", "3"]);
}

#[test]
fn dare_keeps_the_expected_size() {
    // E[m∘τ/(1−p)] = τ: over many elements the mean change agrees within a few standard errors.
    let ones = |value| checkpoint(vec![tensor("w", &[LARGE], DType::F32, vec![value; LARGE])]);
    let pool = Pool::new(Some(ones(0.0)), vec![("a".into(), ones(1.0))]).unwrap();
    let given = [("drop", crate::params::Value::Float(0.9)), ("scaling", crate::params::Value::Float(1.0))];
    let out = flat(&fuse("dare", &given, &pool).unwrap());
    let mean = out.iter().map(|x| f64::from(*x)).sum::<f64>() / LARGE as f64;
    assert!((mean - 1.0).abs() < 5.0 * (9.0 / LARGE as f64).sqrt(), "{mean}");
    assert!(out.iter().all(|x| *x == 0.0 || (x - 10.0).abs() < 1e-5));
}
