//! A debugger's hold on a run: it stops all vCPUs, lets one of them make a step, and has
//! breakpoints and watchpoints on all of them (`debugging`).

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

use super::control::Control;
use super::debugging::{Event, Means, Refused};
use super::remote::{NotRunning, Remote};
use super::status::{Standstill, Stopped};
use crate::error::Result;
use crate::guest_debug::Breakpoint;
use crate::kvm::DebugCapabilities;
use crate::memory::Memory;
use crate::registers::Register;

/// Debugs a run that was started with [`Options::debugged`]. It begins stopped. All vCPUs stand
/// still whenever the methods below expect it: after the start, after [`Debugger::stop`] and after
/// an [`Event::Stopped`].
///
/// [`Options::debugged`]: super::Options::debugged
pub struct Debugger {
    remote: Remote,
    control: Arc<Control>,
    means: Arc<Means>,
}

impl Remote {
    /// Waits until a machine runs that was started for a debugger, at most for this time. At most
    /// one debugger is to be used at a time.
    pub fn debugger(&self, timeout: Duration) -> Option<Debugger> {
        self.wait_for_machine(timeout);
        let control = self.control().ok()?;
        let means = control.debugging().means()?.clone();
        Some(Debugger { remote: self.clone(), control, means })
    }
}

impl Debugger {
    /// Whether the run has ended.
    pub fn is_over(&self) -> bool {
        self.control.is_over()
    }

    /// How this host stops vCPUs at instructions; `None` if it can't.
    pub fn capabilities(&self) -> Option<DebugCapabilities> {
        self.means.stopping
    }

    /// The guest's memory.
    pub fn memory(&self) -> &Memory {
        &self.means.memory
    }

    /// Stops all vCPUs. A step that is being made ends where it is. [`Self::look`] waits for them.
    pub fn stop(&self) {
        self.control.stop_for_debugger();
    }

    /// Waits until all vCPUs have stopped, and has `look` called on another thread.
    pub fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Stopped) -> T + Send + 'static,
    ) -> Result<T, NotRunning> {
        self.remote.when_stopped(look)
    }

    /// Why the vCPUs would stand still if the debugger let them go on; empty if they would run.
    pub fn other_standstills(&self) -> Vec<Standstill> {
        let mut reasons = self.control.standstills();
        reasons.retain(|reason| *reason != Standstill::Debugged);
        reasons
    }

    /// Lets all vCPUs go on. If one has stopped that no event has told of yet, its event follows,
    /// and none goes on.
    pub fn go(&self) {
        self.control.go_on_for_debugger();
    }

    /// Lets a vCPU execute one instruction while the others stand still. It takes no interrupt
    /// meanwhile, where the host can block them. `shown` is the RIP that the user has seen: an
    /// access that KVM still has to complete there is this step.
    pub fn step(&self, vcpu: u32, shown: u64) -> Result<(), Refused> {
        self.means.can_step()?;
        if vcpu >= self.control.vcpus() {
            return Err(Refused::NoVcpu(vcpu));
        }
        self.control.step_for_debugger(vcpu, shown);
        Ok(())
    }

    /// The next event, if there is one.
    pub fn next_event(&self) -> Option<Event> {
        self.control.debugging().next_event()
    }

    /// Is readable when there may be an event or [`Self::other_standstills`] may have changed.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.control.debugging().fd().as_fd()
    }

    /// Sets breakpoints and watchpoints on all vCPUs, in place of the earlier ones. Fails if the
    /// host can't have all of them at once; nothing is changed then.
    pub fn set(&self, breakpoints: &[u64], watchpoints: &[Breakpoint]) -> Result<(), Refused> {
        self.means.check(breakpoints, watchpoints)?;
        self.control.debugging().set(breakpoints, watchpoints);
        Ok(())
    }

    /// Sets registers of a stopped vCPU, before its next instruction.
    pub fn set_registers(&self, vcpu: u32, values: Vec<(Register, u64)>) {
        self.control.debugging().set_registers(vcpu, values);
    }

    /// Writes guest-physical memory. Hooks don't see it as an access.
    pub fn write(&self, address: u64, data: &[u8]) -> Result<()> {
        self.means.write(address, data)
    }

    /// Removes all breakpoints and watchpoints, forgets stops, and lets the vCPUs go on, one that
    /// makes a step too.
    pub fn detach(&self) {
        self.control.forget_debugger();
    }
}

#[cfg(test)]
#[path = "debugger_tests.rs"]
mod tests;
