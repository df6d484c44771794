//! A method that looks at data, at work on a thread of its own; what it asks of the device is done between other things.

use super::calibration::{Asking, Question, Statistics};
use super::execution::Bench;
use super::learned::{Cost, Lesson};
use super::memory::Peak;
use super::news::{Said, events};
use super::{EngineError, Event, Plan, RunId};
use crate::cancel::Cancel;
use crate::fusion::{Context, Fused, FusionError, News};
use crate::params::Value;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

/// How long a step waits for the method before other things have their turn.
const TURN: Duration = Duration::from_millis(10);

enum Message {
    Progress(usize),
    News(News),
    Ask(Question),
    Done(Result<Fused, FusionError>),
    Panicked(String),
}

/// A method at work. Dropped, it is left to itself: what it asks next ends it.
pub(super) struct Fusing {
    messages: Receiver<Message>,
    began: Instant,
    peak: Option<Peak>,
    /// The most memory so far. Asked for again and again: a preview in between resets the mark.
    memory: Option<u64>,
    /// Parameters that turned out otherwise than asked for.
    settled: Vec<(&'static str, Value)>,
    said: Said,
}

impl Fusing {
    /// # Errors
    /// When no thread can be started.
    pub fn start(plan: &Plan, cancel: &Cancel, enough: &Cancel, bench: &Bench<'_>) -> Result<Self, EngineError> {
        let (sender, messages) = mpsc::channel();
        let width = if bench.device.is_gpu { 1 } else { bench.lanes.len() };
        let asking = Box::new(Asking { width, ask: sender.clone(), wrap: Message::Ask });
        let zoo = Arc::clone(bench.zoo);
        let statistics = Statistics::new(zoo, asking, Arc::clone(bench.memo));
        let (plan, cancel, enough) = (plan.clone(), cancel.clone(), enough.clone());
        let thread = std::thread::Builder::new().name("method".to_owned()).spawn(move || {
            // As for the lanes: the interface goes first.
            let _ = rustix::process::nice(5);
            work(&plan, (&cancel, &enough), &statistics, &sender);
        });
        let peak = Peak::begin();
        thread.map_err(|error| EngineError::Panic(format!("cannot start a thread: {error}")))?;
        Ok(Self { messages, began: Instant::now(), peak, memory: None, settled: Vec::new(), said: Said::default() })
    }

    /// What came of it, once that is `fused`.
    pub fn lesson(self, fused: Fused) -> Lesson {
        let cost = Cost { seconds: self.began.elapsed().as_secs_f64(), memory: self.memory, before: false };
        Lesson { fused, settled: self.settled, cost, said: self.said }
    }

    fn look(&mut self) {
        self.memory = self.memory.max(self.peak.as_ref().and_then(Peak::bytes));
    }

    /// Passes on what the method says and does what it asks, for a moment; the result once there is one.
    ///
    /// # Errors
    /// Whatever went wrong, in the method or with what it asked.
    pub fn step(&mut self, run: RunId, bench: &mut Bench<'_>) -> Result<Option<Fused>, EngineError> {
        self.look();
        let until = Instant::now() + TURN;
        while Instant::now() < until {
            match self.messages.recv_timeout(TURN) {
                Ok(Message::Progress(done)) => (bench.sink)(Event::Progress { run, done: done as u64 }),
                Ok(Message::News(News::Settled { param, value })) => self.settled.push((param, value)),
                Ok(Message::News(news)) => {
                    self.said.hear(&news);
                    events(run, news).into_iter().for_each(bench.sink);
                }
                Ok(Message::Ask(Question { work, answers })) => {
                    let zoo = &**bench.zoo;
                    let found = bench.computer.compute(zoo, bench.device, bench.lanes, &work)?;
                    // Nobody waits when the method has failed meanwhile; its last message says so.
                    let _ = answers.send(found);
                    return Ok(None);
                }
                Ok(Message::Done(result)) => {
                    self.look();
                    return Ok(Some(result?));
                }
                Ok(Message::Panicked(text)) => return Err(EngineError::Panic(text)),
                Err(RecvTimeoutError::Timeout) => return Ok(None),
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(EngineError::Panic("the method's thread ended without a result".to_owned()));
                }
            }
        }
        Ok(None)
    }
}

/// The method's thread. Nobody may be listening any more: then what it says is lost, and what it asks ends it.
fn work(plan: &Plan, (cancel, enough): (&Cancel, &Cancel), statistics: &Statistics, sender: &Sender<Message>) {
    let mut progress = |done, _| drop(sender.send(Message::Progress(done)));
    let mut listener = |news| drop(sender.send(Message::News(news)));
    let mut context =
        Context::new(cancel, &mut progress).with_data(statistics).with_listener(&mut listener).with_enough(enough);
    let fuse = || plan.method.run(&plan.params, &plan.pool, &mut context);
    let last = match catch_unwind(AssertUnwindSafe(fuse)) {
        Ok(result) => Message::Done(result),
        Err(panic) => Message::Panicked(super::worker::panic_text(&*panic)),
    };
    let _ = sender.send(last);
}
