//! The devices of a machine, and how they answer the exits of its vCPUs.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use devices::backdoor::{Backdoor, CallRegisters, RegisterPort};
use devices::console::{COM1, COM1_IRQ, Console, ConsoleState, Line, NoLine};
use devices::control::{ControlPorts, END_PORT};
use devices::{Effect, PortBus};

use crate::cpu::Cpu;
use crate::criteria::{ConsoleMatcher, Criteria, Met};
use crate::error::Result;
use crate::exit::{Bytes, Entry, Exit};
use crate::identity::{Frequencies, Identity};
use crate::kvm::Vm;

/// The result of answering an exit.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum IoResult {
    /// The vCPU runs on with this answer.
    Enter(Entry),
    /// The vCPU runs on. The guest has marked this as the place where a search takes its snapshot.
    Mark,
    /// The guest ends the run with this code.
    End(u32),
    /// The guest's console output meets this criterion, which ends the run.
    Met(Met),
    /// No device answers an exit of this kind.
    Unanswered,
}

type GuestConsole = Console<Box<dyn Line>, Overheard>;

/// The output of a console, searched for the texts of the criteria before it is passed on.
struct Overheard {
    out: Box<dyn Write + Send>,
    ears: Arc<Mutex<Ears>>,
}

/// The state of this search, and the first criterion that has been met.
struct Ears {
    matcher: ConsoleMatcher,
    met: Option<Met>,
}

impl Write for Overheard {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        {
            let mut ears = lock(&self.ears);
            let met = ears.matcher.feed(bytes);
            ears.met = ears.met.take().or(met);
        }
        // The guest's output counts as written even if writing it on fails.
        self.out.write_all(bytes).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

fn lock(ears: &Mutex<Ears>) -> MutexGuard<'_, Ears> {
    ears.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The devices' state.
#[derive(Clone, Debug)]
pub(crate) struct BoardState {
    console: Option<ConsoleState>,
    matcher: Option<ConsoleMatcher>,
}

/// The devices of a machine.
pub(crate) struct Board {
    ports: PortBus,
    register_port: Option<Box<dyn RegisterPort>>,
    console: Option<Arc<GuestConsole>>,
    /// `None` if there are no console criteria.
    ears: Option<Arc<Mutex<Ears>>>,
    /// [`Criteria::expects`].
    expects: bool,
}

impl Board {
    /// The devices that every machine has, and the devices that belong to its identity.
    pub(crate) fn new(
        vm: &Vm,
        identity: Identity,
        frequencies: Frequencies,
        criteria: &Criteria,
        console: Box<dyn Write + Send>,
    ) -> Self {
        Self::wired(identity, frequencies, Box::new(vm.line(COM1_IRQ)), criteria, console)
    }

    /// Like [`Board::new`], for a machine whose console has no interrupt line.
    pub(crate) fn with_console(
        identity: Identity,
        frequencies: Frequencies,
        criteria: &Criteria,
        console: Box<dyn Write + Send>,
    ) -> Self {
        Self::wired(identity, frequencies, Box::new(NoLine), criteria, console)
    }

    fn wired(
        identity: Identity,
        frequencies: Frequencies,
        line: Box<dyn Line>,
        criteria: &Criteria,
        console: Box<dyn Write + Send>,
    ) -> Self {
        let ears = Ears { matcher: ConsoleMatcher::new(criteria), met: None };
        let ears = Arc::new(Mutex::new(ears));
        let console = Overheard { out: console, ears: ears.clone() };
        let console = Arc::new(Console::new(line, console));
        let mut board = Self::bare(identity, frequencies);
        // The insertion can't fail: no other device on the bus overlaps these ports.
        let _ = board.ports.insert(COM1, GuestConsole::PORTS, console.clone());
        board.console = Some(console);
        board.ears = (!criteria.ok.is_empty() || !criteria.fail.is_empty()).then_some(ears);
        board.expects = criteria.expects();
        board
    }

    /// The devices that are independent of a VM.
    pub(crate) fn bare(identity: Identity, frequencies: Frequencies) -> Self {
        let mut ports = PortBus::default();
        let _ = ports.insert(END_PORT, ControlPorts::PORTS, Arc::new(ControlPorts));
        let register_port: Option<Box<dyn RegisterPort>> = match identity {
            Identity::Vmware => Some(Box::new(Backdoor {
                tsc_hz: u64::from(frequencies.tsc_khz) * 1000,
                bus_hz: frequencies.bus_khz.saturating_mul(1000),
            })),
            Identity::Kvm | Identity::None => None,
        };
        Self { ports, register_port, console: None, ears: None, expects: false }
    }

    /// Sends bytes to the guest's console, and returns how many it took.
    pub(crate) fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        self.console.as_ref().map_or(Ok(0), |console| console.send(bytes))
    }

    /// Whether input at the console would interrupt a vCPU.
    pub(crate) fn interrupts_on_input(&self) -> bool {
        self.console.as_ref().is_some_and(|console| console.interrupts_on_input())
    }

    /// Saves the state of the devices.
    pub(crate) fn save(&self) -> BoardState {
        let console = self.console.as_ref().map(|console| console.save());
        BoardState { console, matcher: self.ears.as_ref().map(|ears| lock(ears).matcher.clone()) }
    }

    /// Restores the state of the devices.
    pub(crate) fn restore(&self, state: &BoardState) -> io::Result<()> {
        if let (Some(ears), Some(matcher)) = (&self.ears, &state.matcher) {
            let mut ears = lock(ears);
            ears.matcher.clone_from(matcher);
            ears.met = None;
        }
        match (&self.console, &state.console) {
            (Some(console), Some(state)) => console.restore(state),
            _ => Ok(()),
        }
    }

    /// Answers an exit.
    pub(crate) fn answer(&self, cpu: &mut dyn Cpu, exit: &Exit) -> Result<IoResult> {
        let resume = IoResult::Enter(Entry::Resume);
        match exit {
            Exit::PortRead { port, size: 4, count: 1 } if self.is_register_port(*port) => {
                let eax = self.call_register_port(cpu)?;
                Ok(IoResult::Enter(Entry::Data(Bytes::from_slice(&eax.to_le_bytes()))))
            }
            Exit::PortWrite { port, size: 4, data }
                if self.is_register_port(*port) && data.len() == 4 =>
            {
                let eax = self.call_register_port(cpu)?;
                let mut registers = cpu.registers()?;
                registers.rax = eax.into();
                cpu.set_registers(&registers)?;
                Ok(resume)
            }
            Exit::PortRead { port, size, count } => {
                let mut data = Bytes::from_elem(0, usize::from(*size) * *count as usize);
                for element in data.chunks_exact_mut(usize::from(*size).max(1)) {
                    self.ports.read(*port, element);
                }
                Ok(IoResult::Enter(Entry::Data(data)))
            }
            Exit::PortWrite { port, size, data } => {
                let mut answer = resume;
                for element in data.chunks_exact(usize::from(*size).max(1)) {
                    match self.ports.write(*port, element) {
                        Effect::None => {}
                        Effect::Mark => answer = IoResult::Mark,
                        // Where the user has defined success, a success would already have ended
                        // the run.
                        Effect::End(0) if self.expects => return Ok(IoResult::Met(Met::MISSED)),
                        Effect::End(code) => return Ok(IoResult::End(code)),
                    }
                }
                let met = self.ears.as_ref().and_then(|ears| lock(ears).met.take());
                Ok(met.map_or(answer, IoResult::Met))
            }
            // Only RAM and KVM's own irqchip are mapped. Other addresses read as an empty bus, as
            // on a PC.
            Exit::MmioRead { size, .. } => {
                Ok(IoResult::Enter(Entry::Data(Bytes::from_elem(0xff, usize::from(*size)))))
            }
            Exit::MmioWrite { .. } | Exit::ApStart | Exit::Kicked => Ok(resume),
            _ => Ok(IoResult::Unanswered),
        }
    }

    fn is_register_port(&self, port: u16) -> bool {
        self.register_port.as_ref().is_some_and(|device| device.port() == port)
    }

    /// Lets the device read and change the registers. Returns EAX, which the guest gets as the
    /// result of its `in`.
    fn call_register_port(&self, cpu: &mut dyn Cpu) -> Result<u32> {
        let Some(device) = &self.register_port else { return Ok(u32::MAX) };
        let mut registers = cpu.registers()?;
        let before = CallRegisters {
            eax: registers.rax as u32,
            ebx: registers.rbx as u32,
            ecx: registers.rcx as u32,
            edx: registers.rdx as u32,
        };
        let mut after = before;
        device.call(&mut after);
        // A register that the call doesn't change keeps its upper half.
        let put = |register: &mut u64, before: u32, after: u32| {
            if before != after {
                *register = after.into();
            }
        };
        put(&mut registers.rbx, before.ebx, after.ebx);
        put(&mut registers.rcx, before.ecx, after.ecx);
        put(&mut registers.rdx, before.edx, after.edx);
        cpu.set_registers(&registers)?;
        Ok(after.eax)
    }
}

#[cfg(test)]
#[path = "board_tests.rs"]
mod tests;
