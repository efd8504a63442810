//! What threads outside a run get to know of it.

use std::time::Duration;

use super::added_watches::AddedWatches;
use super::outcome::VcpuState;
use crate::error::Result;
use crate::hook::Watch;
use crate::memory::Memory;

/// A machine whose vCPUs are all out of the guest, and stay there while this is looked at.
pub struct Stopped<'a> {
    /// The state of each vCPU, in the order of their numbers.
    pub vcpus: &'a [VcpuState],
    /// Guest-physical memory.
    pub memory: &'a Memory,
    pub(super) added: &'a AddedWatches,
}

impl Stopped<'_> {
    /// Watches this memory from now on, by trapped pages: the run's hooks are told of each access
    /// if they asked for [`Points::ADDED_WATCH`](crate::hook::Points::ADDED_WATCH). Fails if there
    /// is no RAM, or if a vCPU has a table of the processor's on these pages.
    pub fn watch(&self, watch: Watch) -> Result<()> {
        self.added.add(watch, self.vcpus, self.memory)
    }

    /// Ends a watch that was added. Nothing happens if there is none like this.
    pub fn unwatch(&self, watch: &Watch) -> Result<()> {
        self.added.remove(watch, self.memory)
    }
}

/// Why the vCPUs don't run. Each of several reasons has to end before they do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standstill {
    /// A [`Remote`] has paused the run.
    Paused,
    /// A hook has suspended the run.
    Suspended,
    /// It is stopped for a debugger, and makes steps for it at most.
    Debugged,
}

/// What can be said of a run without stopping it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunStatus {
    /// The time since the machine started.
    pub time: Duration,
    /// How much of it the machine was paused.
    pub paused: Duration,
    /// Why the vCPUs don't run at present; empty if they do.
    pub standstills: Vec<Standstill>,
    /// Whether the watchdog has found a hang, so that the run is about to end.
    pub hung: bool,
    /// For each vCPU, how many times the guest has left it by itself.
    pub exits: Vec<u64>,
}
