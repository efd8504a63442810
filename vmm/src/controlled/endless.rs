//! Detects a vCPU in an endless loop that has no scheduling point.
//!
//! Examples are `for (;;);`, a panic that stops its CPU, and a wait for a flag in private memory:
//! such a loop never exits. A vCPU that has run for long without a scheduling point is
//! single-stepped. Its loop is endless if the vCPU comes back to the same registers, leaves all
//! memory as it was, and executes only instructions whose effect is a function of registers and
//! memory (`repeatable.rs`). Such a loop runs until an interrupt arrives or something changes what
//! the loop reads. Until then, the vCPU is taken out of the run.
//!
//! A loop is a cycle of states. The vCPU is always brought to the same state of its cycle, wherever
//! in the loop it was when the alarm came, so the run continues as in every other run with the same
//! choices. If the loop enables interrupts, it is a state in which the vCPU takes them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::ControlledMachine;
use super::effects::Effects;
use super::masked::Masked;
use super::repeatable;
use super::runaway::Overdue;
use super::vcpu_context::{Reads, State};
use crate::breakpoints::Want;
use crate::cpu::Cpu;
use crate::end::End;
use crate::error::Result;
use crate::exit::{Bytes, Entry, Exit};
use crate::instruction::Decoded;

/// The longest loop that is found, in instructions.
const MAX_LOOP_INSTRUCTIONS: usize = 2000;

/// The maximum number of consecutive kicks during a single step.
const MAX_KICKS: u32 = 3;

/// What happens with a vCPU after a kick.
pub(super) enum AfterKick {
    /// The vCPU runs on.
    GoesOn,
    /// The vCPU has reached this exit.
    Exit(Exit),
    /// The vCPU is at a scheduling point, or has been taken out of the run.
    Stands,
    /// The vCPU is a runaway, and the run is over.
    Ends(End),
}

/// The result of examining a vCPU.
enum Look {
    /// It is in an endless loop, at a place that doesn't depend on the time of the examination.
    Endless(Reads),
    /// It makes progress: it computes.
    Computes,
    /// It has reached this exit.
    Exit(Exit),
    /// It can take here, for the first time since it runs, an interrupt that is pending.
    Interruptible,
}

/// The part of the loop that has been executed.
#[derive(Default)]
struct Cycle {
    /// What was masked when the vCPU began to run.
    masked: Masked,
    /// The states after each instruction.
    states: Vec<Place>,
    /// The bytes that the loop read before it wrote there.
    reads: Reads,
    /// The contents of memory before the loop first wrote there.
    written: BTreeMap<u64, Bytes>,
}

/// The result of a step.
enum Stepped {
    To(Place),
    /// The examination ends with it.
    Ends(Look),
}

/// A state of the loop. The order determines where a vCPU is left.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    /// Whether interrupts can't be taken here. Directly behind STI they can't.
    closed: bool,
    rip: u64,
    /// A hash of the registers.
    registers: u64,
}

impl ControlledMachine {
    /// Examines a vCPU that was kicked, if it has run for long without a scheduling point. `masked`
    /// is what was masked when it began to run.
    pub(super) fn look_at_runaway(&mut self, vcpu: u32, masked: Masked) -> Result<AfterKick> {
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
                None => Ok(AfterKick::Ends(End::Runaway { vcpu })),
            },
            Overdue::LookAtIt => Ok(match self.look_for_endless_loop(vcpu, masked)? {
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

    /// Single-steps a vCPU that has run for long without a scheduling point, in search of an
    /// endless loop.
    fn look_for_endless_loop(&mut self, vcpu: u32, masked: Masked) -> Result<Look> {
        let start = self.vcpus[vcpu as usize].cpu.registers()?;
        let mut cycle = Cycle { masked, ..Cycle::default() };
        for _ in 0..MAX_LOOP_INSTRUCTIONS {
            if !self.can_step(vcpu)? {
                return Ok(Look::Computes);
            }
            let Some(decoded) = self.note_instruction(vcpu, &mut cycle)? else {
                return Ok(Look::Computes);
            };
            let place = match self.step_once(vcpu, &decoded, masked)? {
                Stepped::To(place) => place,
                Stepped::Ends(look) => return Ok(look),
            };
            let now = self.vcpus[vcpu as usize].cpu.registers()?;
            if !decoded.was_executed(now.rip) {
                return Ok(Look::Computes);
            }
            cycle.states.push(place);
            if now == start {
                return self.close(vcpu, cycle);
            }
        }
        Ok(Look::Computes)
    }

    /// Records the memory accesses of the next instruction. `None` if the instruction can't be part
    /// of an endless loop.
    fn note_instruction(&mut self, vcpu: u32, cycle: &mut Cycle) -> Result<Option<Arc<Decoded>>> {
        let cpu = &mut self.vcpus[vcpu as usize].cpu;
        let (registers, system) = (cpu.registers()?, cpu.system_registers()?);
        let found = self.instructions.at(registers.rip, &system, &self.memory);
        let Some(decoded) = found.filter(|decoded| {
            repeatable::outside(Some(decoded)).is_none()
                && !decoded.extended
                && !(cycle.masked.interrupt && self.may_let_interrupt_in(vcpu, decoded))
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

    /// Executes one instruction.
    fn step_once(&mut self, vcpu: u32, decoded: &Decoded, masked: Masked) -> Result<Stepped> {
        if self.execute_unsteppable(vcpu, decoded)? {
            // KVM's answer whether interrupts can be taken is that of the latest exit.
            return Ok(Stepped::To(self.place(vcpu, true)?));
        }
        let mut exit = Exit::Kicked;
        for _ in 0..MAX_KICKS {
            exit = self.run_on(vcpu, Entry::Resume, Want { step: true, ..Want::default() })?;
            if exit != Exit::Kicked {
                break;
            }
        }
        match exit {
            Exit::Debug { .. } => {}
            // KVM retries for ever an instruction that it can't execute.
            Exit::Kicked => return Ok(Stepped::Ends(Look::Computes)),
            exit => return Ok(Stepped::Ends(Look::Exit(exit))),
        }
        // Interrupts that could be taken from the start have been put off by a choice.
        if masked.interrupt && self.takes_pending_interrupt(vcpu) {
            return Ok(Stepped::Ends(Look::Interruptible));
        }
        let closed = !self.vcpus[vcpu as usize].cpu.takes_interrupts();
        Ok(Stepped::To(self.place(vcpu, closed)?))
    }

    fn place(&mut self, vcpu: u32, closed: bool) -> Result<Place> {
        let registers = self.vcpus[vcpu as usize].cpu.registers()?;
        Ok(Place { closed, rip: registers.rip, registers: super::hash::of_registers(&registers) })
    }

    /// Called when the registers are as at the start: checks that memory is, too, and brings the
    /// vCPU to the fixed place in its loop.
    fn close(&mut self, vcpu: u32, cycle: Cycle) -> Result<Look> {
        if !self.is_as_before(&cycle.written)? {
            return Ok(Look::Computes);
        }
        if let Some(timer) = &mut self.runaway {
            timer.found(cycle.states.iter().map(|place| place.rip))?;
        }
        let first = cycle.states.iter().min().copied();
        let mut last = cycle.states.last().copied();
        for _ in 0..cycle.states.len() {
            if last == first {
                break;
            }
            let now = self.vcpus[vcpu as usize].cpu.registers()?;
            let system = self.vcpus[vcpu as usize].cpu.system_registers()?;
            let Some(decoded) = self.instructions.at(now.rip, &system, &self.memory) else {
                return Ok(Look::Computes);
            };
            last = match self.step_once(vcpu, &decoded, cycle.masked)? {
                Stepped::To(place) => Some(place),
                Stepped::Ends(look) => return Ok(look),
            };
        }
        if last != first {
            return Ok(Look::Computes);
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

    /// Wakes the vCPUs whose endless loop reads bytes that have changed. Returns whether there are
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

#[cfg(test)]
#[path = "endless_tests.rs"]
mod tests;
