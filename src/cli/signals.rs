//! SIGINT and SIGTERM as calls: the first asks the work to stop, the second ends the process at once.

use super::error::CliError;
use super::output;
use crate::engine::EngineError;
use std::process;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use tokio::signal::unix::{SignalKind, signal};

/// Listens until the process ends; `0` as long as no signal has come.
#[derive(Debug, Clone, Default)]
pub struct Signals(Arc<AtomicI32>);

impl Signals {
    /// Calls `stop` with the signal's number when the first one arrives.
    ///
    /// # Errors
    /// When the system refuses to install the handlers.
    pub fn listen(stop: impl Fn(i32) + Send + 'static) -> Result<Self, CliError> {
        let signals = Self::default();
        let seen = signals.clone();
        let refused = |error| CliError::failure(format!("cannot listen for signals: {error}"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(refused)?;
        let (mut interrupt, mut terminate, mut hangup) = {
            let _entered = runtime.enter();
            (
                signal(SignalKind::interrupt()).map_err(refused)?,
                signal(SignalKind::terminate()).map_err(refused)?,
                signal(SignalKind::hangup()).map_err(refused)?,
            )
        };
        thread::spawn(move || {
            runtime.block_on(async move {
                loop {
                    let kind = tokio::select! {
                        _ = interrupt.recv() => SignalKind::interrupt(),
                        _ = terminate.recv() => SignalKind::terminate(),
                        _ = hangup.recv() => SignalKind::hangup(),
                    };
                    let number = kind.as_raw_value();
                    if seen.0.swap(number, Ordering::SeqCst) != 0 {
                        process::exit(128 + number);
                    }
                    stop(number);
                }
            });
        });
        Ok(signals)
    }

    /// An error with the right exit code once a signal has come.
    ///
    /// # Errors
    /// See above.
    pub fn check(&self) -> Result<(), CliError> {
        match self.0.load(Ordering::SeqCst) {
            0 => Ok(()),
            number => Err(CliError::signal(number)),
        }
    }
}

/// An input that is cut short while it is read ends the process: with a message that names it, once what is returned holds
/// the inputs; `changed` finds out which of them it is.
///
/// # Errors
/// When the system refuses to install the handler.
pub fn watch<T: Send + 'static>(changed: fn(&T) -> Option<EngineError>) -> Result<Arc<Mutex<Option<T>>>, CliError> {
    let inputs = Arc::new(Mutex::new(None));
    let opened = Arc::clone(&inputs);
    when_a_file_is_cut_short(move || {
        let unknown = || {
            CliError::failure(
                "an input could not be read any further: the disk failed, or something cut the file short",
            )
            .hint("see that nothing writes to the models, and repeat the command")
        };
        let opened = opened.lock().unwrap_or_else(PoisonError::into_inner);
        let error = opened.as_ref().and_then(changed).map_or_else(unknown, CliError::from);
        output::complain(&error.to_string());
    })?;
    Ok(inputs)
}

/// Calls `explain` when a mapped file is cut short while it is read, which the system tells by SIGBUS, and ends the
/// process with 1. The thread that read cannot go on, so this one speaks for it.
///
/// # Errors
/// When the system refuses to install the handler.
fn when_a_file_is_cut_short(explain: impl FnOnce() + Send + 'static) -> Result<(), CliError> {
    let refused = |error| CliError::failure(format!("cannot listen for signals: {error}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(refused)?;
    // Rust's own handler, which tokio's would call first, restores the default and thereby ends the process at the next
    // fault, unexplained. On Linux a stack overflow is a SIGSEGV, so its report does not suffer.
    // SAFETY: the default disposition is valid for SIGBUS, and nothing waits for what the call returns.
    #[allow(unsafe_code)]
    unsafe {
        libc::signal(libc::SIGBUS, libc::SIG_DFL);
    }
    let mut bus = {
        let _entered = runtime.enter();
        signal(SignalKind::from_raw(rustix::process::Signal::BUS.as_raw())).map_err(refused)?
    };
    thread::spawn(move || {
        if runtime.block_on(bus.recv()).is_some() {
            explain();
            process::exit(1);
        }
    });
    Ok(())
}
