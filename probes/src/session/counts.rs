//! How often probes fired.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use schemars::JsonSchema;
use serde::Serialize;

use crate::code::Code;
use crate::engine::Outcome;

/// How often a probe fired, on all vCPUs together. A pattern's points are one probe.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize)]
pub struct ProbeCount {
    /// Its point, as the script calls it.
    pub point: String,
    /// The script it is in.
    pub file: String,
    /// The line there.
    pub line: usize,
    /// How often it fired, cancelled firings included.
    pub firings: u64,
    /// How many firings were cancelled.
    pub cancelled: u64,
    /// How often its point was reached and its predicate said no; these are no firings.
    pub filtered: u64,
    /// How many ticks of its timer passed while the vCPU could not be stopped for them, or how many
    /// calls of its function were given up before they returned.
    pub missed: u64,
}

impl ProbeCount {
    /// Adds what the same probe did in another run.
    pub fn add(&mut self, other: &Self) {
        self.firings = self.firings.saturating_add(other.firings);
        self.cancelled = self.cancelled.saturating_add(other.cancelled);
        self.filtered = self.filtered.saturating_add(other.filtered);
        self.missed = self.missed.saturating_add(other.missed);
    }
}

/// One vCPU's counters. Only its thread writes them; anybody may read them at any time.
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

/// With a single writer no locked instruction is needed.
fn add(counter: &AtomicU64, by: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(by), Ordering::Relaxed);
}

/// All vCPUs together.
pub(super) fn sum(code: &Code, vcpus: &[Arc<Counters>]) -> Vec<ProbeCount> {
    let count = |index: usize, which: fn(&Counter) -> &AtomicU64| {
        let counters = vcpus.iter().filter_map(|vcpu| vcpu.0.get(index));
        counters.map(|counter| which(counter).load(Ordering::Relaxed)).sum::<u64>()
    };
    let mut sums: Vec<ProbeCount> = Vec::new();
    let mut last: Option<&Arc<str>> = None;
    for (index, probe) in code.probes.iter().enumerate() {
        // Those of a pattern are one.
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
