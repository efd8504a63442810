//! Telling a machine that idles from one that hangs.
//!
//! When no vCPU can do anything and no timer is armed, somebody may have failed to wake somebody, or the
//! guest has done its work and idles. A machine is *quiet* if none of its vCPUs waits for anything: each
//! sleeps in HLT and takes interrupts, or goes round an endless loop that reads nothing (`for (;;);`), or
//! was stopped (HLT with interrupts off), or was never started; and at least one could still take an
//! interrupt or runs on. An interrupt that a vCPU never takes makes it no quiet machine.
//!
//! Whether that is a failure is the user's to say ([`Criteria`](crate::criteria::Criteria)): a guest of
//! the catalogue ends its run by itself, so for those it is a hang.

use super::ControlledMachine;
use super::single::IF;
use super::vcpu_context::State;
use crate::cpu::Cpu;
use crate::error::Result;

impl ControlledMachine {
    /// Whether nobody waits for anything. To be asked when nobody can do anything.
    pub(super) fn is_quiet(&mut self) -> Result<bool> {
        let mut alive = false;
        for (ctx, lapic) in self.vcpus.iter_mut().zip(&self.platform.lapics) {
            let started = ctx.state != State::WaitForSipi;
            if started && lapic.pending().is_some() {
                return Ok(false);
            }
            alive |= match &ctx.state {
                State::WaitForSipi => false,
                State::Halted => ctx.cpu.registers()?.rflags & IF != 0,
                State::Endless(reads) if reads.is_empty() => true,
                State::Spinning if ctx.tracker.reads().next().is_none() => true,
                _ => return Ok(false),
            };
        }
        Ok(alive)
    }
}
