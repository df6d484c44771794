//! How far a run is, on stderr: one line that is drawn over on a terminal, a few plain lines elsewhere.

use crate::engine::Event;
use crate::text::printable;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// Terminals over slow links are not flooded.
const INTERVAL: Duration = Duration::from_millis(100);

/// One line on stderr that is drawn over, where stderr is a terminal, and lines that stay.
#[derive(Debug)]
pub struct Line {
    quiet: bool,
    terminal: bool,
    drawn: Option<Instant>,
    /// Whether a line is on screen that has to be wiped.
    open: bool,
}

impl Line {
    #[must_use]
    pub fn new(quiet: bool) -> Self {
        Self { quiet, terminal: io::stderr().is_terminal(), drawn: None, open: false }
    }

    /// Wipes the line, before something else is printed.
    pub fn clear(&mut self) {
        if std::mem::take(&mut self.open) {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }

    /// A line that stays.
    pub fn note(&mut self, text: &str) {
        if !self.quiet {
            self.clear();
            let _ = writeln!(io::stderr(), "{text}");
        }
    }

    /// A line that is soon drawn over; not more often than [`INTERVAL`], and only on a terminal.
    pub fn draw(&mut self, text: &str) {
        if self.quiet || !self.terminal || self.drawn.is_some_and(|drawn| drawn.elapsed() < INTERVAL) {
            return;
        }
        self.drawn = Some(Instant::now());
        self.open = true;
        let _ = write!(io::stderr(), "\r{text}\x1b[K");
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.clear();
    }
}

/// How far a number of runs is.
#[derive(Debug)]
pub struct Progress {
    line: Line,
    runs: usize,
    run: usize,
    phase: String,
    unit: String,
    total: Option<u64>,
    since: Instant,
}

impl Progress {
    #[must_use]
    pub fn new(quiet: bool, runs: usize) -> Self {
        Self {
            line: Line::new(quiet),
            runs,
            run: 0,
            phase: String::new(),
            unit: String::new(),
            total: None,
            since: Instant::now(),
        }
    }

    pub fn show(&mut self, event: &Event) {
        match event {
            Event::Device { name, reason: Some(reason) } => {
                self.line.note(&format!("computing on {}: {}", printable(name), printable(reason)));
            }
            Event::Log { level, text, .. } => self.line.note(&format!("{}: {}", printable(level), printable(text))),
            Event::Started { device, .. } => {
                self.run += 1;
                if self.run == 1 && !self.line.terminal {
                    let runs = if self.runs == 1 { "1 run".to_owned() } else { format!("{} runs", self.runs) };
                    self.line.note(&format!("{runs} on {}", printable(device)));
                }
            }
            Event::Phase { name, total, unit, .. } => {
                self.phase = printable(name).into_owned();
                self.unit = printable(unit).into_owned();
                self.total = *total;
                self.since = Instant::now();
                self.line.draw(&self.text(0));
            }
            Event::Progress { done, .. } => self.line.draw(&self.text(*done)),
            _ if event.is_final() => self.line.clear(),
            _ => {}
        }
    }

    fn text(&self, done: u64) -> String {
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
        assert_eq!(progress.text(100), "run 3 of 11  evaluate   25 %  100 of 400 images");
        progress.total = None;
        assert_eq!(progress.text(100), "run 3 of 11  evaluate  0 s");
    }
}
