//! The live line of a repeated run, and other output on standard error meanwhile.

use std::io::{self, IsTerminal};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use console::Term;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle, TermLike};

use crate::tell;
use crate::writer::ERROR;

/// A line on standard error with the progress of a repeated run; shown on a terminal only.
#[derive(Clone, Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
    start: Instant,
}

impl Progress {
    /// For a single run, which has no line.
    pub(crate) fn none() -> Self {
        Self { bar: ProgressBar::hidden(), start: Instant::now() }
    }

    /// For this number of runs, or for an unknown number.
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

    /// Shows a text on the live line.
    pub(crate) fn message(&self, text: String) {
        self.bar.set_message(text);
        self.bar.tick();
    }

    /// Shows the number of runs that are done, and of failures.
    pub(crate) fn update(&self, runs: u64, failed: u64) {
        let rate = runs as f64 / self.start.elapsed().as_secs_f64().max(1e-3);
        let of = self.bar.length().map(|all| format!(" of {all}")).unwrap_or_default();
        self.message(format!("{runs}{of} runs, {failed} failed, {rate:.1} runs/s"));
    }

    /// Prints a line on standard error, above the live line.
    pub(crate) fn print(&self, line: &str) {
        self.suspend(|| tell::user(line));
    }

    /// Removes the live line while something else is printed.
    pub(crate) fn suspend(&self, print: impl FnOnce()) {
        self.bar.suspend(print);
    }

    /// Removes the live line.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }

    /// The seconds since the start.
    pub(crate) fn seconds(&self) -> f64 {
        self.start.elapsed().as_secs_f64()
    }
}

/// The terminal on standard error. What is drawn goes through the writer's queue like all other
/// output, and is dropped when the terminal accepts nothing.
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

    /// Moves the cursor `times` times in the direction of this letter.
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
