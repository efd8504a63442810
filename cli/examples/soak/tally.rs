//! Counts the results, and prints the table at the end.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::checks::{Left, PROMISED, SLACK};
use crate::draw::{Drawn, Kind, Reader};
use crate::process::Ending;
use crate::rest::LongResult;

/// Memory growth up to this factor, or up to this number of KiB, counts as flat, because processes
/// that are ended at random moments differ.
const GROWTH: (f64, u64) = (1.25, 4096);
/// The table of the hashes of interleavings grows for the last time when it has this number of
/// them, and then takes this number of KiB more (`experiments/src/hunt/interleavings.rs`).
const LAST_TABLE: (u64, u64) = (1 << 19, 9 << 10);
/// The minimum number of samples for a statement about memory.
const SAMPLES: usize = 20;

/// The results of one kind of command.
#[derive(Default)]
struct OfKind {
    by_itself: u64,
    kills: u64,
    interrupts: u64,
    terminations: u64,
    /// Times from SIGINT or SIGTERM to the end.
    ends: Vec<Duration>,
    /// Times from SIGKILL to the end.
    deaths: Vec<Duration>,
    peaks: Vec<u64>,
}

/// All results.
pub(crate) struct Tally {
    /// Whether disks can be mounted.
    pub(crate) mounts: bool,
    kinds: BTreeMap<Kind, OfKind>,
    /// For each fault of a place or a reader: the number of processes, and how many of them got a
    /// signal.
    bad: BTreeMap<String, (u64, u64)>,
    statuses: BTreeMap<String, u64>,
    second_signals: u64,
    findings: usize,
    replayed: usize,
    parts: usize,
    told: u64,
    orphans: usize,
    /// For how long the kernel held processes, for each process that it held.
    held: Vec<Duration>,
    /// Processes that may be late, with the times that they took.
    slow: Vec<(Duration, String)>,
    long: LongResult,
    problems: Vec<String>,
}

impl Tally {
    pub(crate) fn new(mounts: bool) -> Self {
        Self {
            mounts,
            kinds: BTreeMap::new(),
            bad: BTreeMap::new(),
            statuses: BTreeMap::new(),
            second_signals: 0,
            findings: 0,
            replayed: 0,
            parts: 0,
            told: 0,
            orphans: 0,
            held: Vec::new(),
            slow: Vec::new(),
            long: LongResult::default(),
            problems: Vec::new(),
        }
    }

    pub(crate) fn problems(&self) -> &[String] {
        &self.problems
    }

    pub(crate) fn in_short(&self) -> String {
        let sum = |of: fn(&OfKind) -> u64| self.kinds.values().map(of).sum::<u64>();
        let (kills, interrupts) = (sum(|kind| kind.kills), sum(|kind| kind.interrupts));
        let processes = sum(|kind| kind.peaks.len() as u64);
        let problems = self.problems.len();
        format!("{processes} processes, {kills} kill -9, {interrupts} SIGINT, {problems} problems")
    }

    fn problem(&mut self, number: u64, commands: &[OsString], what: &str) {
        let problem = line(number, commands, what);
        println!("PROBLEM {problem}");
        self.problems.push(problem);
    }

    /// Adds a process that has ended.
    pub(crate) fn add(
        &mut self,
        drawn: &Drawn,
        ending: &Ending,
        place: &str,
        problems: &[String],
        number: u64,
    ) {
        let kind = self.kinds.entry(drawn.kind).or_default();
        kind.peaks.push(ending.peak);
        match ending.sent.first().map(|sent| sent.signal) {
            None => kind.by_itself += 1,
            Some(Signal::SIGKILL) => {
                kind.kills += 1;
                kind.deaths.extend(ending.after_signal());
            }
            Some(signal) => {
                let of_signal = if signal == Signal::SIGINT {
                    &mut kind.interrupts
                } else {
                    &mut kind.terminations
                };
                *of_signal += 1;
                kind.ends.extend(ending.after_signal());
            }
        }
        self.held.extend(Some(ending.held).filter(|held| !held.is_zero()));
        self.second_signals += u64::from(ending.sent.len() > 1);
        let signalled = u64::from(!ending.sent.is_empty());
        let readers = [("standard output", drawn.stdout), ("standard error", drawn.stderr)];
        let readers = readers.into_iter().filter_map(|(stream, reader)| {
            let how = match reader {
                Reader::Reads => return None,
                Reader::Gone => "closed from the start",
                Reader::Goes(_) => "closed later",
                Reader::Stalls(_) => "never read",
            };
            Some(format!("{stream}: {how}"))
        });
        for what in readers.chain((!place.is_empty()).then(|| place.to_owned())) {
            let (all, with_signal) = self.bad.entry(what).or_default();
            *all += 1;
            *with_signal += signalled;
        }
        let status = match (ending.status.code(), ending.status.signal()) {
            (Some(code), _) => code.to_string(),
            (None, signal) => format!("signal {}", signal.unwrap_or(0)),
        };
        *self.statuses.entry(status).or_default() += 1;
        let told =
            ending.stderr.as_ref().is_some_and(|text| text.contains(": the finding follows"));
        self.told += u64::from(told);
        let how = format!(
            "{:?} {:?} stdout {:?} stderr {:?} {place}",
            drawn.event, drawn.moment, drawn.stdout, drawn.stderr
        );
        if let Some(after) = ending.after_signal()
            && !ending.sent(Signal::SIGKILL)
            && after > PROMISED + SLACK
        {
            let what = format!("late: it ended {after:.2?} after the signal ({how})");
            self.slow.push((after, line(number, &drawn.arguments, &what)));
        }
        for problem in problems {
            self.problem(number, &drawn.arguments, &format!("{problem} ({how})"));
        }
    }

    /// Adds the results of checking the files of a place.
    pub(crate) fn files(&mut self, left: &Left, drawn: &[Drawn], number: u64) {
        self.findings += left.findings;
        self.replayed += left.replayed;
        self.parts += left.parts;
        for problem in &left.problems {
            self.problem(number, &drawn[0].arguments, problem);
        }
    }

    pub(crate) fn orphans(&mut self, orphans: &[String], drawn: &[Drawn], number: u64) {
        self.orphans += orphans.len();
        for orphan in orphans {
            self.problem(number, &drawn[0].arguments, &format!("orphan: {orphan}"));
        }
    }

    /// Evaluates what is known only at the end of the test.
    pub(crate) fn end(&mut self, long: LongResult) {
        let mut problems = long.problems.clone();
        let deaths = self.kinds.values().flat_map(|kind| &kind.deaths).max();
        let slack = deaths.copied().unwrap_or_default().max(SLACK);
        let late = self.slow.iter().filter(|(after, _)| *after > PROMISED + slack);
        problems.extend(late.map(|(_, problem)| problem.clone()));
        if long.end > PROMISED + slack {
            problems.push(format!("the long search ended {:.2?} after the signal", long.end));
        }
        // New interleavings get rarer, so at least three quarters came in three quarters of the
        // time.
        let had_last_table = long.distinct / 4 * 3 > LAST_TABLE.0;
        let table = if had_last_table { 0 } else { LAST_TABLE.1 };
        if let [_, .., third, last] = long.quarters()[..]
            && grows(third + table, last)
        {
            problems.push(format!("the long search's memory grows: {third} KiB, then {last}"));
        }
        for (kind, of_kind) in &self.kinds {
            let (first, last) = tenths(&of_kind.peaks);
            if of_kind.peaks.len() >= SAMPLES && grows(first, last) {
                problems.push(format!("{kind:?}: peak memory grows: {first} KiB, then {last}"));
            }
        }
        self.long = long;
        self.problems.extend(problems);
    }
}

/// A line that describes a problem.
fn line(number: u64, commands: &[OsString], what: &str) -> String {
    let words: Vec<_> = commands.iter().map(|word| word.to_string_lossy()).collect();
    format!("{number}: {}: jitterbug {}", what.replace('\n', "; "), words.join(" "))
}

fn grows(first: u64, last: u64) -> bool {
    last > first + GROWTH.1 && last as f64 > first as f64 * GROWTH.0
}

/// The median; the default value if there are no values.
fn median<T: Copy + Ord + Default>(all: &[T]) -> T {
    let mut sorted = all.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

/// The median of the first tenth and that of the last tenth.
fn tenths(all: &[u64]) -> (u64, u64) {
    let tenth = all.len().div_ceil(10);
    (median(&all[..tenth]), median(&all[all.len() - tenth..]))
}

impl LongResult {
    /// The memory in KiB at the beginning, at the end of each of the first three quarters, and at
    /// the end.
    fn quarters(&self) -> Vec<u64> {
        let last = self.samples.len().saturating_sub(1);
        let at = |quarter: usize| self.samples.get(last * quarter / 4).copied();
        (0..=4).filter_map(at).collect()
    }
}

fn milliseconds(all: &[Duration]) -> String {
    match all.iter().max() {
        Some(max) => format!("{} / {}", median(all).as_millis(), max.as_millis()),
        None => "-".into(),
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "| command | processes | ended by itself | `kill -9` | SIGINT | SIGTERM | ms from SIGINT or \
             SIGTERM to the end, median / max | ms from `kill -9` | peak memory in MiB, first tenth / last |"
        )?;
        writeln!(f, "|---|---|---|---|---|---|---|---|---|")?;
        let mut all = OfKind::default();
        for (kind, of_kind) in &self.kinds {
            let name = match kind {
                Kind::Hunt => "`hunt`",
                Kind::Jitter => "`run --repeat --jitter boot`",
                Kind::Script => "`run` with scripts",
                Kind::Chatty => "`run` of a guest that prints for ever",
                Kind::Replay => "`replay`",
                Kind::Explain => "`explain`",
            };
            let (first, last) = tenths(&of_kind.peaks);
            let mib = |kib: u64| kib as f64 / 1024.0;
            row(f, name, of_kind, &format!("{:.1} / {:.1}", mib(first), mib(last)))?;
            all.by_itself += of_kind.by_itself;
            all.kills += of_kind.kills;
            all.interrupts += of_kind.interrupts;
            all.terminations += of_kind.terminations;
            all.ends.extend(&of_kind.ends);
            all.deaths.extend(&of_kind.deaths);
            all.peaks.extend(&of_kind.peaks);
        }
        row(f, "all", &all, "")?;
        writeln!(f, "\n| place or reader | processes | of those with a signal |\n|---|---|---|")?;
        for (what, (count, with_signal)) in &self.bad {
            writeln!(f, "| {what} | {count} | {with_signal} |")?;
        }
        let statuses: Vec<_> =
            self.statuses.iter().map(|(status, count)| format!("{status}: {count}")).collect();
        let late = all.ends.iter().filter(|end| **end > PROMISED).count();
        writeln!(f, "\n* Exit statuses: {}.", statuses.join(", "))?;
        writeln!(f, "* A second SIGINT was sent {} times.", self.second_signals)?;
        writeln!(f, "* {late} of {} ends took longer than {PROMISED:?}.", all.ends.len())?;
        let most = self.held.iter().max().copied().unwrap_or_default();
        writeln!(
            f,
            "* The kernel held {} processes after a signal, for {:.1?} in all and {most:.1?} at most, which is not \
             in the times above.",
            self.held.len(),
            self.held.iter().sum::<Duration>(),
        )?;
        writeln!(
            f,
            "* {} findings' files were read, {} of them replayed; {} were told because they could not be \
             written.",
            self.findings, self.replayed, self.told
        )?;
        writeln!(
            f,
            "* {} temporary files were left by processes that a signal killed.",
            self.parts
        )?;
        writeln!(f, "* {} orphan processes.", self.orphans)?;
        let quarters: Vec<_> =
            self.long.quarters().iter().map(|kib| format!("{:.1}", *kib as f64 / 1024.0)).collect();
        writeln!(
            f,
            "* The long search: {} runs in {:.0} s; {} MiB at the start, after each quarter, and at the \
             end; it ended {} ms after SIGINT.",
            self.long.runs,
            self.long.seconds,
            quarters.join(", "),
            self.long.end.as_millis()
        )?;
        writeln!(f, "* {} problems.", self.problems.len())
    }
}

fn row(f: &mut fmt::Formatter<'_>, name: &str, kind: &OfKind, memory: &str) -> fmt::Result {
    writeln!(
        f,
        "| {name} | {} | {} | {} | {} | {} | {} | {} | {memory} |",
        kind.peaks.len(),
        kind.by_itself,
        kind.kills,
        kind.interrupts,
        kind.terminations,
        milliseconds(&kind.ends),
        milliseconds(&kind.deaths),
    )
}
