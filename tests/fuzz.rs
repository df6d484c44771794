//! Readers of files that people did not write themselves, fed with what a mutator makes of a corpus: whatever comes, a
//! value or an error. Short by default; `FUSEBENCH_FUZZ_SECONDS=3600 cargo test --test fuzz` runs each reader
//! for an hour. A failure prints the seed; `FUSEBENCH_FUZZ_SEED=…` repeats it.

#[path = "fuzz/checkpoints.rs"]
mod checkpoints;
#[path = "fuzz/mutator.rs"]
mod mutator;

use mutator::Mutator;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

/// Feeds `read` with mutants of `corpus` for a while; `words` are worth inserting. Every input must be answered within
/// ten seconds.
fn fuzz(name: &str, corpus: &[Vec<u8>], words: &[&str], read: impl Fn(&[u8])) {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect(name));
    let seconds = number("FUSEBENCH_FUZZ_SECONDS");
    let first = number("FUSEBENCH_FUZZ_SEED");
    let (start, mut inputs) = (Instant::now(), 0u64);
    let enough = |inputs: u64| match (first, seconds) {
        (Some(_), _) => inputs > 0,
        (None, Some(seconds)) => start.elapsed() > Duration::from_secs(seconds),
        (None, None) => inputs >= 2000,
    };
    while !enough(inputs) {
        let seed = first.unwrap_or(inputs);
        let bytes = Mutator::new(seed, words).mutant(corpus);
        let text = String::from_utf8_lossy(&bytes);
        let slow = || {
            let began = Instant::now();
            let answer = catch_unwind(AssertUnwindSafe(|| read(&bytes)));
            assert!(answer.is_ok(), "{name}: FUSEBENCH_FUZZ_SEED={seed} panics with\n{text:?}");
            began.elapsed() > Duration::from_secs(10)
        };
        // Twice: a busy machine may have held it up once.
        assert!(!(slow() && slow()), "{name}: FUSEBENCH_FUZZ_SEED={seed} takes long with\n{text:?}");
        inputs += 1;
    }
    println!("{name}: {inputs} inputs in {:.0} s", start.elapsed().as_secs_f64());
}
