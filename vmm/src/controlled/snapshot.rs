//! Saves a whole machine at a scheduling point, and restores it.
//!
//! The cost of a restore is proportional to the pages written since and to the vCPUs that have run.
//! The written pages come from KVM's dirty log and from [`Memory`](crate::memory::Memory), which
//! records what the host writes.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};

use super::ControlledMachine;
use super::faults::FaultState;
use super::hang_budget::ProgressCounter;
use super::hash::RunHash;
use super::platform::PlatformState;
use super::vcpu_context::ShadowState;
use super::vcpu_context::State;
use super::waiting::ProgressTracker;
use super::writers::Writers;
use crate::boot::elf::{self, Image};
use crate::breakpoints::Reported;
use crate::cpu::Cpu;
use crate::error::{Error, Result};
use crate::exit::{Entry, Exit};
use crate::kvm::{CpuState, DirtyLog, ExtendedRestore, Host, Vm};
use crate::registers::SystemRegisters;
use crate::snapshot::{Pages, changes_extended_state, page_tables};

/// The interval, in restores, between checks that state which can't have changed has not.
const CHECK_EVERY: u64 = 256;

/// A machine at a scheduling point. Only the machine that created it can restore it.
#[derive(Clone, Debug)]
pub struct Snapshot {
    machine: u64,
    pages: Pages,
    /// The addresses of the pages that hold page tables.
    tables: BTreeSet<u64>,
    vcpus: Vec<SavedVcpu>,
    platform: PlatformState,
    hash: RunHash,
    writers: Writers,
    progress: ProgressCounter,
    points: u64,
    last: Option<u32>,
    faults: FaultState,
    /// Memory holds the replaced RDTSCs exactly if this is false.
    host_clock: bool,
}

#[derive(Clone, Debug)]
struct SavedVcpu {
    cpu: CpuState,
    system: SystemRegisters,
    state: State,
    tracker: ProgressTracker,
    reported: Reported,
    reexecutes: bool,
    held_until: u64,
    shadow: ShadowState,
    interruptible: bool,
    unproven: Option<u64>,
}

impl Snapshot {
    /// The number of scheduling points that had passed.
    pub fn points(&self) -> u64 {
        self.points
    }

    /// The bytes of guest memory that it holds.
    pub fn bytes(&self) -> u64 {
        self.pages.len() as u64 * crate::memory::PAGE_SIZE
    }
}

/// What a machine records for snapshots.
#[derive(Debug)]
pub(super) struct Tracking {
    /// Distinguishes the snapshots of this machine from others.
    machine: u64,
    /// The MSRs to save.
    msrs: Vec<u32>,
    /// Whether MSR writes exit.
    pub(super) msr_writes: bool,
    /// `Unchanged` if every event that could change a vCPU's FPU, MSRs or debug registers is
    /// noticed, so that they need not be restored unless such an event occurred.
    extended: ExtendedRestore,
    /// The number of restores.
    restored: u64,
    /// The contents of memory when it was last saved or restored.
    base: Pages,
    /// The pages written since.
    dirty: BTreeSet<u64>,
    log: DirtyLog,
}

impl Tracking {
    /// The MSRs that are saved.
    pub(super) fn msrs(&self) -> &[u32] {
        &self.msrs
    }

    pub(super) fn new(host: &Host, vm: &Vm, image: Image) -> Result<Self> {
        static MACHINES: AtomicU64 = AtomicU64::new(0);
        let msr_writes = vm.exit_on_msr_writes(host)?;
        let told = msr_writes && !elf::code(image).any(changes_extended_state);
        Ok(Self {
            machine: MACHINES.fetch_add(1, Ordering::Relaxed),
            msrs: host.msrs_to_save()?,
            msr_writes,
            extended: if told { ExtendedRestore::Unchanged } else { ExtendedRestore::Restore },
            restored: 0,
            base: Pages::default(),
            dirty: BTreeSet::new(),
            log: DirtyLog::default(),
        })
    }
}

impl ControlledMachine {
    /// Saves the state of the machine: memory, vCPUs, devices, the clock, the run's hash.
    ///
    /// Fails if a vCPU is stopped in the middle of an instruction that can't be restarted, for
    /// example one that reads two shared locations. The machine can't be used any further then.
    pub fn save(&mut self) -> Result<Snapshot> {
        let mut vcpus = Vec::new();
        let mut tables = BTreeSet::new();
        for vcpu in 0..self.vcpus.len() {
            let saved = self.save_vcpu(vcpu)?;
            page_tables(&saved.system, &self.memory, &mut tables);
            vcpus.push(saved);
        }
        self.take_dirty(|_| ())?;
        let tracking = &mut self.tracking;
        tracking.base = tracking.base.with(&tracking.dirty, &self.memory)?;
        tracking.dirty.clear();
        Ok(Snapshot {
            machine: tracking.machine,
            pages: tracking.base.clone(),
            tables,
            vcpus,
            platform: self.platform.save(),
            hash: self.hash.clone(),
            writers: self.writers.clone(),
            progress: self.progress.clone(),
            points: self.points,
            last: self.last,
            faults: self.faults.state.clone(),
            host_clock: self.host_clock,
        })
    }

    /// Restores a snapshot of this machine.
    pub fn restore(&mut self, snapshot: &Snapshot) -> Result<()> {
        if snapshot.machine != self.tracking.machine {
            return Err(Error::Snapshot { problem: "it is another machine's".into() });
        }
        let elsewhere = !self.tracking.base.is(&snapshot.pages);
        let check = self.tracking.restored.is_multiple_of(CHECK_EVERY);
        self.tracking.restored += 1;
        let mut moved = false;
        for (vcpu, (ctx, saved)) in self.vcpus.iter_mut().zip(&snapshot.vcpus).enumerate() {
            // A vCPU that has not run may have been woken, or given an NMI.
            ctx.state.clone_from(&saved.state);
            ctx.reached = None;
            ctx.tracker.clone_from(&saved.tracker);
            (ctx.held_until, ctx.unproven) = (saved.held_until, saved.unproven);
            (ctx.shadow, ctx.interruptible) = (saved.shadow, saved.interruptible);
            if !elsewhere && !ctx.dirty {
                continue;
            }
            let known = self.tracking.extended == ExtendedRestore::Unchanged
                && !elsewhere
                && !ctx.extended_dirty;
            let extended =
                if known { ExtendedRestore::Unchanged } else { ExtendedRestore::Restore };
            if known && check && !saved.cpu.extended_state_is_same(&mut ctx.cpu)? {
                return Err(changed_unseen(vcpu));
            }
            moved |= !same_tables(&ctx.cpu.system_registers()?, &saved.system);
            // The vCPUs are restored before memory, because completing an access may still write to
            // memory.
            ctx.disarm(&saved.reported)?;
            ctx.cpu.restore(&saved.cpu, extended)?;
            (ctx.reexecutes, ctx.dirty) = (saved.reexecutes, false);
            (ctx.extended_dirty, ctx.armed) = (false, false);
        }
        self.restore_memory(snapshot, moved)?;
        (self.met, self.broken) = (None, None);
        self.host_clock = snapshot.host_clock;
        self.platform
            .restore(&snapshot.platform)
            .map_err(|error| Error::Snapshot { problem: error.to_string() })?;
        self.hash.clone_from(&snapshot.hash);
        self.writers.clone_from(&snapshot.writers);
        self.progress.clone_from(&snapshot.progress);
        (self.points, self.last) = (snapshot.points, snapshot.last);
        self.faults.state.clone_from(&snapshot.faults);
        Ok(())
    }

    /// Restores memory. `moved`: a vCPU has other page tables than in the snapshot.
    fn restore_memory(&mut self, snapshot: &Snapshot, moved: bool) -> Result<()> {
        self.take_dirty(|_| ())?;
        let mut pages = std::mem::take(&mut self.tracking.dirty);
        self.tracking.base.differences(&snapshot.pages, &mut pages);
        for address in &pages {
            self.memory.write(*address, snapshot.pages.page(*address))?;
        }
        // These writes establish the contents of the snapshot, so they make no page dirty.
        self.memory.take_written(|_| ());
        self.tracking.base = snapshot.pages.clone();
        if moved || pages.iter().any(|page| snapshot.tables.contains(page)) {
            self.vm.forget_translations()?;
        }
        Ok(())
    }

    /// Calls `page` with each page written since the last call. These pages are also recorded for
    /// the next save or restore.
    pub(super) fn take_dirty(&mut self, mut page: impl FnMut(u64)) -> Result<()> {
        let Tracking { log, dirty, .. } = &mut self.tracking;
        let mut note = |address| {
            dirty.insert(address);
            page(address);
        };
        self.vm.take_dirty_pages(log, &mut note)?;
        self.memory.take_written(note);
        Ok(())
    }

    fn save_vcpu(&mut self, vcpu: usize) -> Result<SavedVcpu> {
        let ctx = &mut self.vcpus[vcpu];
        // While single steps are on, completing an access would end with a debug exit.
        let reported = ctx.breakpoints.reported();
        ctx.disarm(&reported)?;
        let reads = matches!(
            ctx.state,
            State::Access(Exit::MmioRead { .. } | Exit::PortRead { .. })
                | State::Waiting(Exit::MmioRead { .. } | Exit::PortRead { .. })
        );
        if !reads {
            ctx.cpu.complete_pending_io()?;
        }
        let cpu = ctx.cpu.save(&self.tracking.msrs)?;
        if reads && !ctx.reexecutes {
            self.complete_without_effect(vcpu as u32)?;
            let ctx = &mut self.vcpus[vcpu];
            ctx.cpu.restore(&cpu, ExtendedRestore::Restore)?;
            ctx.reexecutes = true;
        }
        let ctx = &mut self.vcpus[vcpu];
        let saved = SavedVcpu {
            cpu,
            system: ctx.cpu.system_registers()?,
            state: ctx.state.clone(),
            tracker: ctx.tracker.clone(),
            reported,
            reexecutes: ctx.reexecutes,
            held_until: ctx.held_until,
            shadow: ctx.shadow,
            interruptible: ctx.interruptible,
            unproven: ctx.unproven,
        };
        (ctx.dirty, ctx.extended_dirty) = (false, false);
        // A failure is reported now, by the save, and not by a later run.
        self.reexecute_to_exit(vcpu as u32)?;
        Ok(saved)
    }

    /// Re-executes a restored vCPU up to the exit that it was saved at.
    pub(super) fn reexecute_to_exit(&mut self, vcpu: u32) -> Result<()> {
        let ctx = &mut self.vcpus[vcpu as usize];
        if !std::mem::take(&mut ctx.reexecutes) {
            return Ok(());
        }
        let (State::Access(recorded) | State::Waiting(recorded)) = &ctx.state else {
            return Ok(());
        };
        ctx.dirty = true;
        ctx.breakpoints.clear_int3s(&self.memory)?;
        let exit = loop {
            match ctx.cpu.run(Entry::Resume)? {
                Exit::Kicked => {}
                exit => break exit,
            }
        };
        if exit != *recorded {
            let problem = format!(
                "vCPU {vcpu} at {:#x} stands in the middle of an instruction that can't be begun \
                 again ({} instead of {})",
                ctx.cpu.registers()?.rip,
                exit.name(),
                recorded.name()
            );
            return Err(Error::Snapshot { problem });
        }
        Ok(())
    }
}

fn changed_unseen(vcpu: usize) -> Error {
    let problem = format!(
        "vCPU {vcpu}'s FPU, MSRs or debug registers have changed, but no instruction of the image \
         does that: a guest that writes code at run time can't be searched"
    );
    Error::Snapshot { problem }
}

/// Whether both use the same page tables, in the same format.
fn same_tables(one: &SystemRegisters, other: &SystemRegisters) -> bool {
    let key = |system: &SystemRegisters| (system.cr0, system.cr3, system.cr4, system.efer);
    key(one) == key(other)
}

#[cfg(test)]
#[path = "snapshot_tests.rs"]
mod tests;
