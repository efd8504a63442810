//! How often probes fired.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

use crate::engine::Outcome;
use crate::ir::Program;

/// How often a probe fired, on all vCPUs together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProbeCount {
    /// The name of its point.
    pub point: &'static str,
    /// The script it is in.
    pub file: String,
    /// The line there.
    pub line: usize,
    /// How often it fired, cancelled firings included.
    pub firings: u64,
    /// How many firings were cancelled.
    pub cancelled: u64,
    /// How many ticks of its timer passed while the vCPU could not be stopped for them.
    pub missed: u64,
}

/// One vCPU's counters. Only its thread writes them; anybody may read them at any time.
#[derive(Debug)]
pub(super) struct Counters(Vec<Counter>);

#[derive(Debug, Default)]
struct Counter {
    firings: AtomicU64,
    cancelled: AtomicU64,
    missed: AtomicU64,
}

impl Counters {
    pub(super) fn new(probes: usize) -> Self {
        Self(std::iter::repeat_with(Counter::default).take(probes).collect())
    }

    pub(super) fn fired(&self, probe: usize, outcome: Outcome) {
        let Some(counter) = self.0.get(probe) else { return };
        add(&counter.firings, 1);
        if outcome == Outcome::Cancelled {
            add(&counter.cancelled, 1);
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
pub(super) fn sum(program: &Program, vcpus: &[Arc<Counters>]) -> Vec<ProbeCount> {
    let count = |index: usize, which: fn(&Counter) -> &AtomicU64| {
        let counters = vcpus.iter().filter_map(|vcpu| vcpu.0.get(index));
        counters.map(|counter| which(counter).load(Ordering::Relaxed)).sum()
    };
    let probes = program.probes.iter().enumerate();
    probes
        .map(|(index, probe)| {
            let location = probe.span.location(&program.sources);
            ProbeCount {
                point: probe.point.name(),
                file: location.file.to_string(),
                line: location.line,
                firings: count(index, |counter| &counter.firings),
                cancelled: count(index, |counter| &counter.cancelled),
                missed: count(index, |counter| &counter.missed),
            }
        })
        .collect()
}
