//! One single-threaded pool a core.

use super::EngineError;
use rayon::{ThreadPool, ThreadPoolBuilder};

/// How many threads work uses on the CPU.
pub(super) fn cpu_threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// One single-threaded pool a core: small networks run fastest with one batch a core, and burn's own parallelism
/// inside each batch would only get in its way.
pub(super) struct Lanes(Vec<ThreadPool>);

impl Lanes {
    pub fn new() -> Result<Self, EngineError> {
        let lane = |at: usize| {
            ThreadPoolBuilder::new()
                .num_threads(1)
                .thread_name(move |_| format!("lane-{at}"))
                // The interface must win every race for a core, so that a keypress is drawn at once.
                .start_handler(|_| {
                    let _ = rustix::process::nice(5);
                })
                .build()
        };
        let lanes = (0..cpu_threads()).map(lane).collect::<Result<_, _>>();
        lanes.map(Self).map_err(|error| EngineError::Panic(error.to_string()))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// What `work` makes of each item, in order: on all lanes, or one after the other on this thread where there is one
    /// item only or the device is a GPU.
    pub fn map<T: Sync, R: Send>(&self, items: &[T], is_gpu: bool, work: impl Fn(&T) -> R + Sync) -> Vec<R> {
        if is_gpu || items.len() == 1 {
            return items.iter().map(work).collect();
        }
        let work = &work;
        let wave = |items: &[T]| -> Vec<R> {
            std::thread::scope(|scope| {
                let workers: Vec<_> = items
                    .iter()
                    .zip(&self.0)
                    .map(|(item, lane)| scope.spawn(move || lane.install(|| work(item))))
                    .collect();
                let join = |worker: std::thread::ScopedJoinHandle<'_, R>| {
                    worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
                };
                workers.into_iter().map(join).collect()
            })
        };
        items.chunks(self.0.len()).flat_map(wave).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_items() {
        let lanes = Lanes::new().unwrap();
        let items: Vec<usize> = (0..=3 * lanes.len()).collect();
        let doubled: Vec<usize> = items.iter().map(|item| 2 * item).collect();
        assert_eq!(lanes.map(&items, false, |item| 2 * item), doubled);
        assert_eq!(lanes.map(&items, true, |item| 2 * item), doubled);
    }
}
