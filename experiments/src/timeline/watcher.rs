//! Sees where vCPUs come to breakpoints and access watched memory.

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use vmm::exit::Exit;
use vmm::hook::{Attach, Context, Hook, Points, Verdict};

/// The accesses that a watchpoint is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchKind {
    /// Stores.
    Write,
    /// Loads.
    Read,
    /// Both.
    Access,
}

/// A watchpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watchpoint {
    /// The vCPU through whose page tables the address was translated when the watchpoint was set.
    pub vcpu: u32,
    /// The linear address.
    pub address: u64,
    /// The number of bytes.
    pub length: u64,
    /// The accesses.
    pub kind: WatchKind,
}

/// What is recorded while the machine runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Recording {
    #[default]
    Nothing,
    /// Accesses to watched memory.
    Accesses,
    /// These, and breakpoints.
    All,
}

/// A vCPU came to a breakpoint or accessed watched memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hit {
    /// The number of scheduling points before the step.
    pub(super) point: u64,
    pub(super) vcpu: u32,
    /// The address of the breakpoint.
    pub(super) address: u64,
    /// The watchpoint; `None` for a breakpoint.
    pub(super) watchpoint: Option<Watchpoint>,
}

/// What the hooks of all vCPUs share with the timeline.
#[derive(Debug, Default)]
pub(super) struct Watched {
    pub(super) breakpoints: Vec<u64>,
    /// The watchpoints, and their guest-physical bytes.
    pub(super) watchpoints: Vec<(Watchpoint, Range<u64>)>,
    pub(super) recording: Recording,
    /// The step that was chosen last: the number of scheduling points before it.
    pub(super) step: Option<u64>,
    pub(super) first: Option<Hit>,
    pub(super) last: Option<Hit>,
}

impl Watched {
    /// Whether there is nothing to stop at.
    pub(super) fn is_empty(&self) -> bool {
        self.breakpoints.is_empty() && self.watchpoints.is_empty()
    }

    pub(super) fn breaks_at(&self, address: u64) -> bool {
        self.breakpoints.contains(&address)
    }

    fn put(&mut self, hit: Hit) {
        self.first.get_or_insert_with(|| hit.clone());
        self.last = Some(hit);
    }

    /// The watchpoint that an access concerns.
    fn touched(&self, exit: &Exit) -> Option<&Watchpoint> {
        let (start, length, other) = match exit {
            Exit::MmioRead { address, size } => (*address, u64::from(*size), WatchKind::Write),
            Exit::MmioWrite { address, data } => (*address, data.len() as u64, WatchKind::Read),
            _ => return None,
        };
        let overlaps = |range: &Range<u64>| start < range.end && range.start < start + length;
        let mut watchpoints = self.watchpoints.iter();
        let found = watchpoints.find(|(it, range)| it.kind != other && overlaps(range));
        found.map(|(watchpoint, _)| watchpoint)
    }
}

/// Attaches hooks that record hits.
#[derive(Clone, Debug, Default)]
pub(super) struct Watcher(Arc<Mutex<Watched>>);

impl Watcher {
    pub(super) fn lock(&self) -> MutexGuard<'_, Watched> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The step that was chosen last.
    pub(super) fn step(&self) -> Option<u64> {
        self.lock().step
    }
}

impl Attach for Watcher {
    fn attach(&self, _: u32, _: u32) -> Box<dyn Hook> {
        Box::new(VcpuWatcher { watched: self.clone(), step: None, breakpoints: Vec::new() })
    }
}

struct VcpuWatcher {
    watched: Watcher,
    /// The step of this vCPU, if it was chosen by the schedule. Steps of proofs are not.
    step: Option<u64>,
    breakpoints: Vec<u64>,
}

impl Hook for VcpuWatcher {
    fn points(&self) -> Points {
        Points::CHOICE | Points::EXIT | Points::BREAKPOINT
    }

    fn choice(&mut self, context: &mut Context, _: vmm::controlled::Choice) {
        let watched = self.watched.lock();
        let step = context.point.and_then(|point| point.checked_sub(1));
        self.step = step.filter(|_| watched.step == step);
        self.breakpoints.clear();
        if self.step.is_some() && watched.recording == Recording::All {
            self.breakpoints.extend_from_slice(&watched.breakpoints);
        }
    }

    fn breakpoints(&self) -> &[u64] {
        &self.breakpoints
    }

    fn breakpoint(&mut self, context: &mut Context, address: u64) -> Verdict {
        if let Some(point) = self.step {
            let hit = Hit { point, vcpu: context.vcpu, address, watchpoint: None };
            self.watched.lock().put(hit);
        }
        Verdict::Continue
    }

    fn exit(&mut self, context: &mut Context, exit: &Exit) -> Verdict {
        let mut watched = self.watched.lock();
        if let Some(point) = self.step
            && watched.recording != Recording::Nothing
            && let Some(watchpoint) = watched.touched(exit).cloned()
        {
            let (vcpu, address) = (context.vcpu, watchpoint.address);
            watched.put(Hit { point, vcpu, address, watchpoint: Some(watchpoint) });
        }
        Verdict::Continue
    }
}
