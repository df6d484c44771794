//! The engine as the rest of the program sees it.

use super::device::{DeviceRequest, OpenDevice};
use super::execution::Execution;
use super::lanes::Lanes;
use super::learned::Lessons;
use super::worker::{Command, Sink, Worker};
use super::{EngineError, Event, Job, JobKind, RunId, probe};
use crate::cancel::Cancel;
use crate::zoo::Zoo;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// A device and the thread that owns it. Dropping it cancels everything and waits for the thread.
#[derive(Debug)]
pub struct Engine {
    commands: Sender<Command>,
    cancels: Arc<Mutex<Cancels>>,
    lessons: Lessons,
    next: AtomicU64,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Cancels {
    /// What stops a run, and what makes it be content with what it has.
    by_run: HashMap<RunId, (Cancel, Cancel)>,
    preview: Option<RunId>,
}

impl Engine {
    /// Starts the engine; every event goes to `sink`, called from the engine's threads.
    ///
    /// Returns at once and works on the CPU. GPUs are proved in the background (in a child process); once one has
    /// proved itself, jobs move to it, and if the one that was asked for does not, `Event::Device` says why.
    ///
    /// # Errors
    /// When threads cannot be started.
    pub fn start(zoo: Arc<Zoo>, request: DeviceRequest, sink: Sink) -> Result<Self, EngineError> {
        let device = OpenDevice::cpu();
        Self::start_on(zoo, device, request, sink)
    }

    /// Starts the engine on exactly the device that is asked for, proved first; `auto` means whatever proves itself.
    ///
    /// # Errors
    /// When the device is not there or fails its self-test.
    pub fn start_proved(zoo: Arc<Zoo>, request: DeviceRequest, sink: Sink) -> Result<Self, EngineError> {
        let device = match request {
            DeviceRequest::Cpu => OpenDevice::cpu(),
            DeviceRequest::Auto => {
                probe::candidates().into_iter().find_map(|gpu| prove(gpu, true).ok()).unwrap_or_else(OpenDevice::cpu)
            }
            gpu => prove(gpu, false)?,
        };
        Self::start_on(zoo, device, DeviceRequest::Cpu, sink)
    }

    fn start_on(zoo: Arc<Zoo>, device: OpenDevice, wish: DeviceRequest, sink: Sink) -> Result<Self, EngineError> {
        let failed = |error: std::io::Error| EngineError::Panic(format!("cannot start a thread: {error}"));
        let (commands, receiver) = mpsc::channel();
        let sink: Arc<Sink> = Arc::new(sink);
        let (lanes, lessons) = (Lanes::new()?, Lessons::default());
        sink(Event::Device { name: device.name.clone(), reason: None });
        let cancels: Arc<Mutex<Cancels>> = Arc::default();
        let (for_worker, flags) = (Arc::clone(&sink), Arc::clone(&cancels));
        let tell = move |event: Event| {
            if let Some(run) = event.run().filter(|_| event.is_final()) {
                flags.lock().unwrap_or_else(PoisonError::into_inner).by_run.remove(&run);
            }
            for_worker(event);
        };
        let shared = lessons.clone();
        let thread = std::thread::Builder::new()
            .name("engine".to_owned())
            .spawn(move || Worker::new(zoo, device, (lanes, shared), Box::new(tell), receiver).run())
            .map_err(failed)?;
        if wish != DeviceRequest::Cpu {
            let commands = commands.clone();
            std::thread::Builder::new()
                .name("probe".to_owned())
                .spawn(move || seek_gpu(wish, &commands, &**sink))
                .map_err(failed)?;
        }
        Ok(Self { commands, cancels, lessons, next: AtomicU64::new(1), thread: Some(thread) })
    }

    /// An id that has not been used with this engine.
    pub fn next_id(&self) -> RunId {
        RunId(self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// What methods have learned so far, for [`write_checkpoint`](super::write_checkpoint).
    pub fn lessons(&self) -> Lessons {
        self.lessons.clone()
    }

    /// Queues a job. A preview takes the place of the one before it, which is cancelled at once; runs wait in line.
    pub fn submit(&self, run: RunId, job: Job) {
        let (cancel, enough) = (Cancel::default(), Cancel::default());
        let mut cancels = self.cancels();
        if job.kind == JobKind::Preview
            && let Some((outdated, _)) = cancels.preview.replace(run).and_then(|run| cancels.by_run.remove(&run))
        {
            outdated.cancel();
        }
        cancels.by_run.insert(run, (cancel.clone(), enough.clone()));
        drop(cancels);
        // The receiver lives as long as the thread, which lives until `drop`.
        let _ = self.commands.send(Command::Submit(Execution::new(run, job, cancel, enough)));
    }

    /// Stops a job at its next step, whether it waits or works.
    pub fn cancel(&self, run: RunId) {
        if let Some((cancel, _)) = self.cancels().by_run.get(&run) {
            cancel.cancel();
            let _ = self.commands.send(Command::Withdraw(run));
        }
    }

    /// Tells a job that learns step by step to make do with what it has learned so far; others take no notice.
    pub fn enough(&self, run: RunId) {
        if let Some((_, enough)) = self.cancels().by_run.get(&run) {
            enough.cancel();
        }
    }

    fn cancels(&self) -> MutexGuard<'_, Cancels> {
        self.cancels.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.cancels().by_run.values().for_each(|(cancel, _)| cancel.cancel());
        let _ = self.commands.send(Command::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn prove(request: DeviceRequest, hardware: bool) -> Result<OpenDevice, EngineError> {
    probe::prove(request, hardware)?;
    OpenDevice::gpu(request)
}

/// Runs on the probe thread: hands the first GPU that proves itself to the worker.
fn seek_gpu(wish: DeviceRequest, commands: &Sender<Command>, sink: &(dyn Fn(Event) + Send + Sync)) {
    let is_free = wish == DeviceRequest::Auto;
    let candidates = if is_free { probe::candidates() } else { vec![wish] };
    let mut reasons = Vec::new();
    for candidate in candidates {
        match prove(candidate, is_free) {
            Ok(device) => {
                let _ = commands.send(Command::Use(device));
                return;
            }
            Err(error) => reasons.push(error.to_string()),
        }
    }
    if !reasons.is_empty() {
        sink(Event::Device { name: OpenDevice::cpu().name, reason: Some(reasons.join("; ")) });
    }
}
