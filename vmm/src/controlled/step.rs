//! One step of the controlled scheduler: a vCPU performs the access that it is stopped before, and
//! runs to its next one.

use devices::apics::{Apics, IpiEffect};
use devices::device::ReadKind;

use super::ControlledMachine;
use super::check::Stored;
use super::emulate::MSR_TSC;
use super::endless::AfterKick;
use super::granularity::Granularity;
use super::hash::{of_registers, tag};
use super::vcpu_context::State;
use super::writers::Store;
use crate::board::IoResult;
use crate::breakpoints::Want;
use crate::choice::Choice;
use crate::cpu::Cpu;
use crate::end::End;
use crate::error::Result;
use crate::exit::{Bytes, Entry, Exit, little};
use crate::hook::ApicEvent;
use crate::trapped;

/// The number of single steps that a vCPU may take without a scheduling point before the limit on
/// its time applies.
const MAX_SINGLE_STEPS: u64 = 1_000_000;
/// The number of scheduling points, about 10 ms, between checks whether the run has been cancelled.
const CANCEL_CHECK_POINTS: u64 = 1000;

impl ControlledMachine {
    /// Performs a choice. `Some` if the run is over.
    pub(super) fn take(&mut self, choice: Choice) -> Result<Option<End>> {
        self.points += 1;
        if self.points.is_multiple_of(CANCEL_CHECK_POINTS) {
            self.cancel.check()?;
        }
        if let Some(timer) = &mut self.runaway {
            timer.pass();
        }
        let ipi_effects = self.platform.tick();
        self.time_has_passed(ipi_effects)?;
        let vcpu = choice.vcpu();
        self.last = Some(vcpu);
        self.progress.pass(vcpu);
        self.reexecute_to_exit(vcpu)?;
        self.vcpus[vcpu as usize].dirty = true;
        self.hook_choice(choice);
        if self.granularity == Granularity::Instruction {
            return self.take_instruction(choice);
        }
        let state = std::mem::replace(&mut self.vcpus[vcpu as usize].state, State::Ready);
        let mut interrupt = None;
        let entry = match (choice, state) {
            (Choice::Interrupt(_), state) => {
                interrupt = self.interrupt(vcpu)?;
                match state {
                    // The access is performed first, because an interrupt is taken between two
                    // instructions.
                    State::Access(exit) | State::Waiting(exit) => self.perform(vcpu, &exit)?,
                    _ => Ok(Entry::Resume),
                }
            }
            (Choice::Step(_), State::Access(exit) | State::Waiting(exit)) => {
                self.perform(vcpu, &exit)?
            }
            (Choice::Step(_), _) => Ok(Entry::Resume),
        };
        match entry {
            Ok(entry) => {
                self.hook_entry(vcpu, &entry);
                self.go(vcpu, entry, interrupt)
            }
            Err(ending) => Ok(Some(ending)),
        }
    }

    /// Handles the passing of virtual time: applies the effects of timers and calls due ticks.
    pub(super) fn time_has_passed(&mut self, ipi_effects: Vec<IpiEffect>) -> Result<()> {
        for effect in ipi_effects {
            self.apply_ipi_effect(effect)?;
        }
        self.hook_ticks();
        Ok(())
    }

    /// Queues the vCPU's pending interrupt, and returns its vector.
    fn interrupt(&mut self, vcpu: u32) -> Result<Option<u8>> {
        if let Some(vector) = self.platform.apics.lapics[vcpu as usize].pending() {
            self.hook_apic(vcpu, ApicEvent::Interrupt { vector });
        }
        let vector = self.platform.apics.lapics[vcpu as usize].acknowledge();
        if let Some(vector) = vector {
            self.hash.add([tag::INTERRUPT, vcpu.into(), vector.into()]);
            self.progress.note();
            let ctx = &mut self.vcpus[vcpu as usize];
            ctx.tracker.clear();
            ctx.cpu.interrupt(vector)?;
        }
        Ok(vector)
    }

    /// Performs the access that a vCPU is stopped before.
    pub(super) fn perform(&mut self, vcpu: u32, exit: &Exit) -> Result<Result<Entry, End>> {
        if let Some(read) = self.clock_ports.read_at(exit) {
            self.read_clock(vcpu, read)?;
            return Ok(Ok(Entry::Resume));
        }
        self.hook_exit(vcpu, exit);
        match exit {
            Exit::MmioRead { address, size } if self.memory.is_trapped(*address) => {
                self.load(vcpu, *address, *size).map(Ok)
            }
            Exit::MmioWrite { address, data } if self.memory.is_trapped(*address) => {
                self.store(vcpu, *address, data, false)?;
                Ok(Ok(Entry::Resume))
            }
            exit => self.ask_devices(vcpu, exit),
        }
    }

    /// A load from a trapped page. If a locked instruction loads, its store is performed, too.
    fn load(&mut self, vcpu: u32, address: u64, size: u8) -> Result<Entry> {
        let cpu = &mut self.vcpus[vcpu as usize].cpu;
        let (rip, system) = (cpu.registers()?.rip, cpu.system_registers()?);
        let instruction = self.instructions.at(rip, &system, &self.memory);
        let locked = instruction.is_some_and(|decoded| decoded.locked);
        let (access, data) = trapped::load(&self.memory, address, size, locked, rip)?;
        self.note(tag::READ, vcpu, address, &data)?;
        self.vcpus[vcpu as usize].tracker.read(address, &data);
        self.hook_access(vcpu, &access);
        if !locked {
            return Ok(Entry::Data(data));
        }
        let answer = Entry::Data(data);
        self.hook_entry(vcpu, &answer);
        match self.vcpus[vcpu as usize].cpu.run(answer)? {
            Exit::MmioWrite { address, data } if self.memory.is_trapped(address) => {
                self.check_store(vcpu, address, data.len(), None)?;
                self.hook_exit(vcpu, &Exit::MmioWrite { address, data: data.clone() });
                self.store(vcpu, address, &data, true)?;
                Ok(Entry::Resume)
            }
            // A locked instruction faulted or was interrupted before its store: the load is treated
            // as a plain one, and this exit comes next.
            other => {
                self.vcpus[vcpu as usize].state = State::Access(other);
                Ok(Entry::Resume)
            }
        }
    }

    fn store(&mut self, vcpu: u32, address: u64, data: &Bytes, locked: bool) -> Result<()> {
        let registers = self.vcpus[vcpu as usize].cpu.registers()?;
        let access = trapped::store(&self.memory, address, data, locked, registers.rip)?;
        self.note(tag::WRITE, vcpu, address, data)?;
        let registers_hash = of_registers(&registers);
        self.vcpus[vcpu as usize].stored = Some(Stored { registers: registers_hash, address });
        self.hook_access(vcpu, &access);
        let changes = access.value != access.before;
        if !changes {
            // Nothing has changed for any vCPU: the XCHG of a spin lock is not progress.
            self.vcpus[vcpu as usize].tracker.read(address, data);
            return Ok(());
        }
        let (rip, point) = (access.rip, self.points);
        let store = Store { address, value: data.clone(), vcpu, rip, point };
        self.writers.put(store);
        self.changed(vcpu, address, data.len());
        Ok(())
    }

    /// Records that a vCPU has changed shared bytes: this vCPU makes progress, and the vCPUs that
    /// read these bytes may do so, too.
    pub(super) fn changed(&mut self, vcpu: u32, address: u64, length: usize) {
        self.progress.note();
        for (id, ctx) in (0..).zip(&mut self.vcpus) {
            if id == vcpu || ctx.tracker.watches(address, length) {
                ctx.wake();
            }
        }
    }

    /// Has the devices or the interrupt controllers answer an exit.
    fn ask_devices(&mut self, vcpu: u32, exit: &Exit) -> Result<Result<Entry, End>> {
        match self.platform.read_kind(exit) {
            ReadKind::Clock => self.looks_at_clock(vcpu),
            kind => {
                self.vcpus[vcpu as usize].tracker.clear();
                if kind == ReadKind::Changes {
                    self.progress.note();
                }
            }
        }
        // A write to an address without a device changes nothing. (Ports are not told apart.)
        let writes = match exit {
            Exit::PortWrite { .. } => true,
            Exit::MmioWrite { address, .. } => self.platform.has(*address),
            _ => false,
        };
        if writes {
            self.progress.note();
        }
        if let Some((address, value)) = register_write(exit) {
            self.hook_apic_write(vcpu, address, value);
        }
        let answer = self.platform.answer(vcpu, &mut self.vcpus[vcpu as usize].cpu, exit)?;
        self.hash_answer(vcpu, exit, &answer)?;
        for effect in self.platform.apics.take_effects() {
            self.apply_ipi_effect(effect)?;
        }
        match (exit, &answer) {
            (Exit::MmioRead { address, .. }, IoResult::Enter(Entry::Data(data))) => {
                self.hook_apic_read(vcpu, *address, little(data) as u32);
            }
            (Exit::MmioWrite { address, .. }, _) if Apics::covers(*address) => {
                // The write may have changed the task priority, which is also CR8.
                let cr8 = self.platform.apics.lapics[vcpu as usize].cr8();
                self.vcpus[vcpu as usize].cpu.set_cr8(cr8);
            }
            _ => {}
        }
        Ok(match answer {
            IoResult::Enter(entry) => Ok(entry),
            IoResult::Mark => {
                self.marked = true;
                Ok(Entry::Resume)
            }
            IoResult::End(code) => Err(End::Guest { code }),
            IoResult::Met(met) => Err(End::Met(met)),
            IoResult::Unanswered => Err(self.problem(vcpu, exit.clone())?),
        })
    }

    /// Adds an access to a device to the hash of the run. An address without a device always gives
    /// the same.
    fn hash_answer(&mut self, vcpu: u32, exit: &Exit, answer: &IoResult) -> Result<()> {
        match (exit, answer) {
            (Exit::PortWrite { port, data, .. }, _) => {
                self.hash.add([tag::PORT_WRITE, vcpu.into(), (*port).into()]);
                self.hash.add_bytes(data);
            }
            (Exit::PortRead { port, .. }, answer) => {
                self.hash.add([tag::PORT_READ, vcpu.into(), (*port).into()]);
                if let IoResult::Enter(Entry::Data(data)) = answer {
                    self.hash.add_bytes(data);
                }
            }
            (Exit::MmioWrite { address, data }, _) if self.platform.has(*address) => {
                self.note(tag::WRITE, vcpu, *address, data)?;
            }
            (Exit::MmioRead { address, .. }, IoResult::Enter(Entry::Data(data)))
                if self.platform.has(*address) =>
            {
                self.note(tag::READ, vcpu, *address, data)?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Runs a vCPU to its next scheduling point. `interrupt` has been queued for the vCPU.
    fn go(
        &mut self,
        vcpu: u32,
        mut entry: Entry,
        mut interrupt: Option<u8>,
    ) -> Result<Option<End>> {
        let ctx = &mut self.vcpus[vcpu as usize];
        let _bound = ctx.cpu.bind_to_thread();
        let steps = ctx.breakpoints.steps();
        // An exit that was reached by single steps.
        let mut found = None;
        // What was masked before a kick. A kick changes nothing here: it may have come where
        // interrupts are disabled for a moment, or, on hosts where IRET and the next instruction
        // are one step, between the two.
        let mut before_kick = None;
        loop {
            // `load` has already run to the next access.
            if let State::Access(_) = self.vcpus[vcpu as usize].state {
                return Ok(None);
            }
            let masked = if let Some(masked) = before_kick.take() {
                masked
            } else {
                interrupt = self.take_nmi(vcpu)?.or(interrupt);
                self.masked(vcpu)
            };
            let stored = self.vcpus[vcpu as usize].stored.take();
            let exit = match found.take() {
                None => self.look_ahead(vcpu, &mut entry)?,
                found => found,
            };
            let exit = if let Some(exit) = exit {
                exit
            } else {
                let step = masked.any() || self.iterations.is_some();
                let want = Want { step, interrupt };
                self.run_on(vcpu, std::mem::replace(&mut entry, Entry::Resume), want)?
            };
            self.check_tables(vcpu)?;
            let ctx = &mut self.vcpus[vcpu as usize];
            // A kick may have come before the interrupt was delivered.
            if exit != Exit::Kicked || !ctx.cpu.is_interrupt_queued()? {
                interrupt = None;
            }
            match exit {
                // Interrupts are enabled again: whether the pending one is taken here is a choice.
                Exit::Debug { .. } if masked.interrupt && ctx.cpu.takes_interrupts() => {
                    return Ok(None);
                }
                Exit::Kicked => {
                    before_kick = Some(masked);
                    let slow = ctx.breakpoints.must_step();
                    let patient = slow && ctx.breakpoints.steps() - steps < MAX_SINGLE_STEPS;
                    if patient {
                        self.cancel.check()?;
                        continue;
                    }
                    match self.look_at_runaway(vcpu, masked)? {
                        AfterKick::GoesOn => {}
                        AfterKick::Exit(exit) => found = Some(exit),
                        AfterKick::Stands => return Ok(None),
                        AfterKick::Ends(ending) => return Ok(Some(ending)),
                    }
                }
                Exit::Debug { .. } => self.look_back(vcpu)?,
                Exit::InterruptWindow => {}
                // Whether the interrupt is taken here is a choice, as after STI.
                Exit::TaskPriority => {
                    if self.takes_pending_interrupt(vcpu) {
                        return Ok(None);
                    }
                }
                Exit::MsrWrite { index: MSR_TSC, value } => self.write_tsc_msr(vcpu, value),
                Exit::MsrRead { index: MSR_TSC } => self.read_tsc_msr(vcpu),
                exit @ (Exit::MsrRead { .. } | Exit::MsrWrite { .. }) => {
                    self.access_msr(vcpu, &exit)?;
                }
                Exit::Halt => {
                    ctx.state = State::Halted;
                    self.hook_exit(vcpu, &Exit::Halt);
                    self.hook_apic(vcpu, ApicEvent::Halt);
                    self.progress.note();
                    self.hash.add([tag::HALT, vcpu.into()]);
                    return Ok(None);
                }
                exit @ (Exit::MmioRead { .. }
                | Exit::MmioWrite { .. }
                | Exit::PortRead { .. }
                | Exit::PortWrite { .. }) => {
                    match &exit {
                        Exit::MmioRead { address, size } if self.memory.is_trapped(*address) => {
                            self.check_load(vcpu, *address, (*size).into())?;
                        }
                        Exit::MmioWrite { address, data } if self.memory.is_trapped(*address) => {
                            self.check_store(vcpu, *address, data.len(), stored)?;
                        }
                        _ => {}
                    }
                    self.park(vcpu, exit)?;
                    return Ok(None);
                }
                exit => {
                    ctx.extended_dirty = true;
                    self.hook_exit(vcpu, &exit);
                    return self.problem(vcpu, exit).map(Some);
                }
            }
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

    fn note(&mut self, tag: u64, vcpu: u32, address: u64, data: &Bytes) -> Result<()> {
        let rip = self.vcpus[vcpu as usize].cpu.registers()?.rip;
        self.hash.add([tag, vcpu.into(), rip, address]);
        self.hash.add_bytes(data);
        Ok(())
    }
}

/// A 32-bit write to a register of an interrupt controller: its address and value.
fn register_write(exit: &Exit) -> Option<(u64, u32)> {
    let Exit::MmioWrite { address, data } = exit else { return None };
    let value = u32::from_le_bytes(data.as_slice().try_into().ok()?);
    Apics::covers(*address).then_some((*address, value))
}

#[cfg(test)]
#[path = "kick_tests.rs"]
mod kick_tests;
