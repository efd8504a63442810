//! The points at which probes, jitter, traces and criteria attach to a running machine.
//!
//! One hook is attached for each vCPU and is called on the thread that owns the vCPU, so it needs
//! no locks for its own state. The scheduler calls a point only if a hook asked for it: in a
//! machine without hooks, each exit costs one test of an empty set.
//!
//! Both schedulers call the same points, except those that [`Points`] marks as the controlled
//! scheduler's. That one reports an exit when its turn has come, just before it takes effect, so
//! the calls come in the order of the run's choices.

mod access;
mod action;
mod apic;
mod set;
mod watch;

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
pub use watch::{Values, Watch};

/// A hold of this length, or longer, lasts until the run ends. It is longer than any run, and short
/// enough for clocks that count nanoseconds in 64 bits.
pub const FOR_GOOD: Duration = Duration::from_secs(1 << 31);

bitflags! {
    /// The points at which a hook wants to be called. [`Hook::next_tick`] asks for ticks.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Points: u16 {
        /// Every exit, before a device answers it.
        const EXIT = 1;
        /// Every entry to the guest, with the answer to the last exit.
        const ENTRY = 2;
        /// Once, before the vCPU's first instruction.
        const START = 4;
        /// Once, after the vCPU's last instruction.
        const STOP = 8;
        /// Every choice of the controlled scheduler that lets this vCPU run.
        const CHOICE = 16;
        /// A hang of the whole machine (controlled scheduler).
        const HANG = 32;
        /// Before the instructions that [`Hook::breakpoints`] names.
        const BREAKPOINT = 64;
        /// Events at local APICs (controlled scheduler only: KVM's irqchip reports no such events).
        const APIC = 128;
        /// Whenever the vCPU is held out of the guest.
        const HOLD = 256;
        /// Every access to memory that is watched only since the machine runs
        /// ([`Stopped::watch`](crate::parallel::Stopped::watch); parallel scheduler only).
        const ADDED_WATCH = 512;
        /// Ticks that [`Hook::next_tick`] may name only after the start of the run.
        const TICK = 1024;
    }
}

/// What a hook sees of the machine when it is called.
pub struct Context<'a> {
    /// The vCPU's number, from 0.
    pub vcpu: u32,
    /// The number of vCPUs in the machine.
    pub vcpus: u32,
    /// The vCPU itself; it is not running.
    pub cpu: &'a mut dyn Cpu,
    /// Guest-physical memory. Other vCPUs may be writing to it.
    pub memory: &'a Memory,
    /// Time since the machine started: real, or virtual under the controlled scheduler.
    pub now: Duration,
    /// The number of scheduling points so far; `None` under the parallel scheduler.
    pub point: Option<u64>,
    /// Whether the vCPU has ever been started (an AP starts with its SIPI).
    pub started: bool,
    /// Whether an earlier [`Verdict::Hold`] is keeping the vCPU out of the guest. A further hold
    /// then starts now, and can only prolong the time until the vCPU continues.
    pub held: bool,
    /// Takes the actions that a hook requests; `None` when the run is over.
    pub actions: Option<&'a mut HookActions>,
}

/// What the scheduler does next with the vCPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verdict {
    /// The vCPU continues.
    #[default]
    Continue,
    /// The vCPU is held out of guest mode for this long. Its ticks continue.
    Hold(Duration),
}

/// A hook: code that observes one vCPU or interferes with it.
#[allow(unused_variables)] // the defaults do nothing with their arguments
pub trait Hook: Send {
    /// The points at which this hook is called. Called once.
    fn points(&self) -> Points {
        Points::empty()
    }

    /// Called before the first instruction. For an AP this is long before its SIPI.
    fn start(&mut self, context: &mut Context) {}

    /// Called when the vCPU has left the guest, before a device has answered.
    fn exit(&mut self, context: &mut Context, exit: &Exit) -> Verdict {
        Verdict::Continue
    }

    /// Called when the vCPU is about to enter the guest with this answer.
    fn entry(&mut self, context: &mut Context, entry: &Entry) {}

    /// The linear addresses of the instructions before which [`breakpoint`](Hook::breakpoint) is
    /// called. The scheduler calls this whenever the vCPU is about to run, so the addresses may
    /// change, and the call has to be quick. An address that is not the first byte of an
    /// instruction is never reached.
    ///
    /// Up to four addresses, counted over all hooks of a vCPU, cost nothing until they are hit. So
    /// do more, where INT3 works and can replace their instructions; elsewhere they are slow
    /// (`doctor::DebugCapabilities` says which mechanism a host uses). While a breakpoint is set,
    /// the guest's own debug registers and single steps don't work.
    fn breakpoints(&self) -> &[u64] {
        &[]
    }

    /// Called when the vCPU is stopped before the instruction at linear `address`.
    fn breakpoint(&mut self, context: &mut Context, address: u64) -> Verdict {
        Verdict::Continue
    }

    /// Called when the vCPU has accessed memory that [`Attach::watches`] names, or that is watched
    /// only since the machine runs ([`Points::ADDED_WATCH`]).
    fn access(&mut self, context: &mut Context, access: &Access) -> Verdict {
        Verdict::Continue
    }

    /// Called when the vCPU accesses a register that [`Attach::msrs`] names. A write has not yet
    /// taken effect.
    fn msr(&mut self, context: &mut Context, access: &MsrAccess) -> Verdict {
        Verdict::Continue
    }

    /// Called before an event takes effect at the vCPU's local APIC (controlled scheduler).
    fn apic(&mut self, context: &mut Context, event: &ApicEvent) -> Verdict {
        Verdict::Continue
    }

    /// Called when the vCPU is held out of the guest for this long, starting now. If the vCPU is
    /// already held, this can only prolong the hold. (A suspended run is reported as a sequence of
    /// holds.)
    fn held(&mut self, context: &mut Context, time: Duration) {}

    /// When [`tick`](Hook::tick) is to be called next, as time since the machine started. The
    /// scheduler then kicks the vCPU, whether it runs, spins, sleeps in HLT, waits for its SIPI or
    /// is held.
    fn next_tick(&self) -> Option<Duration> {
        None
    }

    /// Called when the time that [`next_tick`](Hook::next_tick) named has come. The hook must then
    /// advance it.
    fn tick(&mut self, context: &mut Context) -> Verdict {
        Verdict::Continue
    }

    /// Called when the vCPU has been given what the hook asked for on behalf of a fault, the one
    /// with this number, or when it could not be given that (parallel scheduler only).
    fn injected(&mut self, context: &mut Context, fault: usize, done: bool) {}

    /// Called when the controlled scheduler lets this vCPU run. If the vCPU is stopped before an
    /// access, the access follows as an exit.
    fn choice(&mut self, context: &mut Context, choice: Choice) {}

    /// Called when the machine hangs: it is `proven` that no vCPU will ever do anything else, or
    /// else the hang budget is spent. The run ends with this.
    fn hang(&mut self, context: &mut Context, proven: bool) {}

    /// Called after the last instruction.
    fn stop(&mut self, context: &mut Context) {}
}

/// Makes a [`Hook`] for each vCPU of a machine.
pub trait Attach: Sync {
    /// The hook for vCPU `vcpu` of `vcpus`.
    fn attach(&self, vcpu: u32, vcpus: u32) -> Box<dyn Hook>;

    /// The memory whose loads and stores are reported to [`Hook::access`]. The machine has to be
    /// created with these ranges ([`watches`]): a parallel one with a
    /// [`WatchPlan`](crate::watchpoints::WatchPlan) for them, which selects the mechanism.
    ///
    /// Trapped pages have no memory slot, so every access to any byte of the pages that contain the
    /// ranges exits, which takes some microseconds. These pages can contain neither code nor page
    /// tables, descriptor tables or interrupt stacks. In a controlled machine, which has no other
    /// mechanism, such accesses are scheduling points, like accesses to memory that vCPUs share.
    fn watches(&self) -> Vec<Watch> {
        Vec::new()
    }

    /// The model-specific registers whose reads and writes are reported to [`Hook::msr`]. Accesses
    /// to them exit and are performed with the host's rights, so KVM refuses fewer values.
    fn msrs(&self) -> Vec<u32> {
        Vec::new()
    }
}

/// What these hooks watch: a machine is created with it.
pub fn watches(hooks: &[&dyn Attach]) -> Vec<Watch> {
    hooks.iter().flat_map(|hook| hook.watches()).collect()
}

#[cfg(test)]
#[path = "hook/msr_tests.rs"]
mod msr_tests;
