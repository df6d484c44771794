//! Signals as a stream of what they mean.

use futures_util::Stream;
use std::io;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

/// Something that another process, or the shell, wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// End, with this signal's number.
    Terminate(i32),
    /// Stop until continued (SIGTSTP).
    Suspend,
    /// Goes on after having been stopped by somebody else (SIGCONT).
    Continue,
}

/// Starts to listen. Must be called within a tokio runtime.
///
/// # Errors
/// When a handler cannot be installed.
pub fn listen() -> io::Result<impl Stream<Item = Signal> + Unpin> {
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let ends = [SignalKind::terminate(), SignalKind::hangup(), SignalKind::interrupt(), SignalKind::quit()];
    let stop = SignalKind::from_raw(rustix::process::Signal::TSTP.as_raw());
    let go_on = SignalKind::from_raw(rustix::process::Signal::CONT.as_raw());
    let all = ends
        .map(|kind| (kind, Signal::Terminate(kind.as_raw_value())))
        .into_iter()
        .chain([(stop, Signal::Suspend), (go_on, Signal::Continue)]);
    for (kind, meaning) in all {
        let mut signals = signal(kind)?;
        let sender = sender.clone();
        tokio::spawn(async move {
            while signals.recv().await.is_some() {
                if sender.send(meaning).is_err() {
                    return;
                }
            }
        });
    }
    Ok(futures_util::stream::poll_fn(move |cx| receiver.poll_recv(cx)))
}
