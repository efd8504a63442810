//! Counts of each probe's firings.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use schemars::JsonSchema;
use serde::Serialize;

use crate::code::Code;
use crate::engine::Outcome;

/// How often a probe fired, on all vCPUs together. The points of a pattern count as one probe.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize)]
pub struct ProbeCount {
    /// The probe's point, as written in the script.
    pub point: String,
    /// The script's file.
    pub file: String,
    /// The probe's line in that file.
    pub line: usize,
    /// How often the probe fired, cancelled firings included.
    pub firings: u64,
    /// How many of these firings were cancelled.
    pub cancelled: u64,
    /// How often the point was reached while the probe's predicate was 0; `firings` does not
    /// include these.
    pub filtered: u64,
    /// How many ticks of the probe's timer passed while the vCPU could not be stopped for them, or
    /// how many calls of its function were given up before they returned.
    pub missed: u64,
}

impl ProbeCount {
    /// Adds the counts of the same probe in another run.
    pub fn add(&mut self, other: &Self) {
        self.firings = self.firings.saturating_add(other.firings);
        self.cancelled = self.cancelled.saturating_add(other.cancelled);
        self.filtered = self.filtered.saturating_add(other.filtered);
        self.missed = self.missed.saturating_add(other.missed);
    }
}

/// One vCPU's counters. Only the vCPU's thread writes them; any thread may read them at any time.
#[derive(Debug)]
pub(super) struct Counters(Vec<Counter>);

#[derive(Debug, Default)]
struct Counter {
    firings: AtomicU64,
    cancelled: AtomicU64,
    filtered: AtomicU64,
    missed: AtomicU64,
}

impl Counters {
    pub(super) fn new(probes: usize) -> Self {
        Self(std::iter::repeat_with(Counter::default).take(probes).collect())
    }

    pub(super) fn fired(&self, probe: usize, outcome: Outcome) {
        let Some(counter) = self.0.get(probe) else { return };
        match outcome {
            Outcome::Completed => add(&counter.firings, 1),
            Outcome::Cancelled => {
                add(&counter.firings, 1);
                add(&counter.cancelled, 1);
            }
            Outcome::Filtered => add(&counter.filtered, 1),
            Outcome::Unloaded => {}
        }
    }

    pub(super) fn missed(&self, probe: usize, ticks: u64) {
        if let Some(counter) = self.0.get(probe) {
            add(&counter.missed, ticks);
        }
    }
}

/// Adds without a locked instruction, which a single writer doesn't need.
fn add(counter: &AtomicU64, by: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(by), Ordering::Relaxed);
}

/// The counts of all vCPUs together.
pub(super) fn sum(code: &Code, vcpus: &[Arc<Counters>]) -> Vec<ProbeCount> {
    let count = |index: usize, which: fn(&Counter) -> &AtomicU64| {
        let counters = vcpus.iter().filter_map(|vcpu| vcpu.0.get(index));
        counters.map(|counter| which(counter).load(Ordering::Relaxed)).sum::<u64>()
    };
    let mut sums: Vec<ProbeCount> = Vec::new();
    let mut last: Option<&Arc<str>> = None;
    for (index, probe) in code.probes.iter().enumerate() {
        // The probes of a pattern follow one another and share one row.
        if !last.replace(&probe.written).is_some_and(|last| Arc::ptr_eq(last, &probe.written)) {
            let location = probe.span.location(&code.sources);
            sums.push(ProbeCount {
                point: probe.written.to_string(),
                file: location.file.to_string(),
                line: location.line,
                firings: 0,
                cancelled: 0,
                filtered: 0,
                missed: 0,
            });
        }
        let Some(sum) = sums.last_mut() else { continue };
        sum.firings += count(index, |counter| &counter.firings);
        sum.cancelled += count(index, |counter| &counter.cancelled);
        sum.filtered += count(index, |counter| &counter.filtered);
        sum.missed += count(index, |counter| &counter.missed);
    }
    sums
}
