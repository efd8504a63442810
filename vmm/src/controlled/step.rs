//! One choice: a vCPU does the access that it stands before, and runs to its next one.

use iced_x86::Mnemonic;

use super::ControlledMachine;
use super::check::Stored;
use super::choice::Choice;
use super::granularity::Granularity;
use super::hash::{of_registers, tag};
use super::outcome::{Ending, Problem};
use super::platform::{Platform, Signal};
use super::seat::State;
use super::single::Kept;
use super::writers::Store;
use crate::board::Answer;
use crate::cpu::Cpu;
use crate::error::Result;
use crate::exit::{Bytes, Entry, Exit};

impl ControlledMachine {
    /// Does what was chosen. `Some` if the run is over.
    pub(super) fn take(&mut self, choice: Choice) -> Result<Option<Ending>> {
        self.points += 1;
        if let Some(leash) = &mut self.leash {
            leash.pass();
        }
        let signals = self.platform.tick();
        self.time_has_passed(signals)?;
        let vcpu = choice.vcpu();
        self.last = Some(vcpu);
        self.idle.pass(vcpu);
        self.reach(vcpu)?;
        self.seats[vcpu as usize].touched = true;
        self.hook_choice(choice);
        if self.granularity == Granularity::Instruction {
            return self.take_instruction(choice);
        }
        let state = std::mem::replace(&mut self.seats[vcpu as usize].state, State::Ready);
        let entry = match (choice, state) {
            (Choice::Interrupt(_), state) => {
                self.interrupt(vcpu)?;
                match state {
                    // The access comes first: an interrupt is taken between two instructions.
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
                self.go(vcpu, entry)
            }
            Err(ending) => Ok(Some(ending)),
        }
    }

    /// Virtual time has passed, and this comes of it.
    pub(super) fn time_has_passed(&mut self, signals: Vec<Signal>) -> Result<()> {
        for signal in signals {
            self.signal(signal)?;
        }
        self.hook_ticks();
        Ok(())
    }

    /// Gives the vCPU its pending interrupt.
    fn interrupt(&mut self, vcpu: u32) -> Result<()> {
        if let Some(vector) = self.platform.lapics[vcpu as usize].acknowledge() {
            self.hash.add([tag::INTERRUPT, vcpu.into(), vector.into()]);
            self.idle.progress();
            let seat = &mut self.seats[vcpu as usize];
            seat.trail.clear();
            seat.cpu.interrupt(vector)?;
        }
        Ok(())
    }

    /// Does the access that a vCPU stands before.
    pub(super) fn perform(&mut self, vcpu: u32, exit: &Exit) -> Result<Result<Entry, Ending>> {
        self.hook_exit(vcpu, exit);
        match exit {
            Exit::MmioRead { address, size } if Platform::covers(*address) => {
                let value = self.platform.read(vcpu, *address);
                if Platform::is_clock(*address) {
                    self.idle.progress();
                }
                self.seats[vcpu as usize].trail.clear();
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
                self.idle.progress();
                self.seats[vcpu as usize].trail.clear();
                // Controllers have 32-bit registers; anything else is not theirs (SDM 11.4.1).
                if data.len() == 4 {
                    for signal in self.platform.write(vcpu, *address, u32::from_le_bytes(word)) {
                        self.signal(signal)?;
                    }
                }
                Ok(Ok(Entry::Resume))
            }
            Exit::MmioRead { address, size } if self.is_watched(*address) => {
                self.load(vcpu, *address, *size).map(Ok)
            }
            Exit::MmioWrite { address, data } if self.is_watched(*address) => {
                self.store(vcpu, *address, data)?;
                Ok(Ok(Entry::Resume))
            }
            exit => self.ask_the_board(vcpu, exit),
        }
    }

    /// A load from a watched page; a locked instruction's store belongs to it.
    fn load(&mut self, vcpu: u32, address: u64, size: u8) -> Result<Entry> {
        let mut data = Bytes::from_elem(0, usize::from(size));
        self.memory.read(address, &mut data)?;
        self.note(tag::READ, vcpu, address, &data)?;
        let seat = &mut self.seats[vcpu as usize];
        seat.trail.read(address, &data);
        let (rip, system) = (seat.cpu.registers()?.rip, seat.cpu.system_registers()?);
        let instruction = self.instructions.at(rip, &system, &self.memory);
        if !instruction.is_some_and(|decoded| decoded.locked) {
            return Ok(Entry::Data(data));
        }
        let answer = Entry::Data(data);
        self.hook_entry(vcpu, &answer);
        match self.seats[vcpu as usize].cpu.run(answer)? {
            Exit::MmioWrite { address, data } if self.is_watched(address) => {
                self.check_store(vcpu, address, data.len(), None)?;
                self.hook_exit(vcpu, &Exit::MmioWrite { address, data: data.clone() });
                self.store(vcpu, address, &data)?;
                Ok(Entry::Resume)
            }
            // A locked instruction that faulted or was interrupted before its store: it is as if
            // the load had been a plain one, and what came instead is next.
            other => {
                self.seats[vcpu as usize].state = State::Access(other);
                Ok(Entry::Resume)
            }
        }
    }

    fn store(&mut self, vcpu: u32, address: u64, data: &Bytes) -> Result<()> {
        let mut before = Bytes::from_elem(0, data.len());
        self.memory.read(address, &mut before)?;
        self.note(tag::WRITE, vcpu, address, data)?;
        let seat = &mut self.seats[vcpu as usize];
        let registers = of_registers(&seat.cpu.registers()?);
        seat.stored = Some(Stored { registers, address });
        if before == *data {
            // Nothing has changed for anybody: a spin lock's XCHG is no progress.
            self.seats[vcpu as usize].trail.read(address, data);
            return Ok(());
        }
        self.memory.write(address, data)?;
        let rip = self.seats[vcpu as usize].cpu.registers()?.rip;
        let store = Store { address, value: data.clone(), vcpu, rip, point: self.points };
        self.writers.put(store);
        self.changed(vcpu, address, data.len());
        Ok(())
    }

    /// A vCPU has changed shared bytes: it gets on, and so may those that read them.
    pub(super) fn changed(&mut self, vcpu: u32, address: u64, length: usize) {
        self.idle.progress();
        for (id, seat) in (0..).zip(&mut self.seats) {
            if id == vcpu || seat.trail.watches(address, length) {
                seat.wake();
            }
        }
    }

    fn ask_the_board(&mut self, vcpu: u32, exit: &Exit) -> Result<Result<Entry, Ending>> {
        let seat = &mut self.seats[vcpu as usize];
        seat.trail.clear();
        let mut signals = Vec::new();
        let answer = match exit {
            Exit::PortRead { port, size: 1, count: 1 } if Platform::covers_port(*port) => {
                let (value, asked) = self.platform.read_port(*port);
                signals = asked;
                self.idle.progress();
                Answer::Enter(Entry::Data(Bytes::from_slice(&[value])))
            }
            Exit::PortWrite { port, size: 1, data } if Platform::covers_port(*port) => {
                let platform = &mut self.platform;
                signals = data.iter().flat_map(|byte| platform.write_port(*port, *byte)).collect();
                Answer::Enter(Entry::Resume)
            }
            exit => self.board.answer(&mut seat.cpu, exit)?,
        };
        match exit {
            Exit::PortWrite { port, data, .. } => {
                self.idle.progress();
                self.hash.add([tag::PORT_WRITE, vcpu.into(), (*port).into()]);
                self.hash.add_bytes(data);
            }
            Exit::PortRead { port, .. } => {
                self.hash.add([tag::PORT_READ, vcpu.into(), (*port).into()]);
                if let Answer::Enter(Entry::Data(data)) = &answer {
                    self.hash.add_bytes(data);
                }
            }
            _ => {}
        }
        for signal in signals {
            self.signal(signal)?;
        }
        Ok(match answer {
            Answer::Enter(entry) => Ok(entry),
            Answer::Mark => {
                self.marked = true;
                Ok(Entry::Resume)
            }
            Answer::End(code) => Err(Ending::Guest { code }),
            Answer::Unanswered => Err(self.problem(vcpu, exit.clone())?),
        })
    }

    /// Runs a vCPU to its next scheduling point.
    fn go(&mut self, vcpu: u32, mut entry: Entry) -> Result<Option<Ending>> {
        self.seats[vcpu as usize].cpu.bind_to_thread();
        loop {
            // `load` has already run into the next access.
            if let State::Access(_) = self.seats[vcpu as usize].state {
                return Ok(None);
            }
            let wanted = self.platform.lapics[vcpu as usize].pending().is_some()
                && !self.seats[vcpu as usize].cpu.takes_interrupts()
                && !self.stands_at_halt(vcpu)?;
            let seat = &mut self.seats[vcpu as usize];
            seat.set_stepping(wanted)?;
            let stored = seat.stored.take();
            let exit = seat.cpu.run(entry)?;
            entry = Entry::Resume;
            self.check_tables(vcpu)?;
            let seat = &mut self.seats[vcpu as usize];
            match exit {
                // Interrupts are on again: whether the pending one is taken here is a choice.
                Exit::Debug { .. } if seat.cpu.takes_interrupts() => return Ok(None),
                Exit::Kicked => {
                    let Some(leash) = &mut self.leash else { continue };
                    if leash.pulls() {
                        return match self.explain(vcpu, None)? {
                            Some(error) => Err(error),
                            None => Ok(Some(Ending::Runaway { vcpu })),
                        };
                    }
                }
                Exit::InterruptWindow | Exit::Debug { .. } => {}
                Exit::MsrWrite { index, value } => {
                    seat.deep = true;
                    seat.cpu.write_msr(index, value)?;
                    self.hook_exit(vcpu, &Exit::MsrWrite { index, value });
                }
                Exit::Halt => {
                    seat.state = State::Halted;
                    self.hook_exit(vcpu, &Exit::Halt);
                    self.idle.progress();
                    self.hash.add([tag::HALT, vcpu.into()]);
                    return Ok(None);
                }
                exit @ (Exit::MmioRead { .. }
                | Exit::MmioWrite { .. }
                | Exit::PortRead { .. }
                | Exit::PortWrite { .. }) => {
                    match &exit {
                        Exit::MmioRead { address, size } if self.is_watched(*address) => {
                            self.check_load(vcpu, *address, (*size).into())?;
                        }
                        Exit::MmioWrite { address, data } if self.is_watched(*address) => {
                            self.check_store(vcpu, *address, data.len(), stored)?;
                        }
                        _ => {}
                    }
                    self.park(vcpu, exit)?;
                    return Ok(None);
                }
                exit => {
                    seat.deep = true;
                    self.hook_exit(vcpu, &exit);
                    return self.problem(vcpu, exit).map(Some);
                }
            }
        }
    }

    /// The end of a run by an exit that nothing answers.
    pub(super) fn problem(&mut self, vcpu: u32, exit: Exit) -> Result<Ending> {
        match self.explain(vcpu, Some(&exit))? {
            Some(error) => Err(error),
            None => Ok(Ending::Problem(Problem { vcpu, exit })),
        }
    }

    /// The vCPU stands before an access. Has it been there before?
    fn park(&mut self, vcpu: u32, exit: Exit) -> Result<()> {
        let watched_read =
            matches!(exit, Exit::MmioRead { address, .. } if self.is_watched(address));
        let seat = &mut self.seats[vcpu as usize];
        let longest = self.granularity.longest_loop();
        let round =
            watched_read && seat.trail.arrive(of_registers(&seat.cpu.registers()?), longest);
        seat.state = if round { State::Waiting(exit) } else { State::Access(exit) };
        Ok(())
    }

    fn stands_at_halt(&mut self, vcpu: u32) -> Result<bool> {
        let seat = &mut self.seats[vcpu as usize];
        let (rip, system) = (seat.cpu.registers()?.rip, seat.cpu.system_registers()?);
        let instruction = self.instructions.at(rip, &system, &self.memory);
        Ok(instruction.is_some_and(|decoded| decoded.instruction.mnemonic() == Mnemonic::Hlt))
    }

    /// Does to a vCPU what an IPI asks.
    pub(super) fn signal(&mut self, signal: Signal) -> Result<()> {
        match signal {
            Signal::Init(vcpu) => {
                let seat = &mut self.seats[vcpu as usize];
                let (registers, system) = seat.reset;
                // An access that it was about to do is forgotten.
                seat.set_stepping(false)?;
                seat.cpu.settle()?;
                seat.cpu.set_system_registers(&system)?;
                seat.cpu.set_registers(&registers)?;
                seat.trail.clear();
                seat.reach = None;
                seat.touched = true;
                (seat.kept, seat.interruptible) = (Kept::default(), false);
                seat.state = State::WaitForSipi;
            }
            Signal::Startup(vcpu, page) => {
                let seat = &mut self.seats[vcpu as usize];
                if seat.state == State::WaitForSipi {
                    let (mut registers, mut system) = seat.reset;
                    system.cs.selector = u16::from(page) << 8;
                    system.cs.base = u64::from(page) << 12;
                    registers.rip = 0;
                    seat.cpu.set_system_registers(&system)?;
                    seat.cpu.set_registers(&registers)?;
                    seat.state = State::Ready;
                    (seat.touched, seat.armed) = (true, false);
                }
            }
            Signal::Nmi(vcpu) => {
                let seat = &mut self.seats[vcpu as usize];
                seat.touched = true;
                match (&mut seat.reach, self.granularity) {
                    (_, Granularity::Instruction) => seat.kept.nmi_pending = true,
                    (Some(reach), _) => reach.nmi = true,
                    (None, _) => seat.cpu.nmi()?,
                }
                seat.wake();
                if seat.state == State::Halted {
                    seat.state = State::Ready;
                }
            }
        }
        Ok(())
    }

    pub(super) fn is_watched(&self, address: u64) -> bool {
        self.memory.watched().iter().any(|range| range.contains(&address))
    }

    fn note(&mut self, tag: u64, vcpu: u32, address: u64, data: &Bytes) -> Result<()> {
        let rip = self.seats[vcpu as usize].cpu.registers()?.rip;
        self.hash.add([tag, vcpu.into(), rip, address]);
        self.hash.add_bytes(data);
        Ok(())
    }
}
