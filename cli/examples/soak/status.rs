//! Determines which exit status is right, from docs/reference.md and from the program's output.

use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::draw::{Drawn, Event, Kind};
use crate::place::Place;
use crate::process::Ending;

/// A second signal within this time after the first counts as the same one
/// (`vmm/src/signals.rs`).
const SAME_SIGNAL_WINDOW: Duration = Duration::from_millis(200);

/// What is wrong with how the process ended, if anything.
pub(crate) fn wrong(drawn: &Drawn, ending: &Ending, place: &Place) -> Option<String> {
    if let Some(signal) = ending.status.signal() {
        let signal = Signal::try_from(signal).ok();
        let is_right = match signal {
            Some(Signal::SIGKILL) => ending.sent(Signal::SIGKILL) || ending.stuck.is_some(),
            Some(signal @ (Signal::SIGINT | Signal::SIGTERM)) => may_die(ending, signal),
            _ => false,
        };
        return (!is_right).then(|| format!("died by {signal:?}"));
    }
    let code = ending.status.code().unwrap_or(-1);
    let right = match &ending.stderr {
        Some(stderr) => told(drawn, ending, stderr, place),
        None => untold(drawn, ending, place),
    };
    (!right.contains(&code)).then(|| format!("status {code} instead of {right:?}"))
}

/// Whether the signal's default action was due: before the program handles signals, and at the
/// second signal.
fn may_die(ending: &Ending, signal: Signal) -> bool {
    let second = match ending.sent.as_slice() {
        // The program may have received the signals slightly later or earlier than they were sent.
        [first, second] => second.at - first.at > SAME_SIGNAL_WINDOW / 2,
        _ => false,
    };
    let uncaught = ending.sent.iter().any(|sent| !sent.caught);
    ending.sent(signal) && (uncaught || second)
}

/// The status of a program that a signal ended in order.
fn interrupted(ending: &Ending) -> Vec<i32> {
    let signals = ending.sent.iter().map(|sent| 128 + sent.signal as i32);
    signals.filter(|status| matches!(status, 130 | 143)).collect()
}

/// Whether the program says that a signal came while it read a file: then it has not begun.
pub(crate) fn ended_while_reading(stderr: &str) -> bool {
    stderr.lines().any(|line| line.ends_with(": interrupted"))
}

/// All statuses that are possible if standard error was not read.
fn untold(drawn: &Drawn, ending: &Ending, place: &Place) -> Vec<i32> {
    let mut right = vec![0, 1];
    right.extend(interrupted(ending));
    if drawn.kind == Kind::Hunt {
        right.push(4);
    }
    if place.is_bad() {
        right.extend([2, 6]);
    }
    if matches!(drawn.kind, Kind::Jitter | Kind::Script | Kind::Chatty) {
        // Nothing was injected, or a busy host had no time to write the whole trace.
        right.push(2);
    }
    right
}

/// The right statuses, from the text on standard error.
fn told(drawn: &Drawn, ending: &Ending, stderr: &str, place: &Place) -> Vec<i32> {
    let refused = place.is_bad()
        && ["can't be written", "can't be made", "No space left", "Read-only"]
            .iter()
            .any(|reason| stderr.contains(reason));
    match drawn.kind {
        Kind::Hunt => match Summary::of(stderr) {
            Some(_) if stderr.contains("(status 6)") => vec![6],
            Some(summary) if summary.failed > 0 => vec![1],
            Some(summary) if summary.interrupted => interrupted(ending),
            Some(summary) if summary.runs == summary.cut_short => vec![4],
            Some(_) => vec![0],
            None if refused => vec![2],
            None => vec![],
        },
        Kind::Explain => {
            if stderr.contains("interrupted before anything could be shown")
                || ended_while_reading(stderr)
            {
                interrupted(ending)
            } else if stderr.contains("no cause could be shown") {
                // The only valid reason is that the process was ended early.
                if drawn.event == Event::Nothing { vec![] } else { vec![1] }
            } else if refused {
                vec![0, 2]
            } else {
                vec![0]
            }
        }
        Kind::Replay if stderr.contains("interrupted") => interrupted(ending),
        Kind::Replay => vec![0],
        Kind::Jitter | Kind::Script | Kind::Chatty => {
            let count = || {
                let end = stderr.find(" runs failed")?;
                let line = stderr[..end].lines().last()?;
                line.split_whitespace().nth_back(2)?.parse::<u64>().ok()
            };
            let failed = count().unwrap_or(0) > 0;
            if failed {
                vec![1]
            } else if stderr.contains("interrupted") {
                interrupted(ending)
            } else if refused
                || ["nothing was injected", "were not written: nobody has taken them in time"]
                    .iter()
                    .any(|reason| stderr.contains(reason))
            {
                vec![2]
            } else {
                vec![0]
            }
        }
    }
}

/// The last line of a search.
pub(crate) struct Summary {
    pub(crate) runs: u64,
    pub(crate) distinct: u64,
    pub(crate) failed: u64,
    pub(crate) cut_short: u64,
    pub(crate) interrupted: bool,
}

impl Summary {
    /// Reads a line such as
    /// `jitterbug: interrupted: 46 runs (42 distinct) in 2.0 s, 7 failed, 0 cut short`.
    pub(crate) fn of(stderr: &str) -> Option<Self> {
        let line = stderr.lines().rfind(|line| line.contains(" distinct) in "))?;
        let line = line.strip_prefix("jitterbug: ")?;
        let rest = line.strip_prefix("interrupted: ");
        let mut numbers = rest
            .unwrap_or(line)
            .split([' ', '('])
            .filter_map(|word| word.parse::<f64>().ok())
            .map(|number| number as u64);
        let (runs, distinct, _seconds) = (numbers.next()?, numbers.next()?, numbers.next()?);
        let (failed, cut_short) = (numbers.next()?, numbers.next()?);
        Some(Self { runs, distinct, failed, cut_short, interrupted: rest.is_some() })
    }
}
