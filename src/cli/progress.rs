//! How far a run is, on stderr: one line that is drawn over on a terminal, a few plain lines elsewhere.

use crate::engine::Event;
use crate::text::printable;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// Terminals over slow links are not flooded.
const INTERVAL: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub struct Progress {
    quiet: bool,
    terminal: bool,
    runs: usize,
    run: usize,
    phase: String,
    unit: String,
    total: Option<u64>,
    since: Instant,
    drawn: Option<Instant>,
    /// Whether a line is on screen that has to be wiped.
    open: bool,
}

impl Progress {
    #[must_use]
    pub fn new(quiet: bool, runs: usize) -> Self {
        Self {
            quiet,
            terminal: io::stderr().is_terminal(),
            runs,
            run: 0,
            phase: String::new(),
            unit: String::new(),
            total: None,
            since: Instant::now(),
            drawn: None,
            open: false,
        }
    }

    pub fn show(&mut self, event: &Event) {
        match event {
            Event::Device { name, reason: Some(reason) } => {
                self.note(&format!("computing on {}: {}", printable(name), printable(reason)));
            }
            Event::Log { level, text, .. } => self.note(&format!("{}: {}", printable(level), printable(text))),
            Event::Started { device, .. } => {
                self.run += 1;
                if self.run == 1 && !self.terminal {
                    let runs = if self.runs == 1 { "1 run".to_owned() } else { format!("{} runs", self.runs) };
                    self.note(&format!("{runs} on {}", printable(device)));
                }
            }
            Event::Phase { name, total, unit, .. } => {
                self.phase = printable(name).into_owned();
                self.unit = printable(unit).into_owned();
                self.total = *total;
                self.since = Instant::now();
                self.draw(0);
            }
            Event::Progress { done, .. } => self.draw(*done),
            _ if event.is_final() => self.clear(),
            _ => {}
        }
    }

    /// Wipes the progress line, before something else is printed.
    pub fn clear(&mut self) {
        if std::mem::take(&mut self.open) {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }

    /// A line that stays.
    fn note(&mut self, text: &str) {
        if !self.quiet {
            self.clear();
            let _ = writeln!(io::stderr(), "{text}");
        }
    }

    fn draw(&mut self, done: u64) {
        if self.quiet || !self.terminal || self.drawn.is_some_and(|drawn| drawn.elapsed() < INTERVAL) {
            return;
        }
        self.drawn = Some(Instant::now());
        self.open = true;
        let _ = write!(io::stderr(), "\r{}\x1b[K", self.line(done));
    }

    fn line(&self, done: u64) -> String {
        let run = if self.runs > 1 { format!("run {} of {}  ", self.run, self.runs) } else { String::new() };
        let seconds = self.since.elapsed().as_secs_f64();
        match self.total.filter(|&total| total > 0) {
            Some(total) => {
                let left = if done > 0 && seconds > 0.5 {
                    format!(", {:.0} s left", seconds * (total.saturating_sub(done)) as f64 / done as f64)
                } else {
                    String::new()
                };
                let percent = 100 * done.min(total) / total;
                format!("{run}{}  {percent:>3} %  {done} of {total} {}{left}", self.phase, self.unit)
            }
            None => format!("{run}{}  {seconds:.0} s", self.phase),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_run_phase_and_share() {
        let mut progress = Progress::new(true, 11);
        progress.run = 3;
        progress.phase = "evaluate".to_owned();
        progress.unit = "images".to_owned();
        progress.total = Some(400);
        assert_eq!(progress.line(100), "run 3 of 11  evaluate   25 %  100 of 400 images");
        progress.total = None;
        assert_eq!(progress.line(100), "run 3 of 11  evaluate  0 s");
    }
}
