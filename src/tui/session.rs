//! The loop: messages in, model changed, effects carried out, and a frame when something is to be seen.
//!
//! Generic over what it draws on, what it reads, and who carries out effects, so that a test drives the very same loop.

use super::effect::Effect;
use super::hit::HitMap;
use super::model::Model;
use super::msg::Msg;
use super::screens;
use super::term::base64;
use super::term::changes::changes;
use super::term::pace::Pace;
use super::term::signals::Signal;
use super::term::surface::Surface;
use super::update::update;
use super::view::{self, Look};
use crossterm::event::Event as Input;
use futures_util::{Stream, StreamExt};
use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect, Size};
use std::future::poll_fn;
use std::io;
use std::task::Poll;
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::mpsc::UnboundedReceiver;

/// Larger terminals are drawn on up to here: a size is only a number that somebody sent.
const LARGEST: Size = Size { width: 1000, height: 500 };
/// Messages taken in one go before input is looked at again.
const BATCH: usize = 512;
/// How soon to look again whether the terminal has taken the last frame.
const DRAINING: Duration = Duration::from_millis(5);
/// Most terminals drop longer clipboard sequences.
const LARGEST_COPY: usize = 74_994;

/// Carries out what the session loop cannot do itself: the engine, the store, files.
pub trait Outside {
    fn perform(&mut self, effect: Effect);

    /// Called once after the first frame: now is the time for what takes long.
    fn begin(&mut self) {}
}

/// Why the loop ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    Quit,
    /// A signal with this number.
    Signal(i32),
    /// The terminal has gone.
    Hangup,
}

/// One person at one terminal.
#[derive(Debug)]
pub struct Session<S, O> {
    pub model: Model,
    look: Look,
    surface: S,
    outside: O,
    /// What the terminal shows, and what is being drawn.
    front: Buffer,
    back: Buffer,
    hits: HitMap,
    cursor: Option<Position>,
    /// Everything must be sent again.
    stale: bool,
    pace: Pace,
    started: Instant,
    /// Something may look different: `Some(true)` if a person caused it.
    dirty: Option<bool>,
    exit: Option<Exit>,
    /// The next SIGCONT ends a stop of our own, which has been dealt with.
    stopped: bool,
}

impl<S: Surface, O: Outside> Session<S, O> {
    /// `interval` is the shortest time between frames, on the long run.
    pub fn new(mut model: Model, look: Look, surface: S, outside: O, interval: Duration) -> Self {
        let size = surface.size();
        model.size = (size.width, size.height);
        let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        model.started_unix = i64::try_from(unix.as_secs()).unwrap_or(i64::MAX);
        let area = clamped(size);
        Self {
            model,
            look,
            surface,
            outside,
            front: Buffer::empty(area),
            back: Buffer::empty(area),
            hits: HitMap::default(),
            cursor: None,
            stale: true,
            pace: Pace::new(interval),
            started: Instant::now(),
            dirty: Some(false),
            exit: None,
            stopped: false,
        }
    }

    /// Runs until somebody quits.
    ///
    /// # Errors
    /// When the terminal can no longer be written to.
    pub async fn run(
        &mut self,
        mut input: impl Stream<Item = io::Result<Input>> + Unpin,
        mut signals: impl Stream<Item = Signal> + Unpin,
        inbox: &mut UnboundedReceiver<Msg>,
    ) -> io::Result<Exit> {
        self.paint()?;
        self.outside.begin();
        self.first_screen()?;
        let (mut listening, mut signalled) = (true, true);
        while self.exit.is_none() {
            let wake = self.next_wake();
            tokio::select! {
                biased;
                signal = signals.next(), if signalled => match signal {
                    Some(signal) => self.signal(signal)?,
                    None => signalled = false,
                },
                Some(msg) = inbox.recv() => self.take(msg)?,
                event = input.next(), if listening => match event {
                    Some(Ok(event)) => self.input(event)?,
                    // The terminal has gone: nobody can see or say anything any more.
                    Some(Err(_)) | None => listening = self.hang_up()?,
                },
                () = sleep(wake) => {}
            }
            // Whatever else is ready belongs to the same frame.
            for _ in 0..BATCH {
                match inbox.try_recv() {
                    Ok(msg) => self.take(msg)?,
                    Err(_) => break,
                }
            }
            while listening && self.exit.is_none() {
                // Polled in this task's own context: crossterm keeps the waker of the first poll that finds nothing and
                // ignores later ones, so one poll with an idle waker and no key would ever be heard again.
                match poll_fn(|cx| Poll::Ready(input.poll_next_unpin(cx))).await {
                    Poll::Ready(Some(Ok(event))) => self.input(event)?,
                    Poll::Ready(_) => listening = self.hang_up()?,
                    Poll::Pending => break,
                }
            }
            self.tick()?;
            if let Some(by_person) = self.dirty
                && self.pace.wait(self.now(), by_person).is_zero()
                && !self.surface.is_busy()
            {
                self.paint()?;
            }
        }
        Ok(self.exit.unwrap_or(Exit::Quit))
    }

    /// The screen that is shown first has not been switched to, but wants to know all the same.
    fn first_screen(&mut self) -> io::Result<()> {
        let mut fx = Vec::new();
        let screen = self.model.screen;
        screens::open(&mut self.model, screen, &mut fx);
        self.dirty.get_or_insert(false);
        fx.into_iter().try_for_each(|effect| self.perform(effect))
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// When to wake up though nothing happens: a frame that had to wait, or something that depends on the clock.
    fn next_wake(&self) -> Option<Duration> {
        let now = self.now();
        let soonest = if self.surface.is_busy() { DRAINING } else { Duration::ZERO };
        let frame = self.dirty.map(|by_person| self.pace.wait(now, by_person).max(soonest));
        let tick = self.model.next_tick().map(|at| at.saturating_sub(now));
        [frame, tick].into_iter().flatten().min()
    }

    fn tick(&mut self) -> io::Result<()> {
        let now = self.now();
        if self.model.next_tick().is_some_and(|at| at <= now) {
            self.dirty.get_or_insert(false);
            self.handle(Msg::Tick(now))?;
        }
        Ok(())
    }

    fn signal(&mut self, signal: Signal) -> io::Result<()> {
        match signal {
            Signal::Terminate(number) => {
                self.handle(Msg::Terminate)?;
                self.exit = Some(Exit::Signal(number));
            }
            Signal::Suspend => self.suspend()?,
            Signal::Continue if self.stopped => self.stopped = false,
            Signal::Continue => {
                self.surface.resume()?;
                self.redraw();
            }
        }
        Ok(())
    }

    fn hang_up(&mut self) -> io::Result<bool> {
        self.handle(Msg::Terminate)?;
        self.exit = Some(Exit::Hangup);
        Ok(false)
    }

    fn input(&mut self, event: Input) -> io::Result<()> {
        let msg = match event {
            Input::Key(key) => Msg::Key(key),
            Input::Mouse(mouse) => Msg::Mouse(mouse, self.hits.at(mouse.column, mouse.row)),
            Input::Paste(text) => Msg::Paste(text),
            Input::Resize(width, height) => Msg::Resize(width, height),
            Input::FocusGained | Input::FocusLost => return Ok(()),
        };
        self.dirty = Some(true);
        self.take(msg)
    }

    /// Takes in a message that happened now.
    fn take(&mut self, msg: Msg) -> io::Result<()> {
        self.handle(Msg::Tick(self.now()))?;
        self.dirty.get_or_insert(false);
        if let Msg::Resize(width, height) = msg {
            self.resize(Size { width, height });
        }
        self.handle(msg)
    }

    fn handle(&mut self, msg: Msg) -> io::Result<()> {
        let mut fx = Vec::new();
        update(&mut self.model, msg, &mut fx);
        for effect in fx {
            self.perform(effect)?;
        }
        Ok(())
    }

    fn perform(&mut self, effect: Effect) -> io::Result<()> {
        match effect {
            Effect::Copy(text) => self.copy(&text)?,
            Effect::CaptureMouse(on) => self.surface.capture_mouse(on)?,
            Effect::Suspend => self.suspend()?,
            Effect::Redraw => self.redraw(),
            Effect::Quit => self.exit = Some(Exit::Quit),
            other => self.outside.perform(other),
        }
        Ok(())
    }

    fn copy(&mut self, text: &str) -> io::Result<()> {
        let encoded = base64::encode(text.as_bytes());
        if text.is_empty() {
            self.model.say("there is nothing to copy", true);
        } else if encoded.len() > LARGEST_COPY {
            self.model.say("too long for the terminal's clipboard; export it instead", true);
        } else {
            self.surface.send(&format!("\x1b]52;c;{encoded}\x07"))?;
            self.model.say("copied through the terminal (OSC 52)", false);
        }
        Ok(())
    }

    fn suspend(&mut self) -> io::Result<()> {
        self.stopped = true;
        self.surface.suspend()?;
        self.redraw();
        Ok(())
    }

    /// Draws everything again, after having looked how large the terminal is now.
    fn redraw(&mut self) {
        let size = self.surface.size();
        self.model.size = (size.width, size.height);
        self.resize(size);
        self.dirty = Some(true);
    }

    fn resize(&mut self, size: Size) {
        let area = clamped(size);
        self.front = Buffer::empty(area);
        self.back = Buffer::empty(area);
        self.stale = true;
    }

    /// Draws into memory and sends what differs; nothing at all if nothing does.
    fn paint(&mut self) -> io::Result<()> {
        let by_person = self.dirty.take() == Some(true);
        let cursor = view::draw(&self.model, &self.look, &mut self.back, &mut self.hits);
        if self.stale {
            self.front.reset();
        }
        let cells = changes(&self.front, &self.back);
        if !cells.is_empty() || self.stale || cursor != self.cursor {
            let size = self.back.area.as_size();
            self.surface.frame(size, &cells, self.stale, cursor)?;
            self.stale = false;
            self.cursor = cursor;
        }
        std::mem::swap(&mut self.front, &mut self.back);
        self.pace.drawn(self.now(), by_person);
        Ok(())
    }
}

fn clamped(size: Size) -> Rect {
    Rect::new(0, 0, size.width.min(LARGEST.width), size.height.min(LARGEST.height))
}

async fn sleep(time: Option<Duration>) {
    match time {
        Some(time) => tokio::time::sleep(time).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
