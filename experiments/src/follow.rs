//! A finding followed on another build of its guest.
//!
//! Counts of scheduling points mean nothing there. Instead, each stretch of the schedule ends when
//! its vCPU comes to the place where it was preempted, the recorded number of times; or when it can't
//! go on, if that was the end. A place that is never reached is a miss: the schedule goes on behind
//! it, and what the run comes to decides.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use probes::Symbols;
use vmm::controlled::{Choice, Chooser, Ending, Point};
use vmm::hook::Attach;
use vmm::{Cancel, Host, MachineConfig};

use crate::finding::Finding;
use crate::places::{Arrivals, Stop, is_blocked};
use crate::replay::boot;
use crate::schedule::{Schedule, Stretch};
use crate::strategy::stay;
use crate::waits::{Names, Row};

/// How much longer than the recorded run this one may get.
const LONGER: u64 = 10;

/// What came of a finding on another build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Followed {
    /// What the run came to.
    pub ending: Ending,
    /// How much virtual time it took.
    pub time: Duration,
    /// The files that hooks had the machine dumped to.
    pub dumps: Vec<PathBuf>,
    /// How it differs from what was recorded; `None` if the verdict is the same, and of a hang the
    /// function that each vCPU is in.
    pub difference: Option<String>,
    /// Switches whose place was found.
    pub found: usize,
    /// The others.
    pub missed: Vec<Miss>,
}

/// A switch whose place was not found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Miss {
    /// The stretch, from 1.
    pub stretch: usize,
    /// What was to happen.
    pub choice: Choice,
    /// Where the stretch was to end.
    pub stop: Stop,
}

impl fmt::Display for Miss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { stretch, choice, stop } = self;
        match stop {
            Stop::Place { at, hit: 1 } => write!(f, "{choice} never came to {at}")?,
            Stop::Place { at, hit } => write!(f, "{choice} never came to {at} {hit} times")?,
            Stop::Blocked | Stop::Itself => write!(f, "{choice} couldn't go on there")?,
        }
        write!(f, " (stretch {stretch} of the schedule)")
    }
}

/// Why a finding can't be followed on this guest; `None` if it can.
pub fn obstacle(finding: &Finding, symbols: Option<&Symbols>) -> Option<String> {
    let stops = finding.stops();
    let functions: BTreeSet<&str> = stops.iter().filter_map(Stop::function).collect();
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

/// Follows a finding on another build of its guest. Hooks look on as in [`replay`](crate::replay()).
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
    let stretches: Vec<_> = schedule.stretches().iter().copied().zip(finding.stops()).collect();
    let mut follower = Follower {
        switches: stretches.len(),
        stretches,
        next: 0,
        started: false,
        arrivals: Arrivals::new(symbols),
        missed: Vec::new(),
    };
    let budget = finding.run.points.saturating_mul(LONGER).saturating_add(finding.run.hang_budget);
    let ending = machine.run(&mut follower, budget)?;
    machine.detach();
    let verdict = ending.to_string();
    let difference = if verdict != finding.verdict {
        Some(format!("{verdict} instead of {}", finding.verdict))
    } else if matches!(ending, Ending::Hang { .. }) {
        rows_differ(&finding.waits, &names.table(&machine.waiters()?, machine.memory()))
    } else {
        None
    };
    let found = follower.switches - follower.missed.len();
    let dumps = machine.dumps().to_vec();
    Ok(Followed { ending, time: machine.now(), dumps, difference, found, missed: follower.missed })
}

/// Whether vCPUs hang in other functions than those recorded.
fn rows_differ(recorded: &[Row], now: &[Row]) -> Option<String> {
    recorded.iter().zip(now).find(|(then, now)| !then.waits_like(now)).map(|(then, now)| {
        format!("vCPU {} {}, instead of {}", then.vcpu, now.in_short(), then.in_short())
    })
}

struct Follower<'a> {
    switches: usize,
    stretches: Vec<(Stretch, Stop)>,
    next: usize,
    /// Whether the vCPU of the next stretch has gone on already.
    started: bool,
    arrivals: Arrivals<'a>,
    missed: Vec<Miss>,
}

impl Follower<'_> {
    fn end_stretch(&mut self, missed: bool) {
        if missed {
            let (stretch, stop) = self.stretches[self.next].clone();
            self.missed.push(Miss { stretch: self.next + 1, choice: stretch.choice, stop });
        }
        self.next += 1;
        self.started = false;
    }

    /// Whether the stretch that is under way ends here, and how.
    fn end(&mut self, vcpu: u32, point: &Point) -> Option<bool> {
        let stop = &self.stretches[self.next].1;
        if is_blocked(vcpu, point) {
            return Some(matches!(stop, Stop::Place { .. }));
        }
        self.arrivals.arrive(point.rip);
        (self.arrivals.here() == *stop).then_some(false)
    }
}

impl Chooser for Follower<'_> {
    fn choose(&mut self, point: &Point) -> Choice {
        while let Some((stretch, _)) = self.stretches.get(self.next) {
            let choice = stretch.choice;
            let possible = point.enabled.contains(&choice);
            match choice {
                Choice::Step(vcpu) if self.started => match self.end(vcpu, point) {
                    Some(missed) => self.end_stretch(missed),
                    None => return choice,
                },
                Choice::Step(_) if possible => {
                    self.started = true;
                    self.arrivals.begin();
                    return choice;
                }
                Choice::Interrupt(_) if possible => {
                    self.end_stretch(false);
                    return choice;
                }
                _ => self.end_stretch(true),
            }
        }
        stay(point)
    }
}

#[cfg(test)]
#[path = "follow_tests.rs"]
mod tests;
