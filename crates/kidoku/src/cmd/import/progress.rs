//! Shows how an import goes: a bar on a terminal, a line now and then elsewhere.

use super::sender::Tally;
use crate::cmd::out;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{IsTerminal, stderr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Between two lines where there is no terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(5);
/// Redraws of the bar in a second.
const DRAWS_PER_SECOND: u8 = 10;

/// The display of one import.
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    file_bytes: Option<u64>,
    read_bytes: Arc<AtomicU64>,
    started: Instant,
    said: Instant,
}

impl Progress {
    /// A display for a file of so many bytes, of which `read_bytes` counts those read.
    pub(super) fn new(file_bytes: Option<u64>, read_bytes: Arc<AtomicU64>) -> Self {
        let bar = stderr().is_terminal().then(|| bar(file_bytes));
        let now = Instant::now();
        Self {
            bar,
            file_bytes,
            read_bytes,
            started: now,
            said: now,
        }
    }

    /// Shows the tally.
    pub(super) fn show(&mut self, tally: &Tally) {
        let read = self.read_bytes.load(Ordering::Relaxed);
        let rate = per_second(tally.lines, self.started.elapsed());
        let mut text = format!(
            "{} lines, {}/s",
            out::grouped(tally.lines),
            out::grouped(rate)
        );
        if tally.failed > 0 {
            text.push_str(&format!(", {} failed", out::grouped(tally.failed)));
        }
        if let Some(bar) = &self.bar {
            bar.set_position(read);
            bar.set_message(text);
        } else if self.said.elapsed() >= LINE_INTERVAL {
            self.said = Instant::now();
            if let Some(eta) = self.remaining(read) {
                text.push_str(&format!(", about {} s to go", eta.as_secs()));
            }
            out::complain(&text);
        }
    }

    /// Time to the end, if reading goes on as before.
    fn remaining(&self, read: u64) -> Option<Duration> {
        let left = self.file_bytes?.saturating_sub(read);
        let rate = per_second(read, self.started.elapsed());
        left.checked_div(rate).map(Duration::from_secs)
    }

    /// Says a line without spoiling the bar.
    pub(super) fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| out::complain(line)),
            None => out::complain(line),
        }
    }

    /// Takes the bar away.
    pub(super) fn finish(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}

fn bar(file_bytes: Option<u64>) -> ProgressBar {
    let target = ProgressDrawTarget::stderr_with_hz(DRAWS_PER_SECOND);
    let bar = ProgressBar::with_draw_target(file_bytes, target);
    let template = match file_bytes {
        Some(_) => "{wide_bar} {percent:>3}%  {msg}  {eta} to go",
        None => "{spinner} {msg}  {elapsed}",
    };
    // The templates are constants that a test tries; the default style is a fallback.
    let style = ProgressStyle::with_template(template);
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

/// A rate, rounded down.
pub(super) fn per_second(count: u64, time: Duration) -> u64 {
    let micros = time.as_micros().max(1);
    u64::try_from(u128::from(count) * 1_000_000 / micros).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_templates_of_the_bar_are_valid() {
        for file_bytes in [Some(10), None] {
            bar(file_bytes).finish_and_clear();
        }
        for template in [
            "{wide_bar} {percent:>3}%  {msg}  {eta} to go",
            "{spinner} {msg}  {elapsed}",
        ] {
            assert!(ProgressStyle::with_template(template).is_ok());
        }
    }

    #[test]
    fn rates_are_per_second_and_never_divide_by_zero() {
        assert_eq!(per_second(500, Duration::from_millis(250)), 2_000);
        assert_eq!(per_second(5, Duration::ZERO), 5_000_000);
    }
}
