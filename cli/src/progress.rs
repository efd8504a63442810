//! The live line of a repeated run, and everything else that goes to standard error meanwhile.

use std::io::{self, IsTerminal};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use console::Term;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle, TermLike};

use crate::tell;
use crate::writer::ERROR;

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
        let target = if io::stderr().is_terminal() {
            ProgressDrawTarget::term_like(Box::new(Terminal::new()))
        } else {
            ProgressDrawTarget::hidden()
        };
        bar.set_draw_target(target);
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

/// The terminal behind standard error. What is drawn on it goes the way of everything that is printed,
/// and is left out when the terminal takes nothing.
#[derive(Debug)]
struct Terminal {
    size: Term,
    frame: Mutex<String>,
}

impl Terminal {
    fn new() -> Self {
        Self { size: Term::stderr(), frame: Mutex::default() }
    }

    fn draw(&self, text: &str) {
        self.frame.lock().unwrap_or_else(PoisonError::into_inner).push_str(text);
    }

    /// Moves the cursor so many times, in the direction that this letter is for.
    fn move_cursor(&self, times: usize, direction: char) {
        if times > 0 {
            self.draw(&format!("\x1b[{times}{direction}"));
        }
    }
}

impl TermLike for Terminal {
    fn width(&self) -> u16 {
        self.size.size().1
    }

    fn height(&self) -> u16 {
        self.size.size().0
    }

    fn move_cursor_up(&self, n: usize) -> io::Result<()> {
        self.move_cursor(n, 'A');
        Ok(())
    }

    fn move_cursor_down(&self, n: usize) -> io::Result<()> {
        self.move_cursor(n, 'B');
        Ok(())
    }

    fn move_cursor_right(&self, n: usize) -> io::Result<()> {
        self.move_cursor(n, 'C');
        Ok(())
    }

    fn move_cursor_left(&self, n: usize) -> io::Result<()> {
        self.move_cursor(n, 'D');
        Ok(())
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.draw(text);
        self.draw("\n");
        Ok(())
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.draw(text);
        Ok(())
    }

    fn clear_line(&self) -> io::Result<()> {
        self.draw("\r\x1b[2K");
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        let mut frame = self.frame.lock().unwrap_or_else(PoisonError::into_inner);
        ERROR.show(std::mem::take(&mut *frame));
        Ok(())
    }
}
