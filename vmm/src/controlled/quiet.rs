//! Distinguishes a machine that idles from one that hangs.
//!
//! When no vCPU can do anything and no timer is armed, either a wake-up is missing, or the guest
//! has done its work and idles. A machine is *quiet* if none of its vCPUs waits for anything. Each
//! vCPU sleeps in HLT with interrupts enabled, or is in an endless loop that reads nothing (such as
//! `for (;;);`), or was stopped (HLT with interrupts disabled), or was never started; and at least
//! one vCPU could still take an interrupt or runs in its loop. A machine with a pending interrupt
//! that no vCPU takes is not quiet.
//!
//! The user decides whether a quiet machine is a failure ([`Criteria`](crate::criteria::Criteria)).
//! The guests of the catalogue end their runs themselves, so for them it is a hang.

use super::ControlledMachine;
use super::vcpu_context::State;
use crate::cpu::Cpu;
use crate::error::Result;
use crate::registers::Registers;

impl ControlledMachine {
    /// Whether no vCPU waits for anything. Only meaningful when no vCPU can do anything.
    pub(super) fn is_quiet(&mut self) -> Result<bool> {
        let mut alive = false;
        for (ctx, lapic) in self.vcpus.iter_mut().zip(&self.platform.apics.lapics) {
            let started = ctx.state != State::WaitForSipi;
            if started && lapic.pending().is_some() {
                return Ok(false);
            }
            alive |= match &ctx.state {
                State::WaitForSipi => false,
                State::Halted => ctx.cpu.registers()?.rflags & Registers::INTERRUPT_FLAG != 0,
                State::Endless(reads) if reads.is_empty() => true,
                State::Spinning if ctx.tracker.reads().next().is_none() => true,
                _ => return Ok(false),
            };
        }
        Ok(alive)
    }
}
