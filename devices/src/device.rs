//! What a device model does, and what it is wired to.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

/// The address of an access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Address {
    /// An I/O port.
    Port(u16),
    /// A guest-physical address.
    Memory(u64),
}

/// The effect of a write on the machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Effect {
    /// No effect.
    #[default]
    None,
    /// The guest ends the run: 0 is success, any other value is the guest's failure code.
    End(u32),
    /// The guest powers the machine off.
    PowerOff,
    /// The guest resets the machine.
    Reset,
    /// The guest marks the place where a search takes its snapshot.
    Mark,
}

/// What a read depends on, and what it changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReadKind {
    /// The value of a register.
    #[default]
    Plain,
    /// The value changes with time. The read may advance a latch, but nothing that another vCPU
    /// could notice, so it is not progress.
    Clock,
    /// The read itself changes the device.
    Changes,
}

/// The time of a machine.
pub trait Clock {
    /// The nanoseconds since the machine started.
    fn now(&self) -> u64;
}

/// An interrupt controller: KVM's, or [`Apics`](crate::apics::Apics).
pub trait InterruptController {
    /// Sets the level of an interrupt line, which is a pin of the IOAPIC. What that means depends
    /// on the line's trigger mode: an edge-triggered line interrupts when it rises, a
    /// level-triggered line while it is high.
    fn set_line(&mut self, line: u32, high: bool);

    /// Whether the line is masked for every vCPU.
    fn is_masked(&self, _line: u32) -> bool {
        false
    }

    /// Fills `data` with what this vCPU reads from a register of the controller. False if the
    /// controller has no register there: KVM's controller answers its vCPUs itself.
    fn read(&mut self, _vcpu: u32, _at: Address, _data: &mut [u8], _now: u64) -> bool {
        false
    }

    /// Handles a write by this vCPU to a register of the controller. False if the controller has no
    /// register there.
    fn write(&mut self, _vcpu: u32, _at: Address, _data: &[u8], _now: u64) -> bool {
        false
    }
}

/// What a device is wired to during a call.
pub struct Wiring<'a> {
    /// The machine's time.
    pub clock: &'a dyn Clock,
    /// The controller of the interrupt lines.
    pub controller: &'a mut dyn InterruptController,
}

impl Wiring<'_> {
    /// Raises a line and lowers it again.
    pub fn pulse(&mut self, line: u32) {
        self.controller.set_line(line, true);
        self.controller.set_line(line, false);
    }
}

/// A device model. The bus calls it from one thread at a time.
pub trait Device: Any + Send {
    /// Fills `data` with what the guest reads.
    fn read(&mut self, at: Address, data: &mut [u8], wiring: &mut Wiring);

    /// Handles what the guest writes.
    fn write(&mut self, at: Address, data: &[u8], wiring: &mut Wiring) -> Effect;

    /// What a read at this address depends on, and what it changes.
    fn read_kind(&self, _at: Address) -> ReadKind {
        ReadKind::Plain
    }

    /// Called by the controlled scheduler at every scheduling point, because virtual time has
    /// moved, and by no one under the parallel scheduler. It may be tried and undone by
    /// [`Device::restore`], so it must not act on anything but the device and its line.
    fn advance(&mut self, _wiring: &mut Wiring) {}

    /// When the device next raises its line, or requests anything else at its controller, if
    /// nothing accesses it until then. The proof of a hang depends on it: if this is `None`, or a
    /// time at which nothing is requested, the scheduler takes it that time alone never makes the
    /// device act. A device with several stages returns the time of the stage that requests.
    fn next_deadline(&self, _wiring: &Wiring) -> Option<u64> {
        None
    }

    /// Brings the device into the state in which it is created. (No machine is reset yet.)
    fn reset(&mut self);

    /// Saves the state of the device.
    fn save(&self) -> State;

    /// Restores a saved state of this device. Interrupt lines keep their levels: the state of the
    /// interrupt controller contains them. Fails if the state is another device's.
    fn restore(&mut self, state: &State) -> Result<(), ForeignState>;
}

/// Answers a read of a chip whose ports are 8 bits wide: a wider access reaches no register and
/// reads ones.
pub(crate) fn read_byte(at: Address, data: &mut [u8], read: impl FnOnce(u16) -> u8) {
    match (at, data) {
        (Address::Port(port), [value]) => *value = read(port),
        (_, data) => data.fill(0xff),
    }
}

/// The port and the value of a write to such a chip. `None` for a wider access, which reaches no
/// register.
pub(crate) fn written_byte(at: Address, data: &[u8]) -> Option<(u16, u8)> {
    match (at, data) {
        (Address::Port(port), [value]) => Some((port, *value)),
        _ => None,
    }
}

/// The saved state of a device. A clone refers to the same state.
#[derive(Clone)]
pub struct State(Arc<dyn Any + Send + Sync>);

impl State {
    /// Wraps a device's state.
    pub fn new<T: Any + Send + Sync>(state: T) -> Self {
        Self(Arc::new(state))
    }

    /// The state, for the device that saved it.
    pub fn get<T: Any>(&self) -> Result<&T, ForeignState> {
        self.0.downcast_ref().ok_or(ForeignState)
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("State(..)")
    }
}

/// The error if a device gets the state of another.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the saved state of a device is another device's")]
pub struct ForeignState;
