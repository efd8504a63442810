//! Follows a finding on another build of its guest.
//!
//! Counts of scheduling points mean nothing in another build. Instead, each segment of the schedule
//! ends when its vCPU reaches the place where it was preempted for the recorded number of times, or
//! when it can't go on, if the recorded segment ended that way. A place that is never reached is a
//! miss: the schedule continues with the next segment, and the end of the run decides.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use inspect::Symbols;
use vmm::controlled::{Choice, Chooser, Point};
use vmm::end::End;
use vmm::hook::Attach;
use vmm::{Cancel, Host, MachineConfig};

use crate::finding::Finding;
use crate::replay::boot;
use crate::schedule::{Schedule, Segment};
use crate::segment_end::{SegmentEnd, VisitCounter, is_blocked};
use crate::strategy::stay;
use crate::waits::{Names, Row};

/// How many times as long as the recorded run this run may get.
const MAX_LENGTH_FACTOR: u64 = 10;

/// The result of following a finding on another build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Followed {
    /// How the run ended.
    pub ending: End,
    /// How much virtual time the run took.
    pub time: Duration,
    /// The files to which hooks dumped the machine.
    pub dumps: Vec<PathBuf>,
    /// The difference from the recorded run; `None` if the verdict is the same and, for a hang,
    /// each vCPU is in the same function.
    pub difference: Option<String>,
    /// How many switches whose place was reached.
    pub found: usize,
    /// The switches whose place was not reached.
    pub missed: Vec<Miss>,
}

/// A switch whose place was not reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Miss {
    /// The segment's number, from 1.
    pub segment: usize,
    /// The choice of the segment.
    pub choice: Choice,
    /// Why the segment should have ended.
    pub end: SegmentEnd,
}

impl fmt::Display for Miss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { segment, choice, end } = self;
        match end {
            SegmentEnd::Place { at, hit: 1 } => write!(f, "{choice} never came to {at}")?,
            SegmentEnd::Place { at, hit } => write!(f, "{choice} never came to {at} {hit} times")?,
            SegmentEnd::Blocked | SegmentEnd::Itself => write!(f, "{choice} couldn't go on there")?,
        }
        write!(f, " (segment {segment} of the schedule)")
    }
}

/// Why a finding can't be followed on this guest; `None` if it can.
pub fn obstacle(finding: &Finding, symbols: Option<&Symbols>) -> Option<String> {
    let ends = finding.ends();
    let functions: BTreeSet<&str> = ends.iter().filter_map(SegmentEnd::function).collect();
    let Some(symbols) = symbols else {
        return Some(
            "it has no symbols to follow by: name a file that has them by --symbols".into(),
        );
    };
    if functions.is_empty() {
        return Some("the finding names no functions: its guest had no symbols".into());
    }
    let missing: Vec<_> =
        functions.into_iter().filter(|name| !symbols.has_function(name)).collect();
    (!missing.is_empty()).then(|| format!("it has no {}", missing.join(", ")))
}

/// Follows a finding on another build of its guest. Hooks observe the run as in
/// [`replay`](crate::replay()).
pub fn follow(
    host: &Host,
    finding: &Finding,
    schedule: &Schedule,
    machine: &MachineConfig,
    symbols: Option<&Symbols>,
    hooks: &[&dyn Attach],
    cancel: &Cancel,
) -> vmm::Result<Followed> {
    let names = Names { symbols, image: &machine.guest.bytes };
    let mut machine = boot(host, machine, finding.run.hang_budget, hooks, cancel)?;
    let segments: Vec<_> = schedule.segments().iter().copied().zip(finding.ends()).collect();
    let mut follower = Follower {
        switches: segments.len(),
        segments,
        next: 0,
        started: false,
        visits: VisitCounter::new(symbols),
        missed: Vec::new(),
    };
    let budget = finding
        .run
        .points
        .saturating_mul(MAX_LENGTH_FACTOR)
        .saturating_add(finding.run.hang_budget);
    let ending = machine.run(&mut follower, budget)?;
    machine.detach();
    let verdict = ending.to_string();
    let difference = if verdict != finding.verdict {
        Some(format!("{verdict} instead of {}", finding.verdict))
    } else if matches!(ending, End::Hang(_)) {
        rows_differ(&finding.waits, &names.table(&machine.waiters()?, machine.memory()))
    } else {
        None
    };
    let found = follower.switches - follower.missed.len();
    let dumps = machine.dumps().to_vec();
    Ok(Followed { ending, time: machine.now(), dumps, difference, found, missed: follower.missed })
}

/// The first vCPU that hangs in another function than the recorded one, in words.
fn rows_differ(recorded: &[Row], now: &[Row]) -> Option<String> {
    recorded.iter().zip(now).find(|(then, now)| !then.waits_like(now)).map(|(then, now)| {
        format!("vCPU {} {}, instead of {}", then.vcpu, now.in_short(), then.in_short())
    })
}

struct Follower<'a> {
    switches: usize,
    segments: Vec<(Segment, SegmentEnd)>,
    next: usize,
    /// Whether the vCPU of the current segment has already made a step.
    started: bool,
    visits: VisitCounter<'a>,
    missed: Vec<Miss>,
}

impl Follower<'_> {
    fn end_segment(&mut self, missed: bool) {
        if missed {
            let (segment, end) = self.segments[self.next].clone();
            self.missed.push(Miss { segment: self.next + 1, choice: segment.choice, end });
        }
        self.next += 1;
        self.started = false;
    }

    /// Whether the current segment ends here; if it does, whether its place was missed.
    fn end(&mut self, vcpu: u32, point: &Point) -> Option<bool> {
        let end = &self.segments[self.next].1;
        if is_blocked(vcpu, point) {
            return Some(matches!(end, SegmentEnd::Place { .. }));
        }
        self.visits.arrive(point.rip);
        (self.visits.here() == *end).then_some(false)
    }
}

impl Chooser for Follower<'_> {
    fn choose(&mut self, point: &Point) -> Choice {
        while let Some((segment, _)) = self.segments.get(self.next) {
            let choice = segment.choice;
            let possible = point.offers(choice);
            match choice {
                Choice::Step(vcpu) if self.started => match self.end(vcpu, point) {
                    Some(missed) => self.end_segment(missed),
                    None => return choice,
                },
                Choice::Step(_) if possible => {
                    self.started = true;
                    self.visits.begin();
                    return choice;
                }
                Choice::Interrupt(_) | Choice::Fault(..) if possible => {
                    self.end_segment(false);
                    return choice;
                }
                _ => self.end_segment(true),
            }
        }
        stay(point)
    }
}

#[cfg(test)]
#[path = "follow_tests.rs"]
mod tests;
