//! The live line of a repeated run, and everything else that goes to standard error meanwhile.

use std::time::Instant;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::tell;

/// A line on standard error that says how far a repeated run has got; shown on a terminal only.
#[derive(Clone, Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
    start: Instant,
}

impl Progress {
    /// For a single run: no line.
    pub(crate) fn none() -> Self {
        Self { bar: ProgressBar::hidden(), start: Instant::now() }
    }

    /// For so many runs, or for an open number of them.
    pub(crate) fn of(runs: Option<u64>) -> Self {
        let bar = match runs {
            Some(runs) => ProgressBar::new(runs),
            None => ProgressBar::no_length(),
        };
        bar.set_draw_target(ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
            bar.set_style(style);
        }
        Self { bar, start: Instant::now() }
    }

    /// Shows this on the live line.
    pub(crate) fn message(&self, text: String) {
        self.bar.set_message(text);
        self.bar.tick();
    }

    /// So many runs are done, and so many of them failed.
    pub(crate) fn update(&self, runs: u64, failed: u64) {
        let rate = runs as f64 / self.start.elapsed().as_secs_f64().max(1e-3);
        let of = self.bar.length().map(|all| format!(" of {all}")).unwrap_or_default();
        self.message(format!("{runs}{of} runs, {failed} failed, {rate:.1} runs/s"));
    }

    /// Prints a line on standard error, above the live line.
    pub(crate) fn print(&self, line: &str) {
        self.suspend(|| tell::user(line));
    }

    /// Takes the live line away for as long as something else is printed.
    pub(crate) fn suspend(&self, print: impl FnOnce()) {
        self.bar.suspend(print);
    }

    /// Takes the live line away.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }

    /// Seconds so far.
    pub(crate) fn seconds(&self) -> f64 {
        self.start.elapsed().as_secs_f64()
    }
}
