//! Walks through one step of a vCPU instruction by instruction, for debuggers.
//!
//! At the granularity `watch`, a step is the access that the vCPU is stopped before, and then its
//! way to its next access. A walk makes the same step by single steps. It counts the instructions
//! that the vCPU has executed in this step: first the one that makes the access, then each that a
//! single step executes. The run is the same as without single steps, so a count names the same
//! place of the run each time.
//!
//! The instructions of a proof (`hang.rs`) and of loops that are run out (`run_out.rs`) are not
//! walked through: no chooser is asked about these steps.

use std::mem::replace;

use super::ControlledMachine;
use super::advance::MAX_SINGLE_STEPS;
use crate::choice::Chooser;
use crate::cpu::Cpu;
use crate::end::End;
use crate::error::{Error, Result};
use crate::exit::{Entry, Exit};

/// A place between two instructions of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Boundary {
    /// The number of instructions that the vCPU has executed in this step.
    pub executed: u64,
    /// The vCPU's RIP, which is at the next instruction.
    pub rip: u64,
}

/// What a walk came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Walk {
    /// The vCPU that was chosen. `None` if none was: the machine has passed scheduling points
    /// that no chooser is asked about, or the run has ended.
    pub vcpu: Option<u32>,
    /// The boundaries that the walk came to, in order. There is one with `executed` 0 only if the
    /// vCPU was not stopped before an access.
    pub boundaries: Vec<Boundary>,
    /// Whether the vCPU is stopped at the last boundary. The machine has to be restored before it
    /// can run again. If it is not stopped, the step is complete.
    pub stopped: bool,
    /// How the run ended, if it ended in this step.
    pub ending: Option<End>,
}

/// A walk that is under way.
#[derive(Debug)]
pub(super) struct Pace {
    /// The walk ends when this number of instructions have been executed.
    until: u64,
    executed: u64,
    /// Whether the step is one that the chooser was asked about.
    chosen: bool,
    /// The access that the vCPU was stopped before is being made.
    accesses: bool,
    walk: Walk,
}

impl ControlledMachine {
    /// Makes the next step, and stops when the vCPU has executed `until` instructions in it, or
    /// 1,000,000 (at the granularity `instruction`, a step is one instruction and is always
    /// completed). The machine must be at a scheduling point.
    pub fn walk(&mut self, chooser: &mut dyn Chooser, until: u64) -> Result<Walk> {
        let pace =
            Pace { until, executed: 0, chosen: false, accesses: false, walk: Walk::default() };
        self.pace = Some(pace);
        let result = self.run(chooser, self.points + 1);
        let mut walk = self.pace.take().map(|pace| pace.walk).unwrap_or_default();
        match result {
            Err(Error::Cancelled) if walk.stopped => {}
            Err(error) => return Err(error),
            Ok(End::Budget) => {}
            Ok(ending) => walk.ending = Some(ending),
        }
        Ok(walk)
    }

    /// The walk that this step is a part of.
    fn pace(&mut self) -> Option<&mut Pace> {
        self.pace.as_mut().filter(|pace| pace.chosen)
    }

    /// Whether the vCPUs single-step because of a walk.
    pub(super) fn is_walking(&self) -> bool {
        self.pace.as_ref().is_some_and(|pace| pace.chosen)
    }

    /// Called when the chooser was asked about the next step.
    pub(super) fn walk_is_chosen(&mut self) {
        if let Some(pace) = &mut self.pace {
            pace.chosen = true;
        }
    }

    /// Called when a vCPU was chosen; `accesses`: it is stopped before an access.
    pub(super) fn walk_begins(&mut self, vcpu: u32, accesses: bool) -> Result<()> {
        let Some(pace) = self.pace() else { return Ok(()) };
        pace.walk.vcpu = Some(vcpu);
        pace.accesses = accesses;
        if self.granularity == super::Granularity::Instruction {
            self.reach(vcpu)?;
        }
        Ok(())
    }

    /// Called when a single step has ended.
    pub(super) fn walked(&mut self) {
        if let Some(pace) = self.pace() {
            pace.executed += 1;
        }
    }

    /// Called before a vCPU runs on, with the answer to its access and the vector of an interrupt
    /// that it takes first. `Some` is an exit that came first. [`Error::Cancelled`] if the walk
    /// ends here.
    pub(super) fn walk_on(
        &mut self,
        vcpu: u32,
        entry: &mut Entry,
        interrupt: Option<u8>,
    ) -> Result<Option<Exit>> {
        let answer = replace(entry, Entry::Resume);
        let ctx = &mut self.vcpus[vcpu as usize];
        match ctx.breakpoints.finish_access(&mut ctx.cpu, &self.memory, answer, true)? {
            None | Some(Exit::Debug { .. }) => {}
            Some(exit) => return Ok(Some(exit)),
        }
        if let Some(pace) = self.pace()
            && std::mem::take(&mut pace.accesses)
        {
            pace.executed += 1;
        }
        self.reach(vcpu)?;
        if interrupt.is_some() {
            return Ok(None);
        }
        let cpu = &mut self.vcpus[vcpu as usize].cpu;
        let (rip, system) = (cpu.registers()?.rip, cpu.system_registers()?);
        match self.instructions.at(rip, &system, &self.memory) {
            Some(decoded) if self.execute_unsteppable(vcpu, &decoded)? => {
                Ok(Some(Exit::Debug { pc: rip, dr6: 0 }))
            }
            _ => Ok(None),
        }
    }

    /// Records the boundary at which the vCPU is. Fails if the walk ends here.
    fn reach(&mut self, vcpu: u32) -> Result<()> {
        let rip = self.vcpus[vcpu as usize].cpu.registers()?.rip;
        let Some(pace) = self.pace() else { return Ok(()) };
        let executed = pace.executed;
        // After a kick the vCPU is where it was.
        if pace.walk.boundaries.last().is_none_or(|last| last.executed != executed) {
            pace.walk.boundaries.push(Boundary { executed, rip });
        }
        if executed > 0 && executed >= pace.until.min(MAX_SINGLE_STEPS) {
            pace.walk.stopped = true;
            return Err(Error::Cancelled);
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "walk_tests.rs"]
mod tests;
