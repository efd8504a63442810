//! The interrupt controllers, timers and clock of a controlled machine.
//!
//! Time is virtual: it advances by a microsecond at each scheduling point, and jumps to the next
//! timer when no vCPU can do anything. Nothing here depends on the host's time.

use devices::ioapic::{IOAPIC_BASE, IOAPIC_SIZE, IoApic, Message, MessageMode};
use devices::lapic::{Effect, Ipi, IpiMode, LAPIC_BASE, LAPIC_SIZE, Lapic};
use devices::pit::{PIT_FIRST, PIT_PORTS, Pit, SPEAKER_PORT};
use devices::rtc::{RTC_DATA, RTC_INDEX, RTC_LINE, Rtc};

use crate::boot::mptable::ioapic_id;

/// The IOAPIC pin of the PIT's line, as on a PC; the MP table says so.
const PIT_PIN: u8 = 2;

/// An effect on a vCPU of an access to the interrupt controllers, or of a timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IpiEffect {
    /// INIT: the vCPU goes back to waiting for a SIPI.
    Init(u32),
    /// SIPI: the vCPU starts at this page.
    Startup(u32, u8),
    /// An NMI for the vCPU.
    Nmi(u32),
}

/// The LAPICs, the IOAPIC, the PIT, the RTC and the clock.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Platform {
    pub(super) lapics: Vec<Lapic>,
    ioapic: IoApic,
    pit: Pit,
    rtc: Rtc,
    /// The virtual time in nanoseconds.
    now: u64,
}

impl Clone for Platform {
    fn clone(&self) -> Self {
        let Self { lapics, ioapic, pit, rtc, now } = self;
        let (lapics, ioapic, pit, rtc) = (lapics.clone(), ioapic.clone(), pit.clone(), rtc.clone());
        Self { lapics, ioapic, pit, rtc, now: *now }
    }

    /// Copies without allocating memory: this is done at every restore of a snapshot.
    fn clone_from(&mut self, source: &Self) {
        self.lapics.clone_from(&source.lapics);
        self.ioapic.clone_from(&source.ioapic);
        self.pit.clone_from(&source.pit);
        self.rtc.clone_from(&source.rtc);
        self.now = source.now;
    }
}

impl Platform {
    /// The nanoseconds that pass at a scheduling point.
    const POINT: u64 = 1000;

    pub(super) fn new(vcpus: u32) -> Self {
        let lapics = (0..vcpus).map(|id| Lapic::new(id as u8, id == 0)).collect();
        let ioapic = IoApic::new(ioapic_id(vcpus));
        Self { lapics, ioapic, pit: Pit::new(), rtc: Rtc::new(), now: 0 }
    }

    /// Whether this address belongs to an interrupt controller.
    pub(super) fn covers(address: u64) -> bool {
        let (lapic, ioapic) = (LAPIC_SIZE, IOAPIC_SIZE);
        (LAPIC_BASE..LAPIC_BASE + lapic).contains(&address)
            || (IOAPIC_BASE..IOAPIC_BASE + ioapic).contains(&address)
    }

    /// Whether a read of this address returns the time.
    pub(super) fn is_clock(address: u64) -> bool {
        const CURRENT_COUNT: u64 = 0x390;
        address == LAPIC_BASE + CURRENT_COUNT
    }

    /// Whether this port belongs to a timer.
    pub(super) fn covers_port(port: u16) -> bool {
        (PIT_FIRST..PIT_FIRST + PIT_PORTS).contains(&port)
            || matches!(port, SPEAKER_PORT | RTC_INDEX | RTC_DATA)
    }

    /// Whether a read of this port returns the time and has hardly any other effect: the counters
    /// of the PIT and the state of its outputs.
    pub(super) fn is_clock_port(port: u16) -> bool {
        (PIT_FIRST..PIT_FIRST + PIT_PORTS).contains(&port) || port == SPEAKER_PORT
    }

    /// Performs a read by this vCPU.
    pub(super) fn read(&mut self, vcpu: u32, address: u64) -> u32 {
        if address >= LAPIC_BASE {
            self.lapics[vcpu as usize].read((address - LAPIC_BASE) as u32, self.now)
        } else {
            self.ioapic.read((address - IOAPIC_BASE) as u32)
        }
    }

    /// Performs a 32-bit write by this vCPU, and returns its effects on vCPUs.
    pub(super) fn write(&mut self, vcpu: u32, address: u64, value: u32) -> Vec<IpiEffect> {
        if address < LAPIC_BASE {
            let message = self.ioapic.write((address - IOAPIC_BASE) as u32, value);
            return self.send(message);
        }
        let offset = (address - LAPIC_BASE) as u32;
        match self.lapics[vcpu as usize].write(offset, value, self.now) {
            Effect::None => Vec::new(),
            Effect::Ipi(ipi) => self.deliver(ipi),
            Effect::EndOfInterrupt { vector } => {
                let messages = self.ioapic.end_of_interrupt(vector);
                self.send(messages)
            }
        }
    }

    /// Reads a byte from a timer's port, and returns it with the effects on vCPUs.
    pub(super) fn read_port(&mut self, port: u16) -> (u8, Vec<IpiEffect>) {
        match port {
            RTC_INDEX | RTC_DATA => {
                let value = self.rtc.read(port, self.now);
                (value, self.rtc_line())
            }
            port => (self.pit.read(port, self.now), Vec::new()),
        }
    }

    /// Writes a byte to a timer's port, and returns the effects on vCPUs.
    pub(super) fn write_port(&mut self, port: u16, value: u8) -> Vec<IpiEffect> {
        match port {
            RTC_INDEX | RTC_DATA => self.rtc.write(port, value, self.now),
            port => self.pit.write(port, value, self.now),
        }
        // A new mode can raise the PIT's output, and an interrupt-enable flag the RTC's line.
        self.advance(self.now)
    }

    fn rtc_line(&mut self) -> Vec<IpiEffect> {
        let message = self.ioapic.set_line(RTC_LINE, self.rtc.irq());
        self.send(message)
    }

    fn deliver(&mut self, ipi: Ipi) -> Vec<IpiEffect> {
        let targets = ipi.targets(&self.lapics);
        let mut ipi_effects = Vec::new();
        for vcpu in members(targets) {
            let Some(lapic) = self.lapics.get_mut(vcpu as usize) else { continue };
            match ipi.mode {
                IpiMode::Fixed { vector } | IpiMode::LowestPriority { vector } => {
                    lapic.accept(vector, false);
                }
                IpiMode::Nmi => ipi_effects.push(IpiEffect::Nmi(vcpu)),
                IpiMode::Init => {
                    lapic.reset();
                    ipi_effects.push(IpiEffect::Init(vcpu));
                }
                IpiMode::Startup { vector } => ipi_effects.push(IpiEffect::Startup(vcpu, vector)),
                // Guests have no system management code here, and a de-assert does nothing.
                IpiMode::Smi | IpiMode::InitDeassert => {}
            }
        }
        ipi_effects
    }

    /// Delivers the IOAPIC's messages. SMI and `ExtINT` messages (the latter need an 8259) are
    /// dropped.
    fn send(&mut self, messages: impl IntoIterator<Item = Message>) -> Vec<IpiEffect> {
        let mut ipi_effects = Vec::new();
        for message in messages {
            for vcpu in members(message.targets(&self.lapics)) {
                let Some(lapic) = self.lapics.get_mut(vcpu as usize) else { continue };
                match message.mode {
                    MessageMode::Fixed { vector } | MessageMode::LowestPriority { vector } => {
                        lapic.accept(vector, message.level);
                    }
                    MessageMode::Nmi => ipi_effects.push(IpiEffect::Nmi(vcpu)),
                    MessageMode::Init => {
                        lapic.reset();
                        ipi_effects.push(IpiEffect::Init(vcpu));
                    }
                    MessageMode::Smi | MessageMode::ExtInt => {}
                }
            }
        }
        ipi_effects
    }

    /// Lets the time of one scheduling point pass.
    pub(super) fn tick(&mut self) -> Vec<IpiEffect> {
        self.advance(self.now + Self::POINT)
    }

    /// When the next timer fires that has an effect. `None` if there is none: the other timers
    /// would only request an interrupt that is already pending, at every period.
    pub(super) fn next_deadline(&self) -> Option<u64> {
        // A masked PIT interrupt can wake no vCPU.
        let pit = if self.ioapic.masked(PIT_PIN) { None } else { self.pit.next_deadline() };
        let lapics = self.lapics.iter().filter_map(Lapic::next_deadline);
        let mut deadlines: Vec<_> = lapics.chain(pit).chain(self.rtc.next_deadline()).collect();
        deadlines.sort_unstable();
        let mut later = self.clone();
        deadlines.into_iter().find(|deadline| {
            let ipi_effects = later.advance((*deadline).max(later.now));
            let asks = later.ioapic != self.ioapic
                || later.lapics.iter().zip(&self.lapics).any(|(new, old)| !new.same_requests(old));
            asks || !ipi_effects.is_empty()
        })
    }

    /// The virtual nanoseconds since the machine started.
    pub(super) fn now(&self) -> u64 {
        self.now
    }

    /// Lets time pass up to this instant.
    pub(super) fn jump(&mut self, to: u64) -> Vec<IpiEffect> {
        self.advance(to.max(self.now))
    }

    fn advance(&mut self, now: u64) -> Vec<IpiEffect> {
        self.now = now;
        for lapic in &mut self.lapics {
            lapic.advance(now);
        }
        let mut ipi_effects = Vec::new();
        if !self.ioapic.masked(PIT_PIN) && self.pit.advance(now) > 0 {
            let rise = self.ioapic.set_line(PIT_PIN, true);
            ipi_effects = self.send(rise);
            let fall = self.ioapic.set_line(PIT_PIN, false);
            ipi_effects.extend(self.send(fall));
        }
        self.rtc.advance(now);
        ipi_effects.extend(self.rtc_line());
        ipi_effects
    }
}

/// The numbers of the vCPUs in a set.
fn members(set: u64) -> impl Iterator<Item = u32> {
    (0..64).filter(move |vcpu| set >> vcpu & 1 != 0)
}

#[cfg(test)]
#[path = "platform_tests.rs"]
mod tests;
