//! What a person waits for: nudge → first estimate of all tasks, and a full test evaluation, through the real engine.
//!
//! `cargo bench --bench interactive`; every figure is a median with its range over the repetitions.

#[path = "common/report.rs"]
mod report;

use fusebench::engine::{DeviceRequest, Engine, Event, Job, JobKind, RunId, default_job};
use fusebench::fusion::find;
use fusebench::params::Value;
use fusebench::tasks::Split;
use fusebench::zoo::Zoo;
use report::report;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

/// As in the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let zoo = Arc::new(Zoo::embedded().expect("the embedded zoo"));
    let (sender, events) = channel();
    let sink = Box::new(move |event| drop(sender.send(event)));
    let engine = Engine::start(Arc::clone(&zoo), DeviceRequest::Cpu, sink).expect("an engine");
    let mut scaling = 0.1;
    let mut next = |kind, split, limit| {
        scaling += 0.001;
        let method = find("task_arithmetic").expect("task arithmetic");
        let mut job = default_job(&zoo, method);
        job.recipe.params.set(method.specs, "scaling", Value::Float(scaling)).expect("a number in range");
        Job { kind, split, limit, ..job }
    };
    let tasks = zoo.tasks().len();

    let mut first = Vec::new();
    for _ in 0..25 {
        let (run, job) = (engine.next_id(), next(JobKind::Preview, Split::Validation, None));
        let start = Instant::now();
        engine.submit(run, job);
        wait_for_estimates(&events, run, tasks);
        first.push(start.elapsed().as_secs_f64() * 1e3);
        engine.cancel(run);
    }
    // The first nudge loads images and builds the network.
    println!("first nudge of a session → estimate of {tasks} tasks   {:>8.1} ms", first.remove(0));
    report(&format!("nudge → first estimate of {tasks} tasks"), "ms", &mut first);

    let images: usize = zoo.tasks().iter().map(|task| task.test).sum();
    let mut full = Vec::new();
    for _ in 0..5 {
        let (run, job) = (engine.next_id(), next(JobKind::Run, Split::Test, None));
        let start = Instant::now();
        engine.submit(run, job);
        while !events.recv().is_ok_and(|event| event.run() == Some(run) && event.is_final()) {}
        full.push(start.elapsed().as_secs_f64());
    }
    report(&format!("full test evaluation ({images} images)"), "s", &mut full);
    let mut rates: Vec<f64> = full.iter().map(|seconds| images as f64 / seconds).collect();
    report("throughput", "images/s", &mut rates);
}

fn wait_for_estimates(events: &Receiver<Event>, run: RunId, tasks: usize) {
    let mut seen = HashSet::new();
    while seen.len() < tasks {
        if let Ok(Event::Estimate { run: of, task, .. }) = events.recv()
            && of == run
        {
            seen.insert(task);
        }
    }
}
