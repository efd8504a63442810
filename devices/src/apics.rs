//! The interrupt controllers of a machine: the local APIC of each vCPU, and the IOAPIC.
//!
//! Interrupts between them, and to vCPUs, are delivered here. INIT, SIPI and NMI act on a vCPU
//! itself, which is not a device: they are kept as [`IpiEffect`]s for the scheduler to take.

use crate::device::{Address, InterruptController};
use crate::ioapic::{IOAPIC_BASE, IOAPIC_SIZE, IoApic, Message, MessageMode};
use crate::ipi_faults::{IpiFault, IpiFaults};
use crate::lapic::{self, Ipi, IpiMode, LAPIC_BASE, LAPIC_SIZE, Lapic};

/// The offset of the LAPIC register that counts down in time.
const CURRENT_COUNT: u64 = 0x390;

/// An effect on a vCPU of an access to the interrupt controllers, or of a timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IpiEffect {
    /// INIT: the vCPU goes back to waiting for a SIPI.
    Init(u32),
    /// SIPI: the vCPU starts at this page.
    Startup(u32, u8),
    /// An NMI for the vCPU.
    Nmi(u32),
}

/// The local APICs and the IOAPIC.
#[derive(Debug)]
pub struct Apics {
    /// The local APICs, by vCPU.
    pub lapics: Vec<Lapic>,
    ioapic: IoApic,
    /// The effects that have not been taken, in the order in which they came.
    effects: Vec<IpiEffect>,
    faults: IpiFaults,
}

impl Apics {
    /// The controllers after power-on. vCPU 0 is the bootstrap processor.
    pub fn new(vcpus: u32, ioapic_id: u8) -> Self {
        let lapics = (0..vcpus).map(|id| Lapic::new(id as u8, id == 0)).collect();
        let (effects, faults) = (Vec::new(), IpiFaults::default());
        Self { lapics, ioapic: IoApic::new(ioapic_id), effects, faults }
    }

    /// Whether this guest-physical address belongs to an interrupt controller.
    pub fn covers(address: u64) -> bool {
        (LAPIC_BASE..LAPIC_BASE + LAPIC_SIZE).contains(&address)
            || (IOAPIC_BASE..IOAPIC_BASE + IOAPIC_SIZE).contains(&address)
    }

    /// Whether a read of this guest-physical address returns the time.
    pub fn is_clock(address: u64) -> bool {
        address == LAPIC_BASE + CURRENT_COUNT
    }

    /// The effects on vCPUs since the last call.
    pub fn take_effects(&mut self) -> Vec<IpiEffect> {
        std::mem::take(&mut self.effects)
    }

    /// Whether a vCPU would notice a difference to these controllers: an effect that has not been
    /// taken, or another interrupt that is requested.
    pub fn asks_more_than(&self, before: &Saved) -> bool {
        !self.effects.is_empty()
            || self.ioapic != before.ioapic
            || self.lapics.iter().zip(&before.lapics).any(|(new, old)| !new.same_requests(old))
    }

    /// When the timers of the local APICs next fire, and when late IPIs are due.
    pub fn deadlines(&self) -> impl Iterator<Item = u64> + '_ {
        self.lapics.iter().filter_map(Lapic::next_deadline).chain(self.faults.deadlines())
    }

    /// Lets the timers of the local APICs run up to this time, and delivers IPIs that are due.
    pub fn advance(&mut self, now: u64) {
        for lapic in &mut self.lapics {
            lapic.advance(now);
        }
        for (mode, targets) in self.faults.due(now) {
            self.deliver_to(mode, targets);
        }
    }

    /// Sets the fault that strikes the next IPI, for these of its targets (bit n stands for
    /// vCPU n).
    pub fn strike_next_ipi(&mut self, fault: IpiFault, targets: u64) {
        self.faults.strike_next(fault, targets);
    }

    /// Removes the fault that is set for the next IPI. Returns whether there was one.
    pub fn clear_ipi_fault(&mut self) -> bool {
        self.faults.clear_next()
    }

    /// Reads a 32-bit register.
    pub fn read_register(&mut self, vcpu: u32, address: u64, now: u64) -> u32 {
        if address >= LAPIC_BASE {
            let lapic = self.lapics.get_mut(vcpu as usize);
            lapic.map_or(u32::MAX, |lapic| lapic.read((address - LAPIC_BASE) as u32, now))
        } else {
            self.ioapic.read((address - IOAPIC_BASE) as u32)
        }
    }

    /// Writes a 32-bit register.
    pub fn write_register(&mut self, vcpu: u32, address: u64, value: u32, now: u64) {
        if address < LAPIC_BASE {
            let message = self.ioapic.write((address - IOAPIC_BASE) as u32, value);
            return self.send(message);
        }
        let Some(lapic) = self.lapics.get_mut(vcpu as usize) else { return };
        match lapic.write((address - LAPIC_BASE) as u32, value, now) {
            lapic::Effect::None => {}
            lapic::Effect::Ipi(ipi) => self.deliver(ipi, now),
            lapic::Effect::EndOfInterrupt { vector } => {
                let messages = self.ioapic.end_of_interrupt(vector);
                self.send(messages);
            }
        }
    }

    fn deliver(&mut self, ipi: Ipi, now: u64) {
        let targets = ipi.targets(&self.lapics);
        self.faults.has_sent(ipi.source, now);
        let targets = self.faults.targets(ipi, targets, self.lapics.len());
        self.deliver_to(ipi.mode, targets);
    }

    fn deliver_to(&mut self, mode: IpiMode, targets: u64) {
        for vcpu in members(targets) {
            let Some(lapic) = self.lapics.get_mut(vcpu as usize) else { continue };
            match mode {
                IpiMode::Fixed { vector } | IpiMode::LowestPriority { vector } => {
                    lapic.accept(vector, false);
                }
                IpiMode::Nmi => self.effects.push(IpiEffect::Nmi(vcpu)),
                IpiMode::Init => {
                    lapic.reset();
                    self.effects.push(IpiEffect::Init(vcpu));
                }
                IpiMode::Startup { vector } => {
                    self.effects.push(IpiEffect::Startup(vcpu, vector));
                }
                // Guests have no system management code here, and a de-assert does nothing.
                IpiMode::Smi | IpiMode::InitDeassert => {}
            }
        }
    }

    /// Delivers the IOAPIC's messages. SMI and `ExtINT` messages (the latter need an 8259) are
    /// dropped.
    fn send(&mut self, messages: impl IntoIterator<Item = Message>) {
        for message in messages {
            for vcpu in members(message.targets(&self.lapics)) {
                let Some(lapic) = self.lapics.get_mut(vcpu as usize) else { continue };
                match message.mode {
                    MessageMode::Fixed { vector } | MessageMode::LowestPriority { vector } => {
                        lapic.accept(vector, message.level);
                    }
                    MessageMode::Nmi => self.effects.push(IpiEffect::Nmi(vcpu)),
                    MessageMode::Init => {
                        lapic.reset();
                        self.effects.push(IpiEffect::Init(vcpu));
                    }
                    MessageMode::Smi | MessageMode::ExtInt => {}
                }
            }
        }
    }
}

/// The saved state of the interrupt controllers.
#[derive(Clone, Debug)]
pub struct Saved {
    lapics: Vec<Lapic>,
    ioapic: IoApic,
    faults: IpiFaults,
}

impl Apics {
    /// Saves the registers. The effects must have been taken.
    pub fn save(&self) -> Saved {
        let faults = self.faults.clone();
        Saved { lapics: self.lapics.clone(), ioapic: self.ioapic.clone(), faults }
    }

    /// Restores saved registers, and drops effects that have not been taken. Allocates no memory:
    /// this is done at every restore of a snapshot.
    pub fn restore(&mut self, saved: &Saved) {
        self.lapics.clone_from(&saved.lapics);
        self.ioapic.clone_from(&saved.ioapic);
        self.faults.clone_from(&saved.faults);
        self.effects.clear();
    }
}

impl InterruptController for Apics {
    fn set_line(&mut self, line: u32, high: bool) {
        let message = self.ioapic.set_line(pin(line), high);
        self.send(message);
    }

    fn is_masked(&self, line: u32) -> bool {
        self.ioapic.masked(pin(line))
    }

    fn read(&mut self, vcpu: u32, at: Address, data: &mut [u8], now: u64) -> bool {
        let Address::Memory(address) = at else { return false };
        if !Self::covers(address) {
            return false;
        }
        let value = self.read_register(vcpu, address, now).to_le_bytes();
        data.fill(0);
        let length = data.len().min(value.len());
        data[..length].copy_from_slice(&value[..length]);
        true
    }

    fn write(&mut self, vcpu: u32, at: Address, data: &[u8], now: u64) -> bool {
        let Address::Memory(address) = at else { return false };
        // The controllers have 32-bit registers; accesses of other sizes are ignored (SDM 11.4.1).
        if let Ok(value) = data.try_into().map(u32::from_le_bytes)
            && Self::covers(address)
        {
            self.write_register(vcpu, address, value, now);
        }
        Self::covers(address)
    }
}

/// The pin of a line. The IOAPIC ignores pins that it doesn't have.
fn pin(line: u32) -> u8 {
    u8::try_from(line).unwrap_or(u8::MAX)
}

/// The numbers of the vCPUs in a set.
fn members(set: u64) -> impl Iterator<Item = u32> {
    (0..64).filter(move |vcpu| set >> vcpu & 1 != 0)
}

#[cfg(test)]
#[path = "apics_tests.rs"]
mod tests;
