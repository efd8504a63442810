//! Watches that are added to a running machine while all its vCPUs are out of the guest.
//!
//! The pages are trapped at once: the VM's slots are made anew without them. Each vCPU takes over
//! the new list on its way out of the rendezvous, before it runs on. So no access is missed from
//! the moment when the vCPUs run again.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::outcome::VcpuState;
use crate::error::{Error, Result};
use crate::hook::Watch;
use crate::kvm::Vm;
use crate::memory::Memory;
use crate::registers::Activity;
use crate::trapped;

/// What is watched only since the machine runs.
#[derive(Default)]
pub(super) struct AddedWatches {
    /// How often the list has changed.
    changes: AtomicU64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// `None` before and after the run.
    vm: Option<Vm>,
    watches: Vec<Watch>,
}

impl AddedWatches {
    /// Takes the machine of a run that begins.
    pub(super) fn begin(&self, vm: Vm) {
        self.lock().vm = Some(vm);
    }

    /// Gives the machine back. No watch can be added after this.
    pub(super) fn end(&self) -> Option<Vm> {
        self.lock().vm.take()
    }

    /// How often the list has changed.
    pub(super) fn changes(&self) -> u64 {
        self.changes.load(Ordering::SeqCst)
    }

    /// The present list.
    pub(super) fn list(&self) -> Vec<Watch> {
        self.lock().watches.clone()
    }

    /// Adds a watch to a machine whose vCPUs are all out of the guest and have these states.
    pub(super) fn add(&self, watch: Watch, vcpus: &[VcpuState], memory: &Memory) -> Result<()> {
        trapped::is_ram(&watch.physical, memory)?;
        let mut state = self.lock();
        memory.trap(&watch.physical);
        if let Err(error) = used(&watch.physical, vcpus, memory) {
            memory.release(&watch.physical);
            return Err(error);
        }
        if let Err(error) = remap(&mut state, memory) {
            // Some slots may be missing.
            memory.release(&watch.physical);
            return remap(&mut state, memory).and(Err(error));
        }
        state.watches.push(watch);
        self.changes.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    /// Removes a watch that was added. Nothing happens if there is none like this.
    pub(super) fn remove(&self, watch: &Watch, memory: &Memory) -> Result<()> {
        let mut state = self.lock();
        let Some(place) = state.watches.iter().position(|known| known == watch) else {
            return Ok(());
        };
        state.watches.remove(place);
        memory.release(&watch.physical);
        self.changes.fetch_add(1, Ordering::SeqCst);
        remap(&mut state, memory)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Leaves the trapped pages out of the machine's slots, and no others.
fn remap(state: &mut State, memory: &Memory) -> Result<()> {
    let Some(vm) = &mut state.vm else {
        let problem = "its run has ended, or has not begun".into();
        return Err(Error::Config { setting: "watch", value: "in a machine".into(), problem });
    };
    debug_assert!(std::ptr::eq(&raw const **vm.memory(), memory));
    vm.remap()
}

/// Fails if a vCPU uses a table on these pages, which are trapped.
fn used(range: &Range<u64>, vcpus: &[VcpuState], memory: &Memory) -> Result<()> {
    let started = vcpus.iter().filter(|vcpu| vcpu.activity != Activity::WaitForSipi);
    let found = started.map(|vcpu| trapped::misplaced_table(&vcpu.system, memory));
    let Some(unsupported) = found.flatten().next() else { return Ok(()) };
    let value = format!("{:#x}..{:#x}", range.start, range.end);
    let problem = format!("{unsupported}{}", memory.watcher(unsupported.gpa()));
    Err(Error::Config { setting: "watch of guest-physical", value, problem })
}

#[cfg(test)]
#[path = "added_watches_tests.rs"]
mod tests;
