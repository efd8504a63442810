//! One step of the controlled scheduler: a vCPU performs the access that it is stopped before, and
//! runs to its next one.

use super::ControlledMachine;
use super::check::Stored;
use super::emulate::MSR_TSC;
use super::endless::AfterKick;
use super::granularity::Granularity;
use super::hash::{of_registers, tag};
use super::outcome::{Ending, Problem};
use super::platform::{IpiEffect, Platform};
use super::vcpu_context::State;
use super::writers::Store;
use crate::board::IoResult;
use crate::breakpoints::Want;
use crate::choice::Choice;
use crate::cpu::Cpu;
use crate::error::Result;
use crate::exit::{Bytes, Entry, Exit, little};
use crate::hook::{Access, ApicEvent, MsrAccess};

const NMI: u8 = 2;
/// The number of single steps that a vCPU may take without a scheduling point before the limit on
/// its time applies.
const MAX_SINGLE_STEPS: u64 = 1_000_000;
/// The number of scheduling points, about 10 ms, between checks whether the run has been cancelled.
const CANCEL_CHECK_POINTS: u64 = 1000;

impl ControlledMachine {
    /// Performs a choice. `Some` if the run is over.
    pub(super) fn take(&mut self, choice: Choice) -> Result<Option<Ending>> {
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
        if let Some(vector) = self.platform.lapics[vcpu as usize].pending() {
            self.hook_apic(vcpu, ApicEvent::Interrupt { vector });
        }
        let vector = self.platform.lapics[vcpu as usize].acknowledge();
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
    pub(super) fn perform(&mut self, vcpu: u32, exit: &Exit) -> Result<Result<Entry, Ending>> {
        if let Some(read) = self.clock_ports.read_at(exit) {
            self.read_clock(vcpu, read)?;
            return Ok(Ok(Entry::Resume));
        }
        self.hook_exit(vcpu, exit);
        match exit {
            Exit::MmioRead { address, size } if Platform::covers(*address) => {
                let value = self.platform.read(vcpu, *address);
                self.hook_apic_read(vcpu, *address, value);
                if Platform::is_clock(*address) {
                    self.looks_at_clock(vcpu);
                } else {
                    self.vcpus[vcpu as usize].tracker.clear();
                }
                let mut data = Bytes::from_slice(&value.to_le_bytes());
                data.resize(usize::from(*size), 0);
                self.note(tag::READ, vcpu, *address, &data)?;
                Ok(Ok(Entry::Data(data)))
            }
            Exit::MmioWrite { address, data } if Platform::covers(*address) => {
                let mut word = [0; 4];
                let length = data.len().min(4);
                word[..length].copy_from_slice(&data[..length]);
                self.note(tag::WRITE, vcpu, *address, data)?;
                self.progress.note();
                self.vcpus[vcpu as usize].tracker.clear();
                // The controllers have 32-bit registers; accesses of other sizes are ignored (SDM
                // 11.4.1).
                if data.len() == 4 {
                    self.hook_apic_write(vcpu, *address, u32::from_le_bytes(word));
                    for effect in self.platform.write(vcpu, *address, u32::from_le_bytes(word)) {
                        self.apply_ipi_effect(effect)?;
                    }
                    // The write may have changed the task priority, which is also CR8.
                    let cr8 = self.platform.lapics[vcpu as usize].cr8();
                    self.vcpus[vcpu as usize].cpu.set_cr8(cr8);
                }
                Ok(Ok(Entry::Resume))
            }
            Exit::MmioRead { address, size } if self.memory.is_trapped(*address) => {
                self.load(vcpu, *address, *size).map(Ok)
            }
            Exit::MmioWrite { address, data } if self.memory.is_trapped(*address) => {
                self.store(vcpu, *address, data, false)?;
                Ok(Ok(Entry::Resume))
            }
            exit => self.ask_the_board(vcpu, exit),
        }
    }

    /// A load from a trapped page. If a locked instruction loads, its store is performed, too.
    fn load(&mut self, vcpu: u32, address: u64, size: u8) -> Result<Entry> {
        let mut data = Bytes::from_elem(0, usize::from(size));
        self.memory.read(address, &mut data)?;
        self.note(tag::READ, vcpu, address, &data)?;
        let ctx = &mut self.vcpus[vcpu as usize];
        ctx.tracker.read(address, &data);
        let (rip, system) = (ctx.cpu.registers()?.rip, ctx.cpu.system_registers()?);
        let instruction = self.instructions.at(rip, &system, &self.memory);
        let locked = instruction.is_some_and(|decoded| decoded.locked);
        let value = little(&data);
        self.hook_access(vcpu, || Access {
            address,
            size,
            write: false,
            value,
            before: value,
            locked,
            rip,
        });
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
        let mut before = Bytes::from_elem(0, data.len());
        self.memory.read(address, &mut before)?;
        self.note(tag::WRITE, vcpu, address, data)?;
        let ctx = &mut self.vcpus[vcpu as usize];
        let registers = of_registers(&ctx.cpu.registers()?);
        ctx.stored = Some(Stored { registers, address });
        let rip = ctx.cpu.registers()?.rip;
        let changes = before != *data;
        if changes {
            self.memory.write(address, data)?;
        }
        self.hook_access(vcpu, || Access {
            address,
            size: data.len() as u8,
            write: true,
            value: little(data),
            before: little(&before),
            locked,
            rip,
        });
        if !changes {
            // Nothing has changed for any vCPU: the XCHG of a spin lock is not progress.
            self.vcpus[vcpu as usize].tracker.read(address, data);
            return Ok(());
        }
        let store = Store { address, value: data.clone(), vcpu, rip, point: self.points };
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

    fn ask_the_board(&mut self, vcpu: u32, exit: &Exit) -> Result<Result<Entry, Ending>> {
        if matches!(exit, Exit::PortRead { port, size: 1, .. } if Platform::is_clock_port(*port)) {
            self.looks_at_clock(vcpu);
        } else {
            self.vcpus[vcpu as usize].tracker.clear();
        }
        let ctx = &mut self.vcpus[vcpu as usize];
        let mut ipi_effects = Vec::new();
        let answer = match exit {
            Exit::PortRead { port, size: 1, count: 1 } if Platform::covers_port(*port) => {
                let (value, asked) = self.platform.read_port(*port);
                ipi_effects = asked;
                if !Platform::is_clock_port(*port) {
                    self.progress.note();
                }
                IoResult::Enter(Entry::Data(Bytes::from_slice(&[value])))
            }
            Exit::PortWrite { port, size: 1, data } if Platform::covers_port(*port) => {
                let platform = &mut self.platform;
                ipi_effects =
                    data.iter().flat_map(|byte| platform.write_port(*port, *byte)).collect();
                IoResult::Enter(Entry::Resume)
            }
            exit => self.board.answer(&mut ctx.cpu, exit)?,
        };
        match exit {
            Exit::PortWrite { port, data, .. } => {
                self.progress.note();
                self.hash.add([tag::PORT_WRITE, vcpu.into(), (*port).into()]);
                self.hash.add_bytes(data);
            }
            Exit::PortRead { port, .. } => {
                self.hash.add([tag::PORT_READ, vcpu.into(), (*port).into()]);
                if let IoResult::Enter(Entry::Data(data)) = &answer {
                    self.hash.add_bytes(data);
                }
            }
            _ => {}
        }
        for effect in ipi_effects {
            self.apply_ipi_effect(effect)?;
        }
        Ok(match answer {
            IoResult::Enter(entry) => Ok(entry),
            IoResult::Mark => {
                self.marked = true;
                Ok(Entry::Resume)
            }
            IoResult::End(code) => Err(Ending::Guest { code }),
            IoResult::Met(met) => Err(Ending::Met(met)),
            IoResult::Unanswered => Err(self.problem(vcpu, exit.clone())?),
        })
    }

    /// Runs a vCPU to its next scheduling point. `interrupt` has been queued for the vCPU.
    fn go(&mut self, vcpu: u32, mut entry: Entry, interrupt: Option<u8>) -> Result<Option<Ending>> {
        let ctx = &mut self.vcpus[vcpu as usize];
        let _bound = ctx.cpu.bind_to_thread();
        let mut interrupt = interrupt.or(std::mem::take(&mut ctx.nmi).then_some(NMI));
        let steps = ctx.breakpoints.steps();
        // An exit that was reached by single steps.
        let mut found = None;
        loop {
            // `load` has already run to the next access.
            if let State::Access(_) = self.vcpus[vcpu as usize].state {
                return Ok(None);
            }
            let wanted = self.platform.lapics[vcpu as usize].pending().is_some()
                && !self.vcpus[vcpu as usize].cpu.takes_interrupts();
            let stored = self.vcpus[vcpu as usize].stored.take();
            let exit = match found.take() {
                None => self.look_ahead(vcpu, &mut entry)?,
                found => found,
            };
            let exit = if let Some(exit) = exit {
                exit
            } else {
                let step = wanted || self.iterations.is_some();
                let want = Want { step, interrupt: interrupt.take() };
                self.run_on(vcpu, std::mem::replace(&mut entry, Entry::Resume), want)?
            };
            self.check_tables(vcpu)?;
            let ctx = &mut self.vcpus[vcpu as usize];
            match exit {
                // Interrupts are enabled again: whether the pending one is taken here is a choice.
                Exit::Debug { .. } if wanted && ctx.cpu.takes_interrupts() => return Ok(None),
                Exit::Kicked => {
                    let slow = ctx.breakpoints.must_step();
                    let patient = slow && ctx.breakpoints.steps() - steps < MAX_SINGLE_STEPS;
                    if patient {
                        self.cancel.check()?;
                        continue;
                    }
                    match self.look_at_runaway(vcpu)? {
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
                Exit::MsrWrite { index, value } => {
                    ctx.extended_dirty = true;
                    self.hook_exit(vcpu, &Exit::MsrWrite { index, value });
                    self.hook_msr(vcpu, &MsrAccess { index, write: true, value: Some(value) });
                    self.vcpus[vcpu as usize].cpu.write_msr(index, value)?;
                }
                Exit::MsrRead { index: MSR_TSC } => self.read_tsc_msr(vcpu),
                Exit::MsrRead { index } => {
                    self.hook_exit(vcpu, &Exit::MsrRead { index });
                    let value = self.vcpus[vcpu as usize].cpu.read_msr(index)?;
                    self.hook_msr(vcpu, &MsrAccess { index, write: false, value });
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
        let pending = self.platform.lapics[vcpu as usize].pending().is_some();
        pending && self.vcpus[vcpu as usize].cpu.takes_interrupts()
    }

    /// Ends a run because of an exit that nothing answers.
    pub(super) fn problem(&mut self, vcpu: u32, exit: Exit) -> Result<Ending> {
        match self.explain(vcpu, Some(&exit))? {
            Some(error) => Err(error),
            None => Ok(Ending::Problem(Problem { vcpu, exit })),
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
