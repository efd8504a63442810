//! What answers a guest's accesses: the devices of a machine and the ports behind them.

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

/// What becomes of an exit.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum IoResult {
    /// The vCPU runs on, with this.
    Enter(Entry),
    /// The vCPU runs on; the guest marks the place where a search takes its snapshot.
    Mark,
    /// The guest ends the run with this code.
    End(u32),
    /// What the guest has printed meets this criterion, which ends the run.
    Met(Met),
    /// No device answers such an exit.
    Unanswered,
}

type GuestConsole = Console<Box<dyn Line>, Overheard>;

/// A console's output, looked through on its way.
struct Overheard {
    out: Box<dyn Write + Send>,
    ears: Arc<Mutex<Ears>>,
}

/// What has been overheard.
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
        // What a guest has printed, it has printed, whoever reads it.
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
    /// `None` if nothing is looked for.
    ears: Option<Arc<Mutex<Ears>>>,
    /// [`Criteria::expects`].
    expects: bool,
}

impl Board {
    /// The devices that every machine has, and those that its identity brings.
    pub(crate) fn new(
        vm: &Vm,
        identity: Identity,
        frequencies: Frequencies,
        criteria: &Criteria,
        console: Box<dyn Write + Send>,
    ) -> Self {
        Self::wired(identity, frequencies, Box::new(vm.line(COM1_IRQ)), criteria, console)
    }

    /// The same for a machine whose console interrupts nobody.
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
        // Nothing else is on the bus yet that could overlap it.
        let _ = board.ports.insert(COM1, GuestConsole::PORTS, console.clone());
        board.console = Some(console);
        board.ears = (!criteria.ok.is_empty() || !criteria.fail.is_empty()).then_some(ears);
        board.expects = criteria.expects();
        board
    }

    /// The devices that need no machine.
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

    /// Sends bytes to the guest's console; the number that it took.
    pub(crate) fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        self.console.as_ref().map_or(Ok(0), |console| console.send(bytes))
    }

    /// Whether input at the console would interrupt a vCPU.
    pub(crate) fn interrupts_on_input(&self) -> bool {
        self.console.as_ref().is_some_and(|console| console.interrupts_on_input())
    }

    /// The state of the devices that have one.
    pub(crate) fn save(&self) -> BoardState {
        let console = self.console.as_ref().map(|console| console.save());
        BoardState { console, matcher: self.ears.as_ref().map(|ears| lock(ears).matcher.clone()) }
    }

    /// Puts the devices back.
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
                        // A success is what the user says, if he does: it would have ended the run before.
                        Effect::End(0) if self.expects => return Ok(IoResult::Met(Met::MISSED)),
                        Effect::End(code) => return Ok(IoResult::End(code)),
                    }
                }
                let met = self.ears.as_ref().and_then(|ears| lock(ears).met.take());
                Ok(met.map_or(answer, IoResult::Met))
            }
            // Nothing but RAM and KVM's own irqchip is mapped: an empty bus, as on a PC.
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

    /// Lets the device see and change the registers; returns EAX, which reaches the guest as the
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
        // A register that the call leaves alone keeps its upper half.
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
