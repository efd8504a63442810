//! One step of the controlled scheduler: a vCPU performs the access that it is stopped before, and
//! runs to its next one.

use devices::apics::IpiEffect;

use super::ControlledMachine;
use super::check::Stored;
use super::device_access::is_of_interrupt_controller;
use super::granularity::Granularity;
use super::hash::{of_registers, tag};
use super::vcpu_context::{State, Taken};
use super::writers::Store;
use crate::choice::Choice;
use crate::cpu::Cpu;
use crate::end::End;
use crate::error::Result;
use crate::exit::{Bytes, Entry, Exit};
use crate::hook::ApicEvent;
use crate::trapped;

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
        let chosen = choice;
        // The fault strikes what it was offered for: before time passes.
        let left = self.with_fault(chosen)?;
        let ipi_effects = self.platform.tick();
        self.time_has_passed(ipi_effects)?;
        let Some(choice) = left else { return Ok(None) };
        let vcpu = choice.vcpu();
        if self.vcpus[vcpu as usize].state == State::WaitForSipi {
            // A late INIT has reset it just now.
            self.fault_lapses();
            return Ok(None);
        }
        self.last = Some(vcpu);
        self.progress.pass(vcpu);
        self.reexecute_to_exit(vcpu)?;
        self.vcpus[vcpu as usize].dirty = true;
        self.hook_choice(chosen);
        let accesses =
            matches!(self.vcpus[vcpu as usize].state, State::Access(_) | State::Waiting(_));
        self.walk_begins(vcpu, accesses)?;
        if self.granularity == Granularity::Instruction {
            return self.take_instruction(choice);
        }
        let state = std::mem::replace(&mut self.vcpus[vcpu as usize].state, State::Ready);
        let _bound = self.vcpus[vcpu as usize].cpu.bind_to_thread();
        let entry = match (choice, state) {
            // An interrupt is taken between two instructions, so the access is performed first.
            (Choice::Interrupt(_), State::Access(exit) | State::Waiting(exit)) => {
                // It may change which interrupt is taken, and whether one is.
                let decides = is_of_interrupt_controller(&exit);
                if !decides {
                    self.interrupt(vcpu);
                }
                let entry = self.perform(vcpu, &exit)?;
                if decides && self.vcpus[vcpu as usize].state != State::WaitForSipi {
                    self.interrupt(vcpu);
                }
                entry
            }
            (Choice::Interrupt(_), _) => {
                self.interrupt(vcpu);
                Ok(Entry::Resume)
            }
            (Choice::Step(_), State::Access(exit) | State::Waiting(exit)) => {
                self.perform(vcpu, &exit)?
            }
            (Choice::Step(_) | Choice::Fault(..), _) => Ok(Entry::Resume),
        };
        if self.vcpus[vcpu as usize].state == State::WaitForSipi {
            // It has sent an INIT to itself.
            return Ok(entry.err());
        }
        match entry {
            Ok(entry) => {
                self.hook_entry(vcpu, &entry);
                self.advance(vcpu, entry)
            }
            Err(ending) => Ok(Some(ending)),
        }
    }

    /// Lets the fault of a choice strike. Returns the transition that is left to make; `None` if
    /// no vCPU runs.
    fn with_fault(&mut self, choice: Choice) -> Result<Option<Choice>> {
        let Choice::Fault(vcpu, number) = choice else { return Ok(Some(choice)) };
        self.reexecute_to_exit(vcpu)?;
        self.vcpus[vcpu as usize].dirty = true;
        let left = self.strike(vcpu, number)?;
        if left.is_none() {
            self.hook_choice(choice);
        }
        Ok(left)
    }

    /// Handles the passing of virtual time: applies the effects of timers and calls due ticks.
    pub(super) fn time_has_passed(&mut self, ipi_effects: Vec<IpiEffect>) -> Result<()> {
        for effect in ipi_effects {
            self.apply_ipi_effect(effect)?;
        }
        self.hook_ticks();
        Ok(())
    }

    /// Has the vCPU take its pending interrupt, if there is one, before its next instruction.
    fn interrupt(&mut self, vcpu: u32) {
        if let Some(vector) = self.platform.apics.lapics[vcpu as usize].pending() {
            self.hook_apic(vcpu, ApicEvent::Interrupt { vector });
        }
        let vector = self.platform.apics.lapics[vcpu as usize].acknowledge();
        if let Some(vector) = vector {
            self.count_interrupt(vcpu, vector);
            self.hash.add([tag::INTERRUPT, vcpu.into(), vector.into()]);
            self.progress.note();
            let ctx = &mut self.vcpus[vcpu as usize];
            ctx.tracker.clear();
            ctx.shadow.taken = Some(Taken { vector, given: false });
        }
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
        let ctx = &mut self.vcpus[vcpu as usize];
        match ctx.breakpoints.finish_access(&mut ctx.cpu, &self.memory, answer, false)? {
            Some(Exit::MmioWrite { address, data }) if self.memory.is_trapped(address) => {
                self.check_store(vcpu, address, data.len(), None)?;
                self.hook_exit(vcpu, &Exit::MmioWrite { address, data: data.clone() });
                self.store(vcpu, address, &data, true)?;
            }
            // The instruction has faulted before its store: the load is treated as a plain one.
            None => {}
            Some(Exit::Kicked) => ctx.cpu.keep_kick(),
            // Another part of the load.
            Some(exit) => ctx.reached = Some(exit),
        }
        Ok(Entry::Resume)
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

    pub(super) fn note(&mut self, tag: u64, vcpu: u32, address: u64, data: &Bytes) -> Result<()> {
        let rip = self.vcpus[vcpu as usize].cpu.registers()?.rip;
        self.hash.add([tag, vcpu.into(), rip, address]);
        self.hash.add_bytes(data);
        Ok(())
    }
}
