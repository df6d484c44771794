//! A device that fails while a method is at work on it.

use super::{Command, Worker};
use crate::cancel::Cancel;
use crate::engine::device::OpenDevice;
use crate::engine::execution::Execution;
use crate::engine::lanes::Lanes;
use crate::engine::learned::Lessons;
use crate::engine::{Event, Job, JobKind, Report, RunId, default_job};
use crate::fusion::find;
use crate::tasks::Split;
use crate::zoo::Zoo;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};

/// What is said of a job on a device that fails where `fails` says so; the device is the CPU under another name.
fn run(
    zoo: &Arc<Zoo>,
    job: &Job,
    device: OpenDevice,
    fails: impl Fn(&Event) -> bool + Send + Sync + 'static,
) -> Vec<Event> {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let (commands, orders) = mpsc::channel();
    let ended = commands.clone();
    let listen = Arc::clone(&heard);
    let sink = Box::new(move |event: Event| {
        // On the worker's thread and inside of a step, as a driver panics.
        assert!(!fails(&event), "the device is lost");
        if event.is_final() {
            ended.send(Command::Stop).unwrap();
        }
        listen.lock().unwrap().push(event);
    });
    commands
        .send(Command::Submit(Execution::new(RunId(1), job.clone(), Cancel::default(), Cancel::default())))
        .unwrap();
    Worker::new(Arc::clone(zoo), device, (Lanes::new().unwrap(), Lessons::default()), sink, orders).run();
    std::mem::take(&mut *heard.lock().unwrap())
}

fn report(events: &[Event]) -> &Report {
    match events.last() {
        Some(Event::Finished { report, .. }) => report,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_learns_on_a_device_that_fails_begins_again_on_the_cpu_and_ends_the_same() {
    let zoo = Arc::new(Zoo::embedded().unwrap());
    for (id, given) in [
        ("wemoe", &[("steps", "2"), ("batch", "4")][..]),
        ("adamerging_layer_wise", &[("steps", "2"), ("batch", "4")]),
        ("regmean", &[("samples", "16")]),
    ] {
        let method = find(id).unwrap();
        let mut job = Job { kind: JobKind::Run, split: Split::Validation, limit: Some(8), ..default_job(&zoo, method) };
        for (name, value) in given {
            job.recipe.params.set_text(method.specs, name, value).unwrap();
        }
        let on_cpu = run(&zoo, &job, OpenDevice::cpu(), |_| false);
        let lost = AtomicBool::new(false);
        let fails = move |event: &Event| {
            let working =
                matches!(event, Event::Adapted { .. }) || matches!(event, Event::Progress { done, .. } if *done > 0);
            working && !lost.swap(true, Ordering::Relaxed)
        };
        let gpu = OpenDevice { name: "vulkan:0".to_owned(), is_gpu: true, ..OpenDevice::cpu() };
        let after = run(&zoo, &job, gpu, fails);
        let said = |event: &Event| matches!(event, Event::Log { text, .. } if text.contains("vulkan:0 failed") && text.contains("CPU"));
        assert!(after.iter().any(said), "{id}: {after:?}");
        assert!(report(&after).device.starts_with("cpu"), "{id}");
        assert_eq!(report(&after).tasks, report(&on_cpu).tasks, "{id}");
    }
}

#[test]
fn a_cpu_that_fails_ends_the_job_with_its_reason() {
    let zoo = Arc::new(Zoo::embedded().unwrap());
    let job = Job { kind: JobKind::Run, limit: Some(8), ..default_job(&zoo, find("wemoe").unwrap()) };
    let events = run(&zoo, &job, OpenDevice::cpu(), |event| matches!(event, Event::Adapted { .. }));
    let Some(Event::Failed { error, .. }) = events.last() else { panic!("{events:?}") };
    assert!(error.contains("the device is lost"), "{error}");
}
