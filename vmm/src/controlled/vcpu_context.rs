//! One vCPU of a controlled machine.

use std::collections::BTreeMap;

use super::check::Stored;
use super::waiting::ProgressTracker;
use crate::breakpoints::{Breakpoints, Halts, Reported};
use crate::cpu::Cpu;
use crate::error::Result;
use crate::exit::{Bytes, Exit};
use crate::guest_debug::GuestDebug;
use crate::identity::CpuidEntry;
use crate::kvm::{DebugCapabilities, KvmCpu};
use crate::registers::{Registers, SystemRegisters};
use crate::trapped::TableCheck;

/// The private bytes that an endless loop reads and doesn't write: guest-physical addresses and
/// contents.
pub(super) type Reads = BTreeMap<u64, Bytes>;

/// Shadow state: the state of a vCPU that is kept here instead of in the processor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ShadowState {
    /// The previous instruction was an STI that enabled interrupts, or loaded SS: no interrupt is
    /// taken yet (Intel SDM vol. 3, 6.8.3 and vol. 2, STI). At instruction granularity only.
    pub(super) interrupt_shadow: bool,
    /// An NMI is pending.
    pub(super) nmi_pending: bool,
    /// An NMI was given to the vCPU, and is being served: no other NMI is taken until IRET.
    pub(super) nmi_masked: bool,
    /// An interrupt or NMI that the vCPU takes before its next instruction. At the granularity
    /// `watch` only.
    pub(super) taken: Option<Taken>,
    /// The offset that the guest has added to its TSC. At instruction granularity only.
    pub(super) tsc_offset: u64,
}

/// An interrupt or NMI that a vCPU takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Taken {
    pub(super) vector: u8,
    /// Whether KVM has it.
    pub(super) given: bool,
}

/// The state of a vCPU at a scheduling point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// An AP that waits for INIT and SIPI.
    WaitForSipi,
    /// Stopped before its first instruction, or where it could take an interrupt.
    Ready,
    /// Stopped before this access, which has not happened yet.
    Access(Exit),
    /// Waiting: like [`State::Access`], but it would only read unchanged values again.
    Waiting(Exit),
    /// Waiting: it has come back to the same state and would only do the same again (instruction
    /// granularity).
    Spinning,
    /// In an endless loop without a scheduling point that reads these private bytes.
    Endless(Reads),
    /// Sleeping in HLT.
    Halted,
}

impl State {
    /// Whether the vCPU waits: it would only repeat what it has done.
    pub(super) fn waits(&self) -> bool {
        matches!(self, Self::Waiting(_) | Self::Spinning)
    }
}

/// A vCPU context: a vCPU and everything that is recorded about it.
#[derive(Debug)]
pub(super) struct VcpuContext {
    pub(super) cpu: KvmCpu,
    pub(super) state: State,
    pub(super) tracker: ProgressTracker,
    /// Single steps, and the breakpoints of hooks.
    pub(super) breakpoints: Breakpoints,
    /// Whether the vCPU single-steps now (instruction granularity).
    pub(super) stepping: bool,
    /// Whether interrupts are blocked while the vCPU steps (instruction granularity).
    pub(super) blocks_interrupts: bool,
    /// Whether the next entry ends after one instruction (instruction granularity).
    pub(super) armed: bool,
    /// Whether the vCPU could take an interrupt here (instruction granularity).
    pub(super) interruptible: bool,
    /// The CPUID leaves of the vCPU.
    pub(super) leaves: Vec<CpuidEntry>,
    /// State that is kept outside the processor.
    pub(super) shadow: ShadowState,
    /// Whether the vCPU was restored before the start of the instruction whose access it is to
    /// perform: it has to re-execute the instruction up to the exit first.
    pub(super) reexecutes: bool,
    /// Whether it has run or was reset since it was last saved or restored.
    pub(super) dirty: bool,
    /// Whether it has changed extended state since then: it wrote an MSR, or reached an exit after
    /// which hosts reset a vCPU.
    pub(super) extended_dirty: bool,
    /// A hook holds the vCPU until this virtual time, in nanoseconds.
    pub(super) held_until: u64,
    /// The check that no table is in a trapped page.
    pub(super) tables: TableCheck,
    /// Its last store to a trapped page, until it runs on.
    pub(super) stored: Option<Stored>,
    /// The exit that it has already reached: another part of the load of a locked instruction.
    pub(super) reached: Option<Exit>,
    /// The machine's progress count when the vCPU's loop could not be proven to repeat. Until this
    /// count changes, the vCPU does not count as waiting again.
    pub(super) unproven: Option<u64>,
    /// The registers after reset, for INIT.
    pub(super) reset: (Registers, SystemRegisters),
}

impl VcpuContext {
    /// A vCPU in its reset state, which waits for a SIPI.
    pub(super) fn new(
        mut cpu: KvmCpu,
        leaves: Vec<CpuidEntry>,
        blocks_interrupts: bool,
    ) -> Result<Self> {
        let reset = (cpu.registers()?, cpu.system_registers()?);
        Ok(Self {
            cpu,
            state: State::WaitForSipi,
            tracker: ProgressTracker::default(),
            breakpoints: Breakpoints::new(DebugCapabilities::default(), Halts::Exit),
            stepping: false,
            blocks_interrupts,
            armed: false,
            interruptible: false,
            leaves,
            shadow: ShadowState::default(),
            reexecutes: false,
            dirty: true,
            extended_dirty: false,
            held_until: 0,
            tables: TableCheck::default(),
            stored: None,
            reached: None,
            unproven: None,
            reset,
        })
    }

    /// Whether it can run on by itself.
    pub(super) fn is_ready(&self) -> bool {
        matches!(self.state, State::Ready | State::Access(_))
    }

    /// Removes breakpoints and single steps from KVM until the vCPU runs again, because the vCPU is
    /// moved or examined. `reported`: the breakpoints that have already been reported there.
    pub(super) fn disarm(&mut self, reported: &Reported) -> Result<()> {
        self.breakpoints.put(&mut self.cpu, reported)?;
        if self.stepping {
            self.tell_kvm(false)?;
        }
        Ok(())
    }

    /// Makes the next entry end after one instruction, whatever has happened since the last.
    pub(super) fn arm(&mut self) -> Result<()> {
        if !self.armed {
            self.tell_kvm(true)?;
            self.armed = true;
        }
        Ok(())
    }

    /// Sets the debug state in KVM, which records the vCPU's RIP at this moment.
    fn tell_kvm(&mut self, step: bool) -> Result<()> {
        let block_interrupts = step && self.blocks_interrupts;
        self.cpu.set_debug(&GuestDebug { step, block_interrupts, ..Default::default() })?;
        (self.stepping, self.armed) = (step, false);
        Ok(())
    }

    /// Called when something that the vCPU waits for may have changed: it may run again.
    pub(super) fn wake(&mut self) {
        self.tracker.clear();
        match &self.state {
            State::Waiting(exit) => self.state = State::Access(exit.clone()),
            State::Spinning | State::Endless(_) => self.state = State::Ready,
            _ => {}
        }
    }
}
