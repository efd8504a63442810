//! A vCPU in an endless loop that has no scheduling point.
//!
//! `for (;;);`, a panic that stops its CPU, a wait for a flag in private memory: such a loop never exits.
//! When a vCPU has run for long without a point, it is single-stepped. If it comes back to the same
//! registers, has left all memory as it was, and every instruction on the way is one whose effect is a
//! function of registers and memory (`repeatable.rs`), it goes round for ever, until an interrupt comes
//! or somebody changes what the loop reads. It is taken out of the run until then.
//!
//! A loop is a cycle of states. Wherever in it the vCPU was when the alarm came, it is brought to the
//! same one of them, so the run goes on as in every other run with the same choices.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use iced_x86::FlowControl;

use super::ControlledMachine;
use super::effects::Effects;
use super::outcome::Ending;
use super::repeatable;
use super::runaway::Overdue;
use super::vcpu_context::State;
use crate::breakpoints::Want;
use crate::cpu::Cpu;
use crate::error::Result;
use crate::exit::{Bytes, Entry, Exit};
use crate::instruction::Decoded;
use crate::registers::Registers;

/// The longest loop that is found, in instructions.
const MAX_LOOP_INSTRUCTIONS: usize = 2000;

/// How many kicks in a row a single step may take.
const MAX_KICKS: u32 = 3;

/// The private bytes that an endless loop reads and doesn't write: guest-physical address and content.
pub(super) type Reads = BTreeMap<u64, Bytes>;

/// What becomes of a vCPU that was kicked.
pub(super) enum AfterKick {
    /// It goes on.
    GoesOn,
    /// It has come to this exit.
    Exit(Exit),
    /// It stands at a scheduling point, or is out of the run.
    Stands,
    /// It has run away, and the run is over.
    Ends(Ending),
}

/// What came of looking at a vCPU.
enum Look {
    /// It is in an endless loop, at a place in it that doesn't depend on when this was asked.
    Endless(Reads),
    /// It gets on: it computes.
    Computes,
    /// It has come to this exit.
    Exit(Exit),
    /// It could take a pending interrupt here.
    Interruptible,
}

/// The loop as far as it has been seen.
#[derive(Default)]
struct Cycle {
    /// Where the vCPU was after each instruction.
    states: Vec<Registers>,
    /// What was read before the loop wrote there.
    reads: Reads,
    /// What was there before the loop first wrote.
    written: BTreeMap<u64, Bytes>,
}

impl ControlledMachine {
    /// Looks at a vCPU that was kicked: how long has it passed no scheduling point?
    pub(super) fn look_at_runaway(&mut self, vcpu: u32) -> Result<AfterKick> {
        self.cancel.check()?;
        let cpu = &mut self.vcpus[vcpu as usize].cpu;
        let overdue = match &mut self.runaway {
            Some(timer) => timer.overdue(|| Ok(cpu.registers()?.rip))?,
            None => Overdue::No,
        };
        match overdue {
            Overdue::No => Ok(AfterKick::GoesOn),
            Overdue::RunAway => match self.explain(vcpu, None)? {
                Some(error) => Err(error),
                None => Ok(AfterKick::Ends(Ending::Runaway { vcpu })),
            },
            Overdue::LookAtIt => Ok(match self.look_for_endless_loop(vcpu)? {
                Look::Endless(reads) => {
                    self.vcpus[vcpu as usize].state = State::Endless(reads);
                    AfterKick::Stands
                }
                Look::Interruptible => AfterKick::Stands,
                Look::Computes => AfterKick::GoesOn,
                Look::Exit(exit) => AfterKick::Exit(exit),
            }),
        }
    }

    /// Single-steps a vCPU that has run for long without a scheduling point.
    fn look_for_endless_loop(&mut self, vcpu: u32) -> Result<Look> {
        let start = self.vcpus[vcpu as usize].cpu.registers()?;
        let mut cycle = Cycle::default();
        for _ in 0..MAX_LOOP_INSTRUCTIONS {
            let Some(decoded) = self.note_instruction(vcpu, &mut cycle)? else {
                return Ok(Look::Computes);
            };
            if let Some(other) = self.step_once(vcpu, &decoded)? {
                return Ok(other);
            }
            let now = self.vcpus[vcpu as usize].cpu.registers()?;
            if !was_executed(&decoded, now.rip) {
                return Ok(Look::Computes);
            }
            cycle.states.push(now);
            if now == start {
                return self.close(vcpu, cycle);
            }
        }
        Ok(Look::Computes)
    }

    /// Looks at what the vCPU is about to execute. `None` if no endless loop may have it.
    fn note_instruction(&mut self, vcpu: u32, cycle: &mut Cycle) -> Result<Option<Arc<Decoded>>> {
        let cpu = &mut self.vcpus[vcpu as usize].cpu;
        let (registers, system) = (cpu.registers()?, cpu.system_registers()?);
        let found = self.instructions.at(registers.rip, &system, &self.memory);
        let Some(decoded) = found.filter(|decoded| {
            repeatable::outside(Some(decoded)).is_none()
                && !decoded.extended
                && !self.may_let_interrupt_in(vcpu, decoded)
        }) else {
            return Ok(None);
        };
        let effects = Effects::before(Some(&decoded), &registers, &system, &self.memory);
        for touch in effects.touches() {
            if touch.writes {
                cycle.written.entry(touch.address).or_insert_with(|| touch.before.clone());
            } else if !cycle.written.contains_key(&touch.address) {
                cycle.reads.entry(touch.address).or_insert_with(|| touch.before.clone());
            }
        }
        Ok(Some(decoded).filter(|_| !effects.reaches_further()))
    }

    /// Executes one instruction. `Some` if something came of it that must be dealt with.
    fn step_once(&mut self, vcpu: u32, decoded: &Decoded) -> Result<Option<Look>> {
        if self.execute_unsteppable(vcpu, decoded)? {
            return Ok(None);
        }
        let mut exit = Exit::Kicked;
        for _ in 0..MAX_KICKS {
            exit = self.run_on(vcpu, Entry::Resume, Want { step: true, interrupt: None })?;
            if exit != Exit::Kicked {
                break;
            }
        }
        match exit {
            Exit::Debug { .. } => {}
            // KVM tries for ever to execute something that it can't.
            Exit::Kicked => return Ok(Some(Look::Computes)),
            exit => return Ok(Some(Look::Exit(exit))),
        }
        Ok(self.takes_pending_interrupt(vcpu).then_some(Look::Interruptible))
    }

    /// The registers are those of the start again. Is memory, too?
    fn close(&mut self, vcpu: u32, cycle: Cycle) -> Result<Look> {
        if !self.is_as_before(&cycle.written)? {
            return Ok(Look::Computes);
        }
        if let Some(timer) = &mut self.runaway {
            timer.found(cycle.states.iter().map(|registers| registers.rip))?;
        }
        let place = |registers: &Registers| (registers.rip, super::hash::of_registers(registers));
        let first = cycle.states.iter().map(place).min();
        for _ in &cycle.states {
            let now = self.vcpus[vcpu as usize].cpu.registers()?;
            if Some(place(&now)) == first {
                break;
            }
            let system = self.vcpus[vcpu as usize].cpu.system_registers()?;
            let Some(decoded) = self.instructions.at(now.rip, &system, &self.memory) else {
                return Ok(Look::Computes);
            };
            if let Some(other) = self.step_once(vcpu, &decoded)? {
                return Ok(other);
            }
        }
        let written: BTreeSet<u64> = cycle.written.keys().copied().collect();
        let mut reads = cycle.reads;
        reads.retain(|address, bytes| {
            let end = address + bytes.len() as u64;
            !written.iter().any(|at| (*address..end).contains(at))
        });
        Ok(Look::Endless(reads))
    }

    fn is_as_before(&self, bytes: &BTreeMap<u64, Bytes>) -> Result<bool> {
        for (address, before) in bytes {
            let mut now = Bytes::from_elem(0, before.len());
            self.memory.read(*address, &mut now)?;
            if now != *before {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Wakes the vCPUs whose endless loop reads something that has been changed since. Whether there are
    /// any.
    pub(super) fn look_at_endless_loops(&mut self) -> Result<bool> {
        let mut woken = false;
        for vcpu in 0..self.vcpus.len() {
            let State::Endless(reads) = &self.vcpus[vcpu].state else { continue };
            if !self.is_as_before(reads)? {
                self.vcpus[vcpu].wake();
                woken = true;
            }
        }
        Ok(woken)
    }
}

/// Whether a vCPU that is now at `rip` has executed the instruction. KVM may end a step before it has:
/// where it can't emulate an access to a watched page, it tries again for ever.
fn was_executed(decoded: &Decoded, rip: u64) -> bool {
    let instruction = &decoded.instruction;
    match instruction.flow_control() {
        FlowControl::Next => rip == instruction.next_ip(),
        _ => rip != instruction.ip() || instruction.near_branch_target() == instruction.ip(),
    }
}

#[cfg(test)]
#[path = "endless_tests.rs"]
mod tests;
