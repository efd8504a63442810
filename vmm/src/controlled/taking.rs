//! How a vCPU takes an interrupt or an NMI, at the granularity `watch`.
//!
//! KVM delivers it before the vCPU's next instruction, with two exceptions.
//!
//! * A vCPU that is single-stepped would carry the trap flag into the frame, so the delivery is
//!   made here (`deliver.rs`). Where this is not possible, KVM delivers it, and the vCPU is not
//!   stepped there to look for the place where another interrupt can be taken.
//! * If an interrupt is taken while an NMI is pending, the interrupt is delivered first, and the
//!   NMI comes at the first instruction of its handler. With both, some hosts' KVM delivers the NMI
//!   only at a later exit, when the host likes.
//!
//! The instruction that makes the vCPU's latest access may not be complete. It is completed first:
//! if it faults, the exception comes first, and its handler begins with interrupts disabled.

use super::ControlledMachine;
use super::deliver::NMI;
use super::vcpu_context::Taken;
use crate::cpu::Cpu;
use crate::error::Result;
use crate::exit::{Entry, Exit};
use crate::instruction;

/// What has become of an interrupt or NMI that a vCPU takes.
pub(super) enum Given {
    /// KVM delivers it when the vCPU runs on, or there is none.
    ByKvm,
    /// It was delivered: the vCPU is at the first instruction of the handler.
    Here,
    /// This exit came first, from an instruction that makes several accesses.
    Later(Exit),
    /// The instruction before has faulted, so the vCPU does not take it here.
    Not,
}

impl ControlledMachine {
    /// Has the vCPU take its pending NMI before its next instruction, if it can.
    pub(super) fn take_nmi(&mut self, vcpu: u32) -> Result<()> {
        let shadow = &self.vcpus[vcpu as usize].shadow;
        if shadow.taken.is_some() || !shadow.nmi_pending || self.serves_nmi(vcpu)? {
            return Ok(());
        }
        let ctx = &mut self.vcpus[vcpu as usize];
        // The exception is delivered first.
        if ctx.cpu.is_exception_queued()? {
            return Ok(());
        }
        let shadow = &mut ctx.shadow;
        (shadow.nmi_pending, shadow.nmi_masked) = (false, true);
        shadow.taken = Some(Taken { vector: NMI, given: false });
        Ok(())
    }

    /// Called before the vCPU runs on: delivers what it takes, or hands it to KVM. `steps`: it is
    /// to be single-stepped.
    pub(super) fn give_taken(
        &mut self,
        vcpu: u32,
        entry: &mut Entry,
        steps: bool,
    ) -> Result<Given> {
        let ctx = &mut self.vcpus[vcpu as usize];
        let Some(Taken { vector, given: false }) = ctx.shadow.taken else {
            return Ok(Given::ByKvm);
        };
        // Between two instructions, so the one that makes the latest access is completed first.
        let answer = std::mem::replace(entry, Entry::Resume);
        let exit = ctx.breakpoints.finish_access(&mut ctx.cpu, &self.memory, answer, steps)?;
        match exit {
            None | Some(Exit::Debug { .. }) => {}
            Some(Exit::Kicked) => ctx.cpu.keep_kick(),
            Some(exit) => return Ok(Given::Later(exit)),
        }
        if ctx.cpu.is_exception_queued()? {
            self.take_back(vcpu, vector)?;
            return Ok(Given::Not);
        }
        if steps && self.deliver_taken(vcpu, vector)? {
            return Ok(Given::Here);
        }
        let ctx = &mut self.vcpus[vcpu as usize];
        match vector {
            NMI => ctx.cpu.nmi()?,
            vector => ctx.cpu.interrupt(vector)?,
        }
        ctx.shadow.taken = Some(Taken { vector, given: true });
        Ok(Given::ByKvm)
    }

    /// The instruction has faulted, and its exception is delivered first: the vCPU takes the
    /// interrupt or NMI when it next can.
    fn take_back(&mut self, vcpu: u32, vector: u8) -> Result<()> {
        let ctx = &mut self.vcpus[vcpu as usize];
        ctx.shadow.taken = None;
        if vector == NMI {
            (ctx.shadow.nmi_pending, ctx.shadow.nmi_masked) = (true, false);
        } else {
            self.platform.apics.lapics[vcpu as usize].take_back(vector);
        }
        // KVM tells whether the guest takes interrupts only at an exit.
        ctx.cpu.refresh()
    }

    /// Delivers what the vCPU takes, if this need not be left to KVM.
    fn deliver_taken(&mut self, vcpu: u32, vector: u8) -> Result<bool> {
        let cpu = &mut self.vcpus[vcpu as usize].cpu;
        let (registers, system) = (cpu.registers()?, cpu.system_registers()?);
        if self.deliver_here(vcpu, vector)?.is_none() {
            return Ok(false);
        }
        let ctx = &mut self.vcpus[vcpu as usize];
        let at = instruction::linear(registers.rip, &system);
        ctx.breakpoints.notice_delivery(at, registers.rsp);
        ctx.shadow.taken = None;
        if vector == NMI {
            ctx.cpu.mask_nmi()?;
        }
        // KVM tells whether the guest takes interrupts only at an exit.
        ctx.cpu.refresh()?;
        Ok(true)
    }

    /// Called at an exit: notices that KVM has delivered what the vCPU took. It may not have, at a
    /// kick or where an access was only completed.
    pub(super) fn look_at_taken(&mut self, vcpu: u32) -> Result<()> {
        let ctx = &mut self.vcpus[vcpu as usize];
        if ctx.shadow.taken.is_some_and(|taken| taken.given) && !ctx.cpu.is_interrupt_queued()? {
            ctx.shadow.taken = None;
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "taking_tests.rs"]
pub(super) mod tests;
