//! Leaves a breakpoint by RFLAGS.RF: with this flag, the processor executes one instruction without
//! regard to its execution breakpoint, and clears the flag (Intel SDM vol. 3, 18.3.1.1). The
//! breakpoints stay as they are, so this is one entry instead of two, and interrupts need not be
//! blocked: the flag is saved with the other flags, and IRET restores it.

use super::code::here;
use super::{Breakpoints, DR6_STEP, Reported, Stop, Want};
use crate::cpu::Debuggable;
use crate::error::Result;
use crate::exit::{Entry, Exit};
use crate::guest_debug::GuestDebug;
use crate::instruction;
use crate::memory::Memory;
use crate::paging;
use crate::registers::{Registers, SystemRegisters};

const RF: u64 = Registers::RESUME_FLAG;

impl Breakpoints {
    /// Whether the breakpoint before which the vCPU is stopped, and which has been reported, is
    /// left by the flag.
    pub(super) fn leaves_by_flag(
        &self,
        cpu: &mut impl Debuggable,
        memory: &Memory,
        want: Want,
    ) -> Result<bool> {
        let (registers, system) = (cpu.registers()?, cpu.system_registers()?);
        let at = instruction::linear(registers.rip, &system);
        let applies = self.stopping.resume_flag
            && self.told == Some(at)
            && !want.step
            && !self.must_step()
            && !self.emulated.contains(&at);
        Ok(applies && !is_emulated(&registers, &system, memory))
    }

    /// Runs on from the breakpoint at `at`, to the next exit or breakpoint. `None` if nothing is to
    /// be reported.
    pub(super) fn leave_by_flag(
        &mut self,
        cpu: &mut impl Debuggable,
        at: u64,
    ) -> Result<Option<Stop>> {
        set_flag(cpu)?;
        let breakpoints = self.slots(self.wanted.iter().copied());
        self.arm(cpu, GuestDebug { breakpoints, ..GuestDebug::default() })?;
        let exit = cpu.run(Entry::Resume)?;
        if exit == Exit::ApStart {
            self.put(cpu, &Reported::default())?;
            return Ok(Some(Stop::Exit(exit)));
        }
        let stands = here(cpu)?;
        let executed = self.has_left_by_flag(cpu, at)?;
        match exit {
            // This instruction, or one of a handler that came first, has touched watched data.
            Exit::Debug { dr6, .. } if self.touched(dr6) != 0 => {
                Ok(Some(Stop::Watchpoints(self.touched(dr6))))
            }
            Exit::Debug { dr6, .. } if dr6 & DR6_STEP == 0 => {
                if !executed {
                    // KVM emulates this instruction, and looks for breakpoints without regard to
                    // the flag.
                    self.emulated.insert(at);
                    return Ok(None);
                }
                Ok(self.reaches(stands).then_some(Stop::Breakpoint(stands)))
            }
            exit => Ok(Some(Stop::Exit(exit))),
        }
    }

    /// Called after an entry with the flag set at `at`, beside INT3s, which ended with this exit.
    pub(super) fn look_at_flag(
        &mut self,
        cpu: &mut impl Debuggable,
        at: u64,
        exit: &Exit,
    ) -> Result<()> {
        let is_reset = *exit == Exit::ApStart;
        if !is_reset && !self.has_left_by_flag(cpu, at)? && matches!(exit, Exit::Debug { .. }) {
            // KVM emulates this instruction.
            self.emulated.insert(at);
        }
        Ok(())
    }

    /// Called after an entry with the flag set at `at`: clears what is left of it. Returns whether
    /// the instruction has been executed; the breakpoint there does then not count as reported any
    /// more.
    pub(super) fn has_left_by_flag(&mut self, cpu: &mut impl Debuggable, at: u64) -> Result<bool> {
        let (after, stands) = (cpu.registers()?, here(cpu)?);
        let flag_is_set = after.rflags & RF != 0;
        if flag_is_set {
            // The flag is not the guest's.
            cpu.set_registers(&Registers { rflags: after.rflags & !RF, ..after })?;
        }
        let executed = stands != at || !flag_is_set;
        if executed {
            self.told = None;
        }
        Ok(executed)
    }
}

/// Sets the flag, for the next instruction.
pub(super) fn set_flag(cpu: &mut impl Debuggable) -> Result<()> {
    let before = cpu.registers()?;
    cpu.set_registers(&Registers { rflags: before.rflags | RF, ..before })
}

/// Whether the next instruction accesses something else than RAM, so that KVM emulates it: KVM's
/// emulator stops at the breakpoint without regard to the flag.
fn is_emulated(registers: &Registers, system: &SystemRegisters, memory: &Memory) -> bool {
    let Some(decoded) = instruction::look(registers.rip, system, memory) else { return false };
    decoded.accesses.iter().any(|used| {
        instruction::address(used, registers, system)
            .and_then(|linear| paging::translate(system, memory, linear).ok())
            .is_some_and(|address| !memory.has_slot(address))
    })
}

#[cfg(test)]
#[path = "resume_tests.rs"]
mod tests;
