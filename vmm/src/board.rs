//! The devices of a machine, and how they answer the exits of its vCPUs.

mod consoles;
mod listener;
mod panic;
mod source;

use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use devices::backdoor::{CallRegisters, RegisterPort};
use devices::bus::{Bus, Handle, Region};
use devices::control::ControlPorts;
use devices::device::{Address, Device, Effect, ForeignState, ReadKind, State, Wiring};
use devices::nmi_status::NmiStatus;
use devices::pit::Pit;
use devices::power::PowerPorts;
use devices::rtc::Rtc;
use devices::virtio::Slot;

use crate::boot::kind::is_linux;
use crate::config::MachineConfig;
use crate::cpu::Cpu;
use crate::criteria::Met;
use crate::end::End;
use crate::error::Result;
use crate::exit::{Bytes, Entry, Exit};
use crate::identity::{Frequencies, Identity};
use crate::memory::SharedMemory;
use consoles::{Consoles, SerialConsole};
use listener::{Listener, Listening, Searches, lock};
use panic::PanicWatch;
use source::Source;

/// The result of answering an exit.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum IoResult {
    /// The vCPU runs on with this answer.
    Enter(Entry),
    /// The vCPU runs on. The guest has marked this as the place where a search takes its snapshot.
    Mark,
    /// The guest ends the run.
    End(End),
    /// No device answers an exit of this kind.
    Unanswered,
}

/// The devices' state.
#[derive(Clone, Debug)]
pub(crate) struct BoardState {
    devices: Vec<State>,
    searches: Option<Searches>,
}

/// The devices of a machine.
pub(crate) struct Board {
    bus: Bus,
    register_port: Option<Box<dyn RegisterPort>>,
    consoles: Option<Consoles>,
    /// The output of the consoles.
    out: Option<Listener>,
    /// `None` if nothing is searched for.
    listening: Option<Arc<Mutex<Listening>>>,
    /// [`Criteria::expects`](crate::criteria::Criteria::expects).
    expects: bool,
    is_linux: bool,
}

impl Board {
    /// The devices that every machine has, and the devices that belong to its identity. The guest's
    /// console output goes to `out`.
    pub(crate) fn new(
        config: &MachineConfig,
        frequencies: Frequencies,
        out: Box<dyn Write + Send>,
    ) -> Self {
        let (criteria, is_linux) = (&config.criteria, is_linux(&config.guest.bytes));
        let listening = Arc::new(Mutex::new(Listening::new(criteria, is_linux)));
        let out = Listener::new(out, listening.clone());
        let mut board = Self::bare(config.identity, frequencies);
        let serial = board.add(SerialConsole::new(out.clone()), [SerialConsole::REGION]);
        board.consoles = serial.map(|serial| Consoles::new(serial, is_linux));
        board.out = Some(out);
        board.listening = (criteria.has_texts() || is_linux).then_some(listening);
        board.expects = criteria.expects();
        board.is_linux = is_linux;
        board
    }

    /// The devices that need no console.
    pub(crate) fn bare(identity: Identity, frequencies: Frequencies) -> Self {
        let register_port = identity.enlightenment().port(frequencies);
        let bus = Bus::default();
        let mut board = Self {
            bus,
            register_port,
            consoles: None,
            out: None,
            listening: None,
            expects: false,
            is_linux: false,
        };
        board.add(ControlPorts, [ControlPorts::REGION]);
        board.add(PowerPorts, PowerPorts::REGIONS);
        board
    }

    /// Adds a device. `None` if one of its addresses is taken.
    pub(crate) fn add<D: Device>(
        &mut self,
        device: D,
        regions: impl IntoIterator<Item = Region>,
    ) -> Option<Handle<D>> {
        let added = self.bus.insert(device, regions);
        // All addresses are constants, so any test that makes a board notices an overlap.
        debug_assert!(added.is_ok(), "{:?}", added.as_ref().err());
        added.ok()
    }

    /// Adds what the parallel scheduler has instead of timers: an RTC with the host's time, and the
    /// status of NMIs. The RTC answers, but its interrupts never come, for nothing calls
    /// [`Device::advance`]; the tables name no such interrupt.
    pub(crate) fn with_time_of_day(mut self) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.add(Rtc::starting_at(now.as_secs()), [Rtc::REGION]);
        self.add(NmiStatus::default(), [NmiStatus::REGION]);
        self
    }

    /// Adds the timers of a PC, for the controlled scheduler. Under the parallel scheduler a
    /// machine has no PIT.
    pub(crate) fn with_timers(mut self) -> Self {
        self.add(Pit::new(), Pit::REGIONS);
        self.add(Rtc::new(), [Rtc::REGION]);
        self
    }

    /// The bus.
    pub(crate) fn bus(&self) -> &Bus {
        &self.bus
    }

    /// The bus, to let its devices notice that time passes.
    pub(crate) fn bus_mut(&mut self) -> &mut Bus {
        &mut self.bus
    }

    /// Adds a virtio console, which prints to the same output as COM1. `wake` is called when it has
    /// left work behind, which [`Board::go_on_with_console`] does. Does nothing on a board without
    /// a console.
    pub(crate) fn add_virtio_console(
        &mut self,
        slot: Slot,
        memory: SharedMemory,
        wake: impl Fn() + Send + 'static,
    ) {
        let Some(out) = self.out.as_ref().map(|out| out.of(Source::Virtio)) else { return };
        let device = consoles::virtio_console(slot, out, memory, wake);
        let device = self.add(device, [slot.region()]);
        if let (Some(consoles), Some(device)) = (&mut self.consoles, device) {
            consoles.add_virtio(slot, device);
        }
    }

    /// Sends bytes to the guest's console, and returns how many it took.
    pub(crate) fn send(&self, bytes: &[u8], wiring: &mut Wiring) -> io::Result<usize> {
        let consoles = self.consoles.as_ref();
        consoles.map_or(Ok(0), |consoles| consoles.send(&self.bus, bytes, wiring))
    }

    /// Whether input at the console would interrupt a vCPU.
    pub(crate) fn interrupts_on_input(&self) -> bool {
        self.consoles.as_ref().is_some_and(|consoles| consoles.interrupts_on_input(&self.bus))
    }

    /// Whether the guest has left bytes unread that were sent to its console.
    pub(crate) fn has_unread_input(&self) -> bool {
        self.consoles.as_ref().is_some_and(|consoles| consoles.has_unread_input(&self.bus))
    }

    /// Whether a vCPU left the guest to use a console.
    pub(crate) fn is_use_of_console(&self, exit: &Exit) -> bool {
        self.consoles.as_ref().is_some_and(|consoles| consoles.are_used_by(exit))
    }

    /// Goes on with the output of the virtio console.
    pub(crate) fn go_on_with_console(&self, wiring: &mut Wiring) {
        if let Some(consoles) = &self.consoles {
            consoles.go_on(&self.bus, wiring);
        }
    }

    /// Warns of a virtio console that no driver has used: what was typed has not reached the guest.
    pub(crate) fn warn_of_unused_console(&self) {
        if self.consoles.as_ref().is_some_and(|consoles| consoles.is_virtio_unused(&self.bus)) {
            tracing::warn!(
                "--virtio-console: the guest has not used it, so it has got no input; its driver \
                 may be missing (in Linux: virtio_console, virtio_mmio)"
            );
        }
    }

    /// The end of the run that a text at the console has caused.
    pub(crate) fn take_met(&self) -> Option<End> {
        self.listening.as_ref().and_then(|it| lock(it).met.take()).map(End::Met)
    }

    /// Saves the state of the devices.
    pub(crate) fn save(&self) -> BoardState {
        let searches = self.listening.as_ref().map(|listening| lock(listening).searches.clone());
        BoardState { devices: self.bus.save(), searches }
    }

    /// Restores the state of the devices.
    pub(crate) fn restore(&mut self, state: &BoardState) -> Result<(), ForeignState> {
        if let (Some(listening), Some(searches)) = (&self.listening, &state.searches) {
            lock(listening).restore(searches);
        }
        self.bus.restore(&state.devices)
    }

    /// What the answer to an exit depends on.
    pub(crate) fn read_kind(&self, exit: &Exit) -> ReadKind {
        match exit {
            Exit::PortRead { port, .. } => self.bus.read_kind(Address::Port(*port)),
            Exit::MmioRead { address, .. } => self.bus.read_kind(Address::Memory(*address)),
            _ => ReadKind::Plain,
        }
    }

    /// Answers an exit of a vCPU.
    pub(crate) fn answer(
        &self,
        vcpu: u32,
        cpu: &mut dyn Cpu,
        exit: &Exit,
        wiring: &mut Wiring,
    ) -> Result<IoResult> {
        let resume = IoResult::Enter(Entry::Resume);
        match exit {
            Exit::PortRead { port, size: 4, count: 1 } if self.is_register_port(*port) => {
                let eax = self.call_register_port(cpu)?;
                Ok(IoResult::Enter(Entry::Data(Bytes::from_slice(&eax.to_le_bytes()))))
            }
            Exit::PortWrite { port, size: 4, .. } if self.is_register_port(*port) => {
                // The instruction is an `out`, whose operand is EAX: KVM writes nothing back, so
                // the answer in EAX is set directly.
                let eax = self.call_register_port(cpu)?;
                let mut registers = cpu.registers()?;
                registers.rax = eax.into();
                cpu.set_registers(&registers)?;
                Ok(resume)
            }
            Exit::PortRead { port, size, count } => {
                let size = usize::from(*size).max(1);
                let mut data = Bytes::from_elem(0, size * *count as usize);
                for element in data.chunks_exact_mut(size) {
                    self.bus.read(vcpu, Address::Port(*port), element, wiring);
                }
                Ok(IoResult::Enter(Entry::Data(data)))
            }
            Exit::PortWrite { port, size, data } => {
                let mut answer = resume;
                for element in data.chunks_exact(usize::from(*size).max(1)) {
                    match self.write(vcpu, Address::Port(*port), element, wiring) {
                        IoResult::Enter(_) => {}
                        IoResult::Mark => answer = IoResult::Mark,
                        end => return Ok(end),
                    }
                }
                Ok(self.take_met().map_or(answer, IoResult::End))
            }
            Exit::MmioRead { address, size } => {
                let mut data = Bytes::from_elem(0, usize::from(*size));
                self.bus.read(vcpu, Address::Memory(*address), &mut data, wiring);
                Ok(IoResult::Enter(Entry::Data(data)))
            }
            Exit::MmioWrite { address, data } => {
                let answer = self.write(vcpu, Address::Memory(*address), data, wiring);
                Ok(self.take_met().map_or(answer, IoResult::End))
            }
            Exit::ApStart | Exit::Kicked => Ok(resume),
            _ => Ok(IoResult::Unanswered),
        }
    }

    fn write(&self, vcpu: u32, at: Address, data: &[u8], wiring: &mut Wiring) -> IoResult {
        match self.bus.write(vcpu, at, data, wiring) {
            Effect::None => IoResult::Enter(Entry::Resume),
            Effect::Mark => IoResult::Mark,
            Effect::End(code) if code != 0 => IoResult::End(End::Guest { code }),
            end => IoResult::End(self.ended(end)),
        }
    }

    /// How the run ends when the guest ends it without saying that it has failed.
    fn ended(&self, effect: Effect) -> End {
        let panic = self.panic_by(PanicWatch::before_a_reset).filter(|_| effect == Effect::Reset);
        match effect {
            Effect::Reset if panic.is_some() => panic.unwrap_or(End::Reset),
            // Where the user has defined success, a success would already have ended the run.
            _ if self.expects => End::Met(Met::MISSED),
            Effect::PowerOff => End::PowerOff,
            Effect::Reset => End::Reset,
            _ => End::Guest { code: 0 },
        }
    }

    /// The panic that a Linux guest has reported on its console, if it does nothing more.
    pub(crate) fn panic(&self) -> Option<End> {
        self.panic_by(PanicWatch::before_nothing)
    }

    fn panic_by(&self, message: fn(&PanicWatch) -> Option<String>) -> Option<End> {
        let listening = lock(self.listening.as_ref()?);
        let message = message(listening.searches.panic.as_ref()?)?;
        Some(End::Panic { message })
    }

    /// Whether a guest that idles may go on as long as it likes: Linux has timers that wake it.
    pub(crate) fn idles(&self) -> bool {
        self.is_linux
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
