//! Runs a vCPU from one scheduling point to its next.

use std::ops::ControlFlow;

use super::ControlledMachine;
use super::check::Stored;
use super::emulate::MSR_TSC;
use super::endless::AfterKick;
use super::hash::{of_registers, tag};
use super::masked::Masked;
use super::taking::Given;
use super::vcpu_context::State;
use crate::breakpoints::Want;
use crate::cpu::Cpu;
use crate::end::End;
use crate::error::Result;
use crate::exit::{Entry, Exit};
use crate::hook::ApicEvent;
use crate::kvm::DebugCapabilities;

/// The number of single steps that a vCPU may take without a scheduling point before the limit on
/// its time applies.
pub(super) const MAX_SINGLE_STEPS: u64 = 1_000_000;

/// The way of a vCPU to its next scheduling point.
struct Way {
    /// The answer to the latest exit.
    entry: Entry,
    /// What was masked when the vCPU last entered the guest.
    masked: Masked,
    /// Whether this was before a kick. A kick changes nothing here: it may have come where
    /// interrupts are disabled for a moment, or, on hosts where IRET and the next instruction are
    /// one step, between the two.
    was_kicked: bool,
    /// The store that the vCPU performed before it last entered the guest.
    stored: Option<Stored>,
    /// Whether the vCPU was single-stepped when it last entered the guest; likewise.
    steps: bool,
    /// An exit that has already been reached.
    found: Option<Exit>,
    /// The number of the vCPU's single steps at the start.
    steps_before: u64,
}

/// Whether the vCPU runs on. A break is a scheduling point, or the end of the run.
type Flow = ControlFlow<Option<End>>;

const AT_POINT: Flow = ControlFlow::Break(None);
const RUNS_ON: Flow = ControlFlow::Continue(());

impl ControlledMachine {
    /// Runs a vCPU to its next scheduling point. `Some` if the run is over.
    pub(super) fn advance(&mut self, vcpu: u32, entry: Entry) -> Result<Option<End>> {
        let ctx = &mut self.vcpus[vcpu as usize];
        let mut way = Way {
            entry,
            masked: Masked::default(),
            was_kicked: false,
            steps: false,
            stored: None,
            found: ctx.reached.take(),
            steps_before: ctx.breakpoints.steps(),
        };
        loop {
            let exit = self.next_exit(vcpu, &mut way)?;
            if let ControlFlow::Break(end) = self.handle(vcpu, exit, &mut way)? {
                return Ok(end);
            }
        }
    }

    fn next_exit(&mut self, vcpu: u32, way: &mut Way) -> Result<Exit> {
        way.stored = self.vcpus[vcpu as usize].stored.take();
        let exit = match way.found.take() {
            Some(exit) => {
                way.was_kicked = false;
                exit
            }
            None => self.run_to_exit(vcpu, way)?,
        };
        self.check_tables(vcpu)?;
        self.look_at_taken(vcpu)?;
        Ok(exit)
    }

    fn run_to_exit(&mut self, vcpu: u32, way: &mut Way) -> Result<Exit> {
        let was_kicked = std::mem::take(&mut way.was_kicked);
        let follows = self.follows(vcpu)?;
        loop {
            if !was_kicked {
                self.take_nmi(vcpu)?;
                way.masked = self.masked(vcpu);
            }
            let steps = follows || way.masked.any() && self.can_step(vcpu)?;
            match self.give_taken(vcpu, &mut way.entry, steps)? {
                // An NMI may come next.
                Given::Here | Given::Not => {}
                Given::Later(exit) => return Ok(exit),
                Given::ByKvm => break,
            }
        }
        let interrupt = self.vcpus[vcpu as usize].shadow.taken.map(|taken| taken.vector);
        let exit = if self.is_walking() {
            self.walk_on(vcpu, &mut way.entry, interrupt)?
        } else {
            self.look_ahead(vcpu, &mut way.entry)?
        };
        if let Some(exit) = exit {
            return Ok(exit);
        }
        if !was_kicked {
            way.steps = way.masked.any() && interrupt.is_none();
        }
        let step = follows || way.steps && self.can_step(vcpu)?;
        let want = Want { step, interrupt, ..Want::default() };
        self.run_on(vcpu, std::mem::replace(&mut way.entry, Entry::Resume), want)
    }

    /// Whether the vCPU is followed by single steps, for a proof or a walk.
    fn follows(&mut self, vcpu: u32) -> Result<bool> {
        Ok((self.rounds.is_some() || self.is_walking()) && self.can_step(vcpu)?)
    }

    /// Whether this host single-steps the vCPU where it is: on some hosts, ring 3 gets the debug
    /// exception of the step itself.
    pub(super) fn can_step(&mut self, vcpu: u32) -> Result<bool> {
        let system = self.vcpus[vcpu as usize].cpu.system_registers()?;
        Ok(system.privilege() != 3 || DebugCapabilities::of(&self.host).steps_user)
    }

    fn handle(&mut self, vcpu: u32, exit: Exit, way: &mut Way) -> Result<Flow> {
        if let Exit::Debug { .. } = exit {
            self.walked();
        }
        let ctx = &mut self.vcpus[vcpu as usize];
        match exit {
            // Interrupts are enabled again: whether the pending one is taken here is a choice.
            Exit::Debug { .. } if way.masked.interrupt && ctx.cpu.takes_interrupts() => {
                return Ok(AT_POINT);
            }
            Exit::Debug { .. } => self.look_back(vcpu)?,
            Exit::Kicked => return self.kicked(vcpu, way),
            Exit::InterruptWindow => {}
            // Whether the interrupt is taken here is a choice, as after STI.
            Exit::TaskPriority => {
                if self.takes_pending_interrupt(vcpu) {
                    return Ok(AT_POINT);
                }
            }
            Exit::MsrWrite { index: MSR_TSC, value } => self.write_tsc_msr(vcpu, value),
            Exit::MsrRead { index: MSR_TSC } => self.read_tsc_msr(vcpu),
            exit @ (Exit::MsrRead { .. } | Exit::MsrWrite { .. }) => {
                self.access_msr(vcpu, &exit)?;
            }
            Exit::Halt => {
                self.halt(vcpu);
                return Ok(AT_POINT);
            }
            exit @ (Exit::MmioRead { .. }
            | Exit::MmioWrite { .. }
            | Exit::PortRead { .. }
            | Exit::PortWrite { .. }) => {
                self.check_access(vcpu, &exit, way.stored.take())?;
                self.park(vcpu, exit)?;
                return Ok(AT_POINT);
            }
            exit => {
                ctx.extended_dirty = true;
                self.hook_exit(vcpu, &exit);
                return Ok(ControlFlow::Break(Some(self.problem(vcpu, exit)?)));
            }
        }
        Ok(RUNS_ON)
    }

    /// Handles a kick: the vCPU has run for long, or the run is to be cancelled.
    fn kicked(&mut self, vcpu: u32, way: &mut Way) -> Result<Flow> {
        way.was_kicked = true;
        let breakpoints = &self.vcpus[vcpu as usize].breakpoints;
        let steps = self.is_walking()
            || breakpoints.must_step() && breakpoints.steps() - way.steps_before < MAX_SINGLE_STEPS;
        if steps {
            self.cancel.check()?;
            return Ok(RUNS_ON);
        }
        Ok(match self.look_at_runaway(vcpu, way.masked)? {
            AfterKick::GoesOn => RUNS_ON,
            AfterKick::Exit(exit) => {
                way.found = Some(exit);
                RUNS_ON
            }
            AfterKick::Stands => AT_POINT,
            AfterKick::Ends(end) => ControlFlow::Break(Some(end)),
        })
    }

    /// Puts a vCPU to sleep that has executed HLT.
    pub(super) fn halt(&mut self, vcpu: u32) {
        self.vcpus[vcpu as usize].state = State::Halted;
        self.hook_exit(vcpu, &Exit::Halt);
        self.hook_apic(vcpu, ApicEvent::Halt);
        self.progress.note();
        self.hash.add([tag::HALT, vcpu.into()]);
    }

    /// Fails if an access to a trapped page can't be performed as a whole.
    fn check_access(&mut self, vcpu: u32, exit: &Exit, stored: Option<Stored>) -> Result<()> {
        match exit {
            Exit::MmioRead { address, size } if self.memory.is_trapped(*address) => {
                self.check_load(vcpu, *address, (*size).into())
            }
            Exit::MmioWrite { address, data } if self.memory.is_trapped(*address) => {
                self.check_store(vcpu, *address, data.len(), stored)
            }
            _ => Ok(()),
        }
    }

    /// Whether an interrupt is pending that the vCPU would take now.
    pub(super) fn takes_pending_interrupt(&mut self, vcpu: u32) -> bool {
        let pending = self.platform.apics.lapics[vcpu as usize].pending().is_some();
        pending && self.vcpus[vcpu as usize].cpu.takes_interrupts()
    }

    /// Ends a run because of an exit that nothing answers.
    pub(super) fn problem(&mut self, vcpu: u32, exit: Exit) -> Result<End> {
        match self.explain(vcpu, Some(&exit))? {
            Some(error) => Err(error),
            None => Ok(End::unanswered(vcpu, exit)),
        }
    }

    /// Stops a vCPU before an access, and decides whether it waits: whether it comes back to the
    /// same state.
    fn park(&mut self, vcpu: u32, exit: Exit) -> Result<()> {
        let watched_read =
            matches!(exit, Exit::MmioRead { address, .. } if self.memory.is_trapped(address));
        let progress = self.progress.count();
        let ctx = &mut self.vcpus[vcpu as usize];
        let longest = self.granularity.longest_loop();
        let waits = watched_read
            && ctx.tracker.arrive(of_registers(&ctx.cpu.registers()?), longest)
            && ctx.unproven != Some(progress);
        ctx.state = if waits { State::Waiting(exit) } else { State::Access(exit) };
        Ok(())
    }
}

#[cfg(test)]
#[path = "kick_tests.rs"]
mod kick_tests;
