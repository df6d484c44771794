//! What a panic does: on the thread that draws, the terminal is given back and the report printed; on any other thread
//! it is logged and the explorer lives on.

use super::guard::give_back;
use std::panic::{PanicHookInfo, set_hook, take_hook};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether a session draws on the terminal, in any thread.
static DRAWING: AtomicBool = AtomicBool::new(false);
static INSTALLED: Once = Once::new();

/// Puts the hook in front of the present one; a second call changes nothing.
pub fn install() {
    INSTALLED.call_once(|| {
        let previous = take_hook();
        set_hook(Box::new(move |info| {
            if give_back() || !DRAWING.load(Ordering::Relaxed) {
                previous(info);
            } else {
                log(info);
            }
        }));
    });
}

/// Says whether a session draws on the terminal now.
pub fn drawing(on: bool) {
    DRAWING.store(on, Ordering::Relaxed);
}

fn log(info: &PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    let text = info.payload_as_str().unwrap_or("a value that is not text");
    let trace = std::backtrace::Backtrace::force_capture();
    tracing::error!(thread = thread.name().unwrap_or("unnamed"), %place, "panic: {text}\n{trace}");
}
