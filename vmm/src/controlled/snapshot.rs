//! A whole machine as it was at a scheduling point, and back to it.
//!
//! Going back costs in proportion to the pages written since and to the vCPUs that have run. The
//! pages come from KVM's dirty log and from [`Memory`](crate::memory::Memory), which notes what the
//! host writes.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};

use super::ControlledMachine;
use super::hash::RunHash;
use super::idle::Idle;
use super::platform::Platform;
use super::seat::{Reach, State};
use super::single::Kept;
use super::waiting::Trail;
use super::writers::Writers;
use crate::board::BoardState;
use crate::boot::elf::{self, Image};
use crate::cpu::Cpu;
use crate::error::{Error, Result};
use crate::exit::{Entry, Exit};
use crate::kvm::{CpuState, DirtyLog, Hidden, Host, Vm};
use crate::registers::SystemRegisters;
use crate::snapshot::{Pages, changes_hidden_state, page_tables};

/// Every so often it is checked that what can't have changed has not.
const CHECK_EVERY: u64 = 256;

/// A machine at a scheduling point. Only the machine that made it can go back to it.
#[derive(Clone, Debug)]
pub struct Snapshot {
    machine: u64,
    pages: Pages,
    /// The pages that hold page tables.
    tables: BTreeSet<u64>,
    seats: Vec<SavedSeat>,
    platform: Platform,
    board: BoardState,
    hash: RunHash,
    writers: Writers,
    idle: Idle,
    points: u64,
    last: Option<u32>,
}

#[derive(Clone, Debug)]
struct SavedSeat {
    cpu: CpuState,
    system: SystemRegisters,
    state: State,
    trail: Trail,
    told: Option<u64>,
    nmi: bool,
    reach: Option<Reach>,
    held_until: u64,
    kept: Kept,
    interruptible: bool,
    unproven: Option<u64>,
}

impl Snapshot {
    /// How many scheduling points had passed.
    pub fn points(&self) -> u64 {
        self.points
    }

    /// Bytes of guest memory that it holds.
    pub fn bytes(&self) -> u64 {
        self.pages.len() as u64 * crate::memory::PAGE_SIZE
    }
}

/// What a machine knows of its memory for the sake of snapshots.
#[derive(Debug)]
pub(super) struct Tracking {
    /// Tells this machine's snapshots from others'.
    machine: u64,
    /// The MSRs of its vCPUs.
    msrs: Vec<u32>,
    /// Whether their writes exit.
    pub(super) msr_writes: bool,
    /// Whether all that could change a vCPU's FPU, MSRs or debug registers is known when it
    /// happens, so that they need not be put back when nothing did.
    hidden: Hidden,
    /// How often the machine was put back.
    restored: u64,
    /// What memory was when it was last saved or put back.
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
        let told = msr_writes && !elf::code(image).any(changes_hidden_state);
        Ok(Self {
            machine: MACHINES.fetch_add(1, Ordering::Relaxed),
            msrs: host.msrs_to_save()?,
            msr_writes,
            hidden: if told { Hidden::Unchanged } else { Hidden::Restore },
            restored: 0,
            base: Pages::default(),
            dirty: BTreeSet::new(),
            log: DirtyLog::default(),
        })
    }
}

impl ControlledMachine {
    /// Saves everything: memory, vCPUs, devices, the clock, the run's hash.
    ///
    /// Fails if a vCPU stands in the middle of an instruction that can't be begun again: one that
    /// reads two shared locations, for example. The machine can't be used any more then.
    pub fn save(&mut self) -> Result<Snapshot> {
        let mut seats = Vec::new();
        let mut tables = BTreeSet::new();
        for vcpu in 0..self.seats.len() {
            let saved = self.save_seat(vcpu)?;
            page_tables(&saved.system, &self.memory, &mut tables);
            seats.push(saved);
        }
        self.take_dirty(|_| ())?;
        let tracking = &mut self.tracking;
        tracking.base = tracking.base.with(&tracking.dirty, &self.memory)?;
        tracking.dirty.clear();
        Ok(Snapshot {
            machine: tracking.machine,
            pages: tracking.base.clone(),
            tables,
            seats,
            platform: self.platform.clone(),
            board: self.board.save(),
            hash: self.hash.clone(),
            writers: self.writers.clone(),
            idle: self.idle.clone(),
            points: self.points,
            last: self.last,
        })
    }

    /// Goes back to a snapshot of this machine.
    pub fn restore(&mut self, snapshot: &Snapshot) -> Result<()> {
        if snapshot.machine != self.tracking.machine {
            return Err(Error::Snapshot { problem: "it is another machine's".into() });
        }
        let elsewhere = !self.tracking.base.is(&snapshot.pages);
        let check = self.tracking.restored.is_multiple_of(CHECK_EVERY);
        self.tracking.restored += 1;
        let mut moved = false;
        for (vcpu, (seat, saved)) in self.seats.iter_mut().zip(&snapshot.seats).enumerate() {
            if !elsewhere && !seat.touched {
                continue;
            }
            let known = self.tracking.hidden == Hidden::Unchanged && !elsewhere && !seat.deep;
            let hidden = if known { Hidden::Unchanged } else { Hidden::Restore };
            if known && check && !saved.cpu.hidden_state_is_same(&mut seat.cpu)? {
                return Err(changed_unseen(vcpu));
            }
            moved |= !same_tables(&seat.cpu.system_registers()?, &saved.system);
            // vCPUs come before memory: finishing an access may still write some.
            seat.disarm(saved.told)?;
            seat.cpu.restore(&saved.cpu, hidden)?;
            (seat.deep, seat.held_until) = (false, saved.held_until);
            seat.nmi = saved.nmi;
            seat.state.clone_from(&saved.state);
            seat.trail.clone_from(&saved.trail);
            (seat.reach, seat.touched) = (saved.reach, false);
            (seat.kept, seat.interruptible, seat.armed) = (saved.kept, saved.interruptible, false);
            seat.unproven = saved.unproven;
        }
        self.restore_memory(snapshot, moved)?;
        self.met = None;
        self.platform.clone_from(&snapshot.platform);
        self.board
            .restore(&snapshot.board)
            .map_err(|source| Error::System { what: "the console can't be put back", source })?;
        self.hash.clone_from(&snapshot.hash);
        self.writers.clone_from(&snapshot.writers);
        self.idle.clone_from(&snapshot.idle);
        (self.points, self.last) = (snapshot.points, snapshot.last);
        Ok(())
    }

    /// `moved`: a vCPU has other page tables than in the snapshot.
    fn restore_memory(&mut self, snapshot: &Snapshot, moved: bool) -> Result<()> {
        self.take_dirty(|_| ())?;
        let mut pages = std::mem::take(&mut self.tracking.dirty);
        self.tracking.base.differences(&snapshot.pages, &mut pages);
        for address in &pages {
            self.memory.write(*address, snapshot.pages.page(*address))?;
        }
        // These writes are what the snapshot says: they make no page dirty.
        self.memory.take_written(|_| ());
        self.tracking.base = snapshot.pages.clone();
        if moved || pages.iter().any(|page| snapshot.tables.contains(page)) {
            self.vm.forget_translations()?;
        }
        Ok(())
    }

    /// Calls `page` with each page written since this was last asked. They also become part of what
    /// the next snapshot or the way back to one looks at.
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

    fn save_seat(&mut self, vcpu: usize) -> Result<SavedSeat> {
        let seat = &mut self.seats[vcpu];
        // With single steps on, finishing an access would end with a debug exit.
        seat.disarm(seat.breakpoints.told())?;
        let reads = matches!(
            seat.state,
            State::Access(Exit::MmioRead { .. } | Exit::PortRead { .. })
                | State::Waiting(Exit::MmioRead { .. } | Exit::PortRead { .. })
        );
        if !reads {
            seat.cpu.settle()?;
        }
        let mut cpu = seat.cpu.save(&self.tracking.msrs)?;
        if reads && seat.reach.is_none() {
            let nmi = cpu.take_nmi();
            seat.cpu.restore(&cpu, Hidden::Restore)?;
            seat.reach = Some(Reach { nmi });
        }
        let saved = SavedSeat {
            cpu,
            system: seat.cpu.system_registers()?,
            state: seat.state.clone(),
            trail: seat.trail.clone(),
            told: seat.breakpoints.told(),
            nmi: seat.nmi,
            reach: seat.reach,
            held_until: seat.held_until,
            kept: seat.kept,
            interruptible: seat.interruptible,
            unproven: seat.unproven,
        };
        (seat.touched, seat.deep) = (false, false);
        // Now, while there is somebody to tell, and not at some later time.
        self.reach(vcpu as u32)?;
        Ok(saved)
    }

    /// Brings a vCPU that has been put back to the access that it stands before.
    pub(super) fn reach(&mut self, vcpu: u32) -> Result<()> {
        let seat = &mut self.seats[vcpu as usize];
        let Some(Reach { nmi }) = seat.reach.take() else { return Ok(()) };
        let (State::Access(recorded) | State::Waiting(recorded)) = &seat.state else {
            return Ok(());
        };
        seat.touched = true;
        let exit = loop {
            match seat.cpu.run(Entry::Resume)? {
                Exit::Kicked => {}
                exit => break exit,
            }
        };
        if exit != *recorded {
            let problem = format!(
                "vCPU {vcpu} at {:#x} stands in the middle of an instruction that can't be begun \
                 again ({} instead of {})",
                seat.cpu.registers()?.rip,
                exit.name(),
                recorded.name()
            );
            return Err(Error::Snapshot { problem });
        }
        if nmi {
            seat.cpu.nmi()?;
            seat.nmi = true;
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

/// Whether both lead to the same page tables, in the same format.
fn same_tables(one: &SystemRegisters, other: &SystemRegisters) -> bool {
    let key = |system: &SystemRegisters| (system.cr0, system.cr3, system.cr4, system.efer);
    key(one) == key(other)
}

#[cfg(test)]
#[path = "snapshot_tests.rs"]
mod tests;
