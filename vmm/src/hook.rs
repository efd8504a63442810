//! The points where probes, jitter, faults and recorders attach to a running machine.
//!
//! A hook is attached once for each vCPU and is called on the thread that owns the vCPU, so it
//! needs no locks for its own state. The scheduler calls a point only if some hook asked for it: a
//! machine without hooks pays one test of an empty list an exit.
//!
//! Both schedulers call the same points. Under the controlled scheduler an exit is told when its turn has
//! come, just before it takes effect, so the calls come in the order of the run's choices.

mod access;
mod action;
mod apic;
mod set;

use std::ops::Range;
use std::time::Duration;

use bitflags::bitflags;

use crate::choice::Choice;
use crate::cpu::Cpu;
use crate::exit::{Entry, Exit};
use crate::memory::Memory;

pub use access::{Access, MsrAccess};
pub use action::HookActions;
pub use apic::{ApicEvent, IpiMode};
pub(crate) use set::HookSet;

bitflags! {
    /// The points at which a hook wants to be called. Ticks are asked for by [`Hook::next_tick`].
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Points: u16 {
        /// Every exit, before a device answers it.
        const EXIT = 1;
        /// Every entry, with the answer.
        const ENTRY = 2;
        /// Once, before the vCPU's first instruction.
        const START = 4;
        /// Once, after the vCPU's last.
        const STOP = 8;
        /// Every choice of the controlled scheduler that lets this vCPU run.
        const CHOICE = 16;
        /// A hang of the whole machine (controlled scheduler).
        const HANG = 32;
        /// The instructions that [`Hook::breakpoints`] names.
        const BREAKPOINT = 64;
        /// What happens at local APICs (controlled scheduler: KVM's irqchip tells nobody).
        const APIC = 128;
        /// Whenever the vCPU is held.
        const HOLD = 256;
    }
}

/// What a hook sees of the machine when it is called.
pub struct Context<'a> {
    /// The vCPU's number, from 0.
    pub vcpu: u32,
    /// How many vCPUs the machine has.
    pub vcpus: u32,
    /// The vCPU itself; it is not running.
    pub cpu: &'a mut dyn Cpu,
    /// Guest-physical memory. Other vCPUs may be writing to it.
    pub memory: &'a Memory,
    /// Time since the machine started: real, or virtual under the controlled scheduler.
    pub now: Duration,
    /// How many scheduling points have passed; `None` under the parallel scheduler.
    pub point: Option<u64>,
    /// Whether the vCPU has ever been started (an AP starts with its SIPI).
    pub started: bool,
    /// Whether an earlier [`Verdict::Hold`] is keeping it out of the guest. Another one then counts
    /// from now and prolongs it at most.
    pub held: bool,
    /// Where a hook says what it wants done to the guest; `None` when the run is over.
    pub actions: Option<&'a mut HookActions>,
}

/// What the scheduler does next with the vCPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verdict {
    /// Goes on.
    #[default]
    Continue,
    /// Holds the vCPU out of guest mode for this long. Its ticks go on.
    Hold(Duration),
}

/// Something that looks into one vCPU or interferes with it.
#[allow(unused_variables)] // the defaults do nothing with their arguments
pub trait Hook: Send {
    /// The points at which this hook is called. Asked once.
    fn points(&self) -> Points {
        Points::empty()
    }

    /// Before the first instruction. For an AP this is long before its SIPI.
    fn start(&mut self, context: &mut Context) {}

    /// The vCPU has left the guest; no device has answered yet.
    fn exit(&mut self, context: &mut Context, exit: &Exit) -> Verdict {
        Verdict::Continue
    }

    /// The vCPU is about to enter the guest with this answer.
    fn entry(&mut self, context: &mut Context, entry: &Entry) {}

    /// The linear addresses of the instructions before which [`breakpoint`](Hook::breakpoint) is
    /// called. Asked whenever the vCPU is about to run, so it may change, and has to be quick. An
    /// address that is no instruction's first byte is never reached.
    ///
    /// Up to four for all hooks of a vCPU cost nothing until they are hit; more are slow
    /// (`doctor::DebugCapabilities` says what is used on a host). While any is wanted, the guest's own debug
    /// registers and single steps don't work.
    fn breakpoints(&self) -> &[u64] {
        &[]
    }

    /// The vCPU stands before the instruction at linear `address`.
    fn breakpoint(&mut self, context: &mut Context, address: u64) -> Verdict {
        Verdict::Continue
    }

    /// The vCPU has done this access to memory that [`Attach::watches`] names.
    fn access(&mut self, context: &mut Context, access: &Access) -> Verdict {
        Verdict::Continue
    }

    /// The vCPU accesses a register that [`Attach::msrs`] names. A write has not been done yet.
    fn msr(&mut self, context: &mut Context, access: &MsrAccess) -> Verdict {
        Verdict::Continue
    }

    /// Something is about to happen at the vCPU's local APIC (controlled scheduler).
    fn apic(&mut self, context: &mut Context, event: &ApicEvent) -> Verdict {
        Verdict::Continue
    }

    /// The vCPU is held out of the guest for this long from now on. It may be held already; then that is
    /// prolonged at most. (A suspended run is told as one hold after the other.)
    fn held(&mut self, context: &mut Context, time: Duration) {}

    /// When [`tick`](Hook::tick) is wanted next, as time since the machine started. The scheduler
    /// kicks the vCPU then, whether it runs, spins, sleeps in HLT, waits for its SIPI or is held.
    fn next_tick(&self) -> Option<Duration> {
        None
    }

    /// The time that [`next_tick`](Hook::next_tick) named has come. The hook must move it on.
    fn tick(&mut self, context: &mut Context) -> Verdict {
        Verdict::Continue
    }

    /// The controlled scheduler lets this vCPU run. Its access, if it stands before one, follows as an
    /// exit.
    fn choice(&mut self, context: &mut Context, choice: Choice) {}

    /// No vCPU will ever do anything else: `proven`, or by budget. The run ends with this.
    fn hang(&mut self, context: &mut Context, proven: bool) {}

    /// After the last instruction.
    fn stop(&mut self, context: &mut Context) {}
}

/// Makes a [`Hook`] for each vCPU of a machine.
pub trait Attach: Sync {
    /// The hook for vCPU `vcpu` of `vcpus`.
    fn attach(&self, vcpu: u32, vcpus: u32) -> Box<dyn Hook>;

    /// The guest-physical ranges whose loads and stores [`Hook::access`] is called for. The machine has
    /// to be made with them ([`watches`]).
    ///
    /// The pages that they touch have no memory slot, so each access to any byte of these pages exits:
    /// some microseconds each. Neither code nor page tables, descriptor tables or interrupt stacks can
    /// be there. In a controlled machine such accesses are scheduling points like those to what vCPUs
    /// share.
    fn watches(&self) -> Vec<Range<u64>> {
        Vec::new()
    }

    /// The model-specific registers whose reads and writes [`Hook::msr`] is called for. They exit, and
    /// are done with the host's rights: KVM refuses fewer values then.
    fn msrs(&self) -> Vec<u32> {
        Vec::new()
    }
}

/// What all of these hooks watch: for the making of their machine.
pub fn watches(hooks: &[&dyn Attach]) -> Vec<Range<u64>> {
    hooks.iter().flat_map(|hook| hook.watches()).collect()
}

#[cfg(test)]
#[path = "hook/msr_tests.rs"]
mod msr_tests;
