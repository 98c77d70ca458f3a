//! Progress on stderr: a line per stream with rows, bytes and rate, and a bar where the total is known; plain lines in
//! a pipe.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::print;
use crate::plan::sink::Progress;
use crate::runner::{Observer, Phase, Status, StreamResult};

/// How often bars are drawn anew, and how often a pipe gets a line of a phase that goes on.
const TICK: Duration = Duration::from_millis(100);
const LINE: Duration = Duration::from_secs(10);

struct Line {
    phase: Phase,
    progress: Arc<Progress>,
    started: Instant,
    said: Instant,
    bar: Option<ProgressBar>,
}

impl Line {
    fn text(&self) -> String {
        let seen = self.progress.observed();
        let seconds = self.started.elapsed().as_secs_f64().max(0.001);
        let rate = seen.rows as f64 / seconds;
        format!("{} {} rows, {}, {rate:.0} rows/s", self.phase.as_str(), seen.rows, print::bytes(seen.bytes))
    }
}

struct Shared {
    bars: Option<&'static MultiProgress>,
    lines: Mutex<HashMap<String, Line>>,
}

impl Shared {
    fn lines(&self) -> MutexGuard<'_, HashMap<String, Line>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tick(&self) {
        for (stream, line) in self.lines().iter_mut() {
            match &line.bar {
                Some(bar) => {
                    bar.set_position(line.progress.observed().rows);
                    bar.set_message(line.text());
                }
                None if line.said.elapsed() >= LINE => {
                    line.said = Instant::now();
                    print::note(&format!("{stream}: {}", line.text()));
                }
                None => {}
            }
        }
    }
}

/// Shows the streams of a run.
pub struct Shown(Arc<Shared>);

impl Shown {
    /// Bars where stderr is a terminal, lines else.
    pub fn new(terminal: bool) -> Self {
        let bars = terminal.then(print::bars);
        let shared = Arc::new(Shared { bars, lines: Mutex::new(HashMap::new()) });
        let weak: Weak<Shared> = Arc::downgrade(&shared);
        // Ends by itself when the run has dropped its observer.
        std::thread::spawn(move || {
            while let Some(shared) = weak.upgrade() {
                shared.tick();
                drop(shared);
                std::thread::sleep(TICK);
            }
        });
        Self(shared)
    }

    fn bar(&self, stream: &str, total: Option<u64>) -> Option<ProgressBar> {
        let bars = self.0.bars?;
        let (bar, template) = match total {
            Some(total) => (ProgressBar::new(total), "{prefix:20} {bar:24} {percent:>3}% {msg}"),
            None => (ProgressBar::new_spinner(), "{prefix:20} {spinner} {msg}"),
        };
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        Some(bars.add(bar.with_style(style).with_prefix(stream.to_string())))
    }
}

impl Observer for Shown {
    fn phase(&self, stream: &str, phase: Phase, progress: &Arc<Progress>, total: Option<u64>) {
        let bar = self.bar(stream, total);
        let now = Instant::now();
        let line = Line { phase, progress: progress.clone(), started: now, said: now, bar };
        if let Some(bar) = self.0.lines().insert(stream.to_string(), line).and_then(|old| old.bar) {
            bar.finish_and_clear();
        }
        if self.0.bars.is_none() {
            let total = total.map_or(String::new(), |t| format!(" of {t} rows"));
            print::note(&format!("{stream}: {}{total} begins", phase.as_str()));
        }
    }

    fn ended(&self, result: &StreamResult) {
        if let Some(bar) = self.0.lines().remove(&result.stream).and_then(|line| line.bar) {
            bar.finish_and_clear();
        }
        let seconds = result.extract_seconds + result.load_seconds;
        let text = match result.status {
            Status::Succeeded => {
                format!("{}: {} rows in {seconds:.2} s", result.stream, result.rows_read.max(result.rows_buffered))
            }
            other => format!("{}: {}", result.stream, other.as_str()),
        };
        print::note(&text);
    }
}
