//! Executes one choice at instruction granularity: a vCPU executes one instruction.
//!
//! KVM does this by a single step, whose details differ from host to host. On a processor with VMX
//! or SVM, a step uses the trap flag. The flag is lost when an access goes through KVM's emulator,
//! when flags are popped and when an interrupt is delivered, and PUSHF makes it visible; a HLT and
//! the instruction behind STI are not noticed. So the step is armed again wherever it may be lost,
//! and accesses are completed without running on. What can't be stepped (HLT, STI, the delivery of
//! an interrupt) or must not depend on the host (time, random numbers) is done here (`emulate`,
//! `deliver`). One case is not supported: where KVM runs on in the handler of an exception, the run
//! ends with an error.
//!
//! No shared page is trapped. What an instruction reads and writes is determined from its operands
//! (`effects`), so that waiting is recognised and hangs are proven as with trapped pages.

use iced_x86::{FlowControl, Mnemonic, OpKind, Register, UsedMemory};

use super::ControlledMachine;

use super::deliver::NMI;
use super::effects::Effects;
use super::hash::{of_registers, tag};
use super::runaway::Overdue;
use super::vcpu_context::State;
use crate::breakpoints::BeforeStep;
use crate::choice::Choice;
use crate::cpu::Cpu;
use crate::end::End;
use crate::error::{Error, Result};
use crate::exit::{Entry, Exit};
use crate::hook::ApicEvent;
use crate::instruction::{self, Decoded};
use crate::memory::Memory;
use crate::paging;
use crate::registers::{Registers, SystemRegisters};

impl ControlledMachine {
    /// Performs a choice. `Some` if the run is over.
    pub(super) fn take_instruction(&mut self, choice: Choice) -> Result<Option<End>> {
        let vcpu = choice.vcpu();
        let ctx = &mut self.vcpus[vcpu as usize];
        let _bound = ctx.cpu.bind_to_thread();
        ctx.state = State::Ready;
        if let Choice::Interrupt(_) = choice {
            if let Some(vector) = self.platform.apics.lapics[vcpu as usize].pending() {
                self.hook_apic(vcpu, ApicEvent::Interrupt { vector });
            }
            let Some(vector) = self.platform.apics.lapics[vcpu as usize].acknowledge() else {
                return Ok(None);
            };
            self.count_interrupt(vcpu, vector);
            self.hash.add([tag::INTERRUPT, vcpu.into(), vector.into()]);
            let ending = self.deliver(vcpu, vector)?;
            self.look_at_flags(vcpu)?;
            return Ok(ending);
        }
        if ctx.shadow.nmi_pending && !ctx.shadow.nmi_masked {
            (ctx.shadow.nmi_pending, ctx.shadow.nmi_masked) = (false, true);
            self.hash.add([tag::INTERRUPT, vcpu.into(), NMI.into()]);
            let ending = self.deliver(vcpu, NMI)?;
            self.look_at_flags(vcpu)?;
            return Ok(ending);
        }
        let (mut registers, mut system) = (ctx.cpu.registers()?, ctx.cpu.system_registers()?);
        let mut decoded = self.instructions.at(registers.rip, &system, &self.memory);
        let repeats = decoded.as_ref().is_some_and(|decoded| decoded.repeats);
        if self.hook_place(vcpu, instruction::linear(registers.rip, &system), repeats) {
            // A hook may have changed registers or memory.
            let ctx = &mut self.vcpus[vcpu as usize];
            (registers, system) = (ctx.cpu.registers()?, ctx.cpu.system_registers()?);
            decoded = self.instructions.at(registers.rip, &system, &self.memory);
            ctx.armed = false;
        }
        if let Some(rounds) = &mut self.rounds {
            rounds.look_at(decoded.as_deref());
        }
        self.vcpus[vcpu as usize].shadow.interrupt_shadow = false;
        let ending = match &decoded {
            Some(decoded) if self.emulate(vcpu, decoded, &registers, &system)? => None,
            decoded => self.step(vcpu, decoded.as_deref(), &registers, &system)?,
        };
        if ending.is_none() {
            self.arrive(vcpu, registers.rip)?;
        }
        Ok(ending)
    }

    /// Called when the vCPU has executed the instruction at `from`: recognises a loop that waits.
    fn arrive(&mut self, vcpu: u32, from: u64) -> Result<()> {
        self.look_at_flags(vcpu)?;
        let longest = self.granularity.longest_loop();
        let ctx = &mut self.vcpus[vcpu as usize];
        let registers = of_registers(&ctx.cpu.registers()?);
        self.hash.add([tag::STEP, vcpu.into(), from, registers]);
        let unproven = ctx.unproven == Some(self.progress.count());
        if ctx.state == State::Ready && ctx.tracker.arrive(registers, longest) && !unproven {
            ctx.state = State::Spinning;
        }
        Ok(())
    }

    fn look_at_flags(&mut self, vcpu: u32) -> Result<()> {
        let ctx = &mut self.vcpus[vcpu as usize];
        let enabled = ctx.cpu.registers()?.rflags & Registers::INTERRUPT_FLAG != 0;
        ctx.interruptible = enabled && !ctx.shadow.interrupt_shadow;
        Ok(())
    }

    /// Has KVM execute one instruction.
    pub(super) fn step(
        &mut self,
        vcpu: u32,
        decoded: Option<&Decoded>,
        before: &Registers,
        system: &SystemRegisters,
    ) -> Result<Option<End>> {
        if !self.stepping.user && self.is_for_ring_3(decoded, before, system) {
            let problem = "ring 3, which this host's single steps don't reach";
            return Err(Error::Step { vcpu, rip: before.rip, problem });
        }
        let effects = Effects::before(decoded, before, system, &self.memory);
        let target = decoded.and_then(|decoded| target(decoded, before, system, &self.memory));
        let ctx = &mut self.vcpus[vcpu as usize];
        // Where steps don't stop in handlers, they use the trap flag, which can be lost in many
        // ways.
        ctx.armed &= self.stepping.handlers;
        ctx.arm()?;
        ctx.cpu.set_cr8(self.platform.apics.lapics[vcpu as usize].cr8());
        let step = BeforeStep::of(&mut self.vcpus[vcpu as usize].cpu)?;
        let mut exit = self.vcpus[vcpu as usize].cpu.run(Entry::Resume)?;
        loop {
            match exit {
                // KVM reports only one of the two if both are due.
                Exit::Debug { .. } | Exit::TaskPriority => break,
                Exit::MmioRead { .. }
                | Exit::MmioWrite { .. }
                | Exit::PortRead { .. }
                | Exit::PortWrite { .. } => {
                    let rip = self.vcpus[vcpu as usize].cpu.registers()?.rip;
                    if !decoded.is_some_and(|decoded| is_at(decoded, rip)) {
                        self.allow_exceptions(vcpu, before.rip)?;
                    }
                    let entry = match self.perform(vcpu, &exit)? {
                        Ok(entry) => entry,
                        Err(ending) => return Ok(Some(ending)),
                    };
                    self.hook_entry(vcpu, &entry);
                    let ctx = &mut self.vcpus[vcpu as usize];
                    ctx.armed = false;
                    // The vCPU has sent an INIT to itself.
                    if ctx.state == State::WaitForSipi {
                        return Ok(None);
                    }
                    exit = ctx.cpu.finish(entry)?;
                    if exit == Exit::Kicked {
                        break;
                    }
                }
                Exit::MsrRead { .. } | Exit::MsrWrite { .. } => {
                    self.access_msr(vcpu, &exit)?;
                    self.vcpus[vcpu as usize].armed = false;
                    let Some(next) = self.leave_msr(vcpu, before.rip)? else { break };
                    exit = next;
                }
                Exit::Kicked => {
                    self.cancel.check()?;
                    let timer = self.runaway.as_mut();
                    let overdue = timer.map(|timer| timer.overdue(|| Ok(before.rip)));
                    if overdue.transpose()? == Some(Overdue::RunAway) {
                        return Ok(Some(End::Runaway { vcpu }));
                    }
                    exit = self.vcpus[vcpu as usize].cpu.run(Entry::Resume)?;
                }
                // A HLT that was not emulated here: no step stops behind it.
                Exit::Halt => {
                    let ctx = &mut self.vcpus[vcpu as usize];
                    (ctx.state, ctx.armed) = (State::Halted, false);
                    self.progress.note();
                    self.hook_exit(vcpu, &Exit::Halt);
                    self.hook_apic(vcpu, ApicEvent::Halt);
                    self.hash.add([tag::HALT, vcpu.into()]);
                    break;
                }
                exit => {
                    self.vcpus[vcpu as usize].extended_dirty = true;
                    self.hook_exit(vcpu, &exit);
                    return self.problem(vcpu, exit).map(Some);
                }
            }
        }
        let cpu = &mut self.vcpus[vcpu as usize].cpu;
        self.platform.apics.lapics[vcpu as usize].follow_cr8(cpu.cr8());
        if let Some(step) = step {
            step.clear_pushed_flag(cpu, &self.memory)?;
        }
        let after = self.vcpus[vcpu as usize].cpu.registers()?;
        let expected = decoded.is_some_and(|decoded| leads_to(decoded, target, after.rip));
        if !expected {
            self.allow_exceptions(vcpu, before.rip)?;
        }
        if let Some(decoded) = decoded.filter(|_| expected) {
            self.note_blocking(vcpu, decoded);
            self.follow(vcpu, decoded, &effects)?;
        } else {
            // The first instruction of a handler is part of this step.
            self.vcpus[vcpu as usize].armed = false;
            self.everything_may_have_changed();
        }
        Ok(None)
    }

    /// Completes the RDMSR or WRMSR at `rip`. Returns the next exit if the step doesn't end there:
    /// the access was refused, and the first instruction of the handler is part of the step.
    fn leave_msr(&mut self, vcpu: u32, rip: u64) -> Result<Option<Exit>> {
        let cpu = &mut self.vcpus[vcpu as usize].cpu;
        let exit = cpu.finish(Entry::Resume)?;
        if exit != Exit::Kicked {
            return Ok(Some(exit));
        }
        if cpu.registers()?.rip != rip {
            return Ok(None);
        }
        self.allow_exceptions(vcpu, rip)?;
        self.vcpus[vcpu as usize].cpu.run(Entry::Resume).map(Some)
    }

    /// Called when the vCPU is not where the instruction at `rip` leads: fails if this host's steps
    /// don't stop in handlers.
    fn allow_exceptions(&self, vcpu: u32, rip: u64) -> Result<()> {
        if self.stepping.handlers {
            return Ok(());
        }
        let problem = "an exception, and this host doesn't stop single steps in its handler";
        Err(Error::Step { vcpu, rip, problem })
    }

    /// Whether the vCPU is in ring 3 or about to enter it.
    fn is_for_ring_3(
        &self,
        decoded: Option<&Decoded>,
        registers: &Registers,
        system: &SystemRegisters,
    ) -> bool {
        let word = match decoded.map(|decoded| decoded.instruction.mnemonic()) {
            Some(Mnemonic::Iretq) => 8,
            Some(Mnemonic::Iretd) => 4,
            Some(Mnemonic::Sysret | Mnemonic::Sysretq | Mnemonic::Sysexit | Mnemonic::Sysexitq) => {
                return true;
            }
            _ => return system.privilege() == 3,
        };
        // The selector is on the stack behind RIP.
        let selector = registers.rsp.wrapping_add(word);
        let found = paging::read_integer(system, &*self.memory, selector, 2);
        system.privilege() == 3 || found.is_ok_and(|selector| selector & 3 == 3)
    }

    /// Records what blocks interrupts and NMIs behind an instruction.
    fn note_blocking(&mut self, vcpu: u32, decoded: &Decoded) {
        use Mnemonic::{Iret, Iretd, Iretq, Lss, Mov, Pop};
        let ctx = &mut self.vcpus[vcpu as usize];
        match decoded.instruction.mnemonic() {
            Iret | Iretd | Iretq => ctx.shadow.nmi_masked = false,
            Mov | Pop | Lss if decoded.instruction.op0_register() == Register::SS => {
                ctx.shadow.interrupt_shadow = true;
            }
            _ => {}
        }
    }
}

/// Whether an access reported at `rip` belongs to this instruction: some hosts report its start,
/// others its end.
fn is_at(decoded: &Decoded, rip: u64) -> bool {
    rip == decoded.instruction.ip() || rip == decoded.instruction.next_ip()
}

/// The target of a branch that is taken with these registers. `None` if it is not a near branch or
/// its target is unknown.
pub(super) fn target(
    decoded: &Decoded,
    registers: &Registers,
    system: &SystemRegisters,
    memory: &Memory,
) -> Option<u64> {
    let instruction = &decoded.instruction;
    let word = |used: &UsedMemory| {
        let address = instruction::address(used, registers, system)?;
        paging::read_integer(system, memory, address, used.memory_size().size()).ok()
    };
    let mut loads = decoded.accesses.iter().filter(|used| instruction::reads(used));
    match instruction.flow_control() {
        FlowControl::Return if instruction.mnemonic() == Mnemonic::Ret => word(loads.next()?),
        FlowControl::IndirectBranch | FlowControl::IndirectCall
            if instruction.is_jmp_near_indirect() || instruction.is_call_near_indirect() =>
        {
            match instruction.op0_kind() {
                OpKind::Register => {
                    instruction::value(instruction.op0_register(), registers, system)
                }
                _ => word(loads.next()?),
            }
        }
        FlowControl::ConditionalBranch | FlowControl::UnconditionalBranch | FlowControl::Call => {
            Some(instruction.near_branch_target()).filter(|target| *target != 0)
        }
        _ => None,
    }
}

/// Whether an instruction may lead to `rip` without a fault.
pub(super) fn leads_to(decoded: &Decoded, target: Option<u64>, rip: u64) -> bool {
    let instruction = &decoded.instruction;
    let next = instruction.next_ip();
    match instruction.flow_control() {
        FlowControl::Next => {
            // A string instruction stays at its address until its last repetition. No step stops
            // behind an instruction that loads SS.
            let stays = instruction.is_string_instruction() && rip == instruction.ip();
            rip == next || stays || instruction.op0_register() == Register::SS
        }
        FlowControl::ConditionalBranch => rip == next || target == Some(rip),
        // The target of other instructions, such as far branches, is not known.
        _ => target.is_none_or(|target| target == rip),
    }
}

#[cfg(test)]
#[path = "single_tests.rs"]
mod tests;
