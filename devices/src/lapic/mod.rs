//! The local APIC: a processor's own interrupt controller, in xAPIC mode.
//!
//! Each processor has one, at the same address, where it sees its own. Interrupts come to it as
//! messages, each a vector: from the IOAPIC, from another processor (an IPI), from its timer, from
//! two pins. They wait in a bit set (IRR) until the processor takes the highest, move to another
//! (ISR) while it is served, and leave with the guest's write to EOI. A message has no sender and
//! no count: two with the same vector that wait are one.
//!
//! Intel's manual has it in volume 3, chapter 11 of the 2023 edition ("Advanced Programmable
//! Interrupt Controller"); the section numbers here are that one's.
//!
//! # How it is driven
//!
//! Nothing happens by itself. The scheduler sends what [`Lapic::write`] returns to the LAPICs that
//! [`Ipi::targets`] names, the vectors by [`Lapic::accept`], and before it enters the guest it asks
//! [`Lapic::pending`]. It calls [`Lapic::advance`] when [`Lapic::next_deadline`] has come. Between
//! two such calls no state changes, so two equal LAPICs with no deadline are equal for ever.
//!
//! NMI, SMI, INIT and SIPI pass a LAPIC by (11.4.7.2): they are the scheduler's to play; of an INIT,
//! [`Lapic::reset`] is the part here.
//!
//! # What is not here
//!
//! x2APIC (its registers are MSRs that no hypervisor's userspace sees), the TSC-deadline timer and
//! EOI broadcast suppression: CPUID and the version register must not offer them. No performance
//! counters and no thermal sensor: their LVT entries keep what is written and never fire.

mod ipi;
mod local;
mod priority;
mod registers;
mod timer;
mod vectors;

pub use ipi::{Destination, Ipi, IpiMode};
pub use local::{Pin, Signal};
pub use priority::Acceptance;
pub use timer::BUS_HZ;

use local::{Entry, LocalVectors};
use registers as reg;
use timer::Timer;
use vectors::Vectors;

/// Where the LAPIC's page is after reset, on every processor.
pub const LAPIC_BASE: u64 = 0xfee0_0000;
/// How long it is.
pub const LAPIC_SIZE: u64 = 0x1000;

/// What a write wants of the machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Nothing.
    #[default]
    None,
    /// The guest sends an interrupt.
    Ipi(Ipi),
    /// The guest has ended a level-triggered interrupt: the IOAPIC wants to know.
    EndOfInterrupt {
        /// The interrupt's vector.
        vector: u8,
    },
}

/// One processor's LAPIC.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Lapic {
    id: u8,
    bsp: bool,
    task_priority: u8,
    /// LDR, bits 31:24.
    logical_id: u8,
    /// DFR, bits 31:28.
    destination_model: u8,
    /// SVR.
    spurious: u32,
    /// IRR.
    requested: Vectors,
    /// ISR.
    in_service: Vectors,
    /// TMR.
    trigger: Vectors,
    command_low: u32,
    command_high: u32,
    local: LocalVectors,
    /// LINT0 and LINT1, as they are driven from outside.
    pins: [bool; 2],
    /// Seen since the guest last wrote ESR.
    errors: u8,
    /// ESR.
    latched_errors: u8,
    timer: Timer,
}

impl Lapic {
    /// The LAPIC of the processor `id`, as after power-up; `bsp` for the one that starts alone.
    pub fn new(id: u8, bsp: bool) -> Self {
        Self {
            id,
            bsp,
            task_priority: 0,
            logical_id: 0,
            destination_model: 0xf,
            spurious: reg::SVR_RESET,
            requested: Vectors::default(),
            in_service: Vectors::default(),
            trigger: Vectors::default(),
            command_low: 0,
            command_high: 0,
            local: LocalVectors::default(),
            pins: [false; 2],
            errors: 0,
            latched_errors: 0,
            timer: Timer::default(),
        }
    }

    /// INIT: all as after power-up but the id (11.4.7.3). What drives the pins goes on driving
    /// them.
    pub fn reset(&mut self) {
        *self = Self { pins: self.pins, ..Self::new(self.id, self.bsp) };
    }

    /// The APIC id.
    pub fn id(&self) -> u8 {
        self.id
    }

    /// What the processor's `IA32_APIC_BASE` says: where the page is, that the LAPIC is on, and
    /// which processor starts alone (11.4.4).
    pub fn base_register(&self) -> u64 {
        LAPIC_BASE | 1 << 11 | u64::from(self.bsp) << 8
    }

    /// Whether the guest has enabled it (SVR, bit 8). It has not after reset.
    pub fn enabled(&self) -> bool {
        self.spurious & reg::SVR_ENABLE != 0
    }

    /// What the guest reads at `offset`. The registers are 32 bits wide and 16 bytes apart; the
    /// middle of one reads as its upper bytes, as in KVM, and what lies between as 0.
    pub fn read(&self, offset: u32, now: u64) -> u32 {
        if offset & 0xc != 0 {
            return 0;
        }
        self.register(offset & !0xf, now) >> (offset % 4 * 8)
    }

    fn register(&self, offset: u32, now: u64) -> u32 {
        match offset {
            reg::ID => u32::from(self.id) << 24,
            reg::VERSION => reg::VERSION_VALUE,
            reg::TPR => self.task_priority.into(),
            reg::APR => self.arbitration_priority().into(),
            reg::PPR => self.processor_priority().into(),
            reg::LDR => u32::from(self.logical_id) << 24,
            reg::DFR => u32::from(self.destination_model) << 28 | 0x0fff_ffff,
            reg::SVR => self.spurious,
            reg::ISR..reg::TMR => self.in_service.register((offset - reg::ISR) >> 4),
            reg::TMR..reg::IRR => self.trigger.register((offset - reg::TMR) >> 4),
            reg::IRR..reg::ESR => self.requested.register((offset - reg::IRR) >> 4),
            reg::ESR => self.latched_errors.into(),
            // Delivery status, bit 12, is never set: an IPI is sent when the write is done.
            reg::ICR_LOW => self.command_low,
            reg::ICR_HIGH => self.command_high,
            reg::LVT..reg::INITIAL_COUNT => {
                Entry::at((offset - reg::LVT) >> 4).map_or(0, |entry| self.local.get(entry))
            }
            reg::INITIAL_COUNT => self.timer.initial(),
            reg::CURRENT_COUNT => self.timer.count(self.periodic(), now),
            reg::DIVIDE => self.timer.divide(),
            // EOI and remote read, and what doesn't exist. A read of the latter is not noted in ESR
            // (a write is): reads leave the LAPIC as it is.
            _ => 0,
        }
    }

    /// Takes a write of 32 bits. What is due up to `now` comes first. A write to anything but a
    /// register's first byte is lost, as in KVM; the manual leaves it open.
    pub fn write(&mut self, offset: u32, value: u32, now: u64) -> Effect {
        self.advance(now);
        if offset & 0xf != 0 {
            return Effect::None;
        }
        match offset {
            reg::TPR => self.task_priority = value as u8,
            reg::EOI => return self.end_of_interrupt(),
            reg::LDR => self.logical_id = (value >> 24) as u8,
            reg::DFR => self.destination_model = (value >> 28) as u8,
            reg::SVR => {
                self.spurious = value & reg::SVR_WRITABLE;
                if !self.enabled() {
                    self.local.mask_all();
                }
            }
            reg::ESR => self.latched_errors = std::mem::take(&mut self.errors),
            reg::ICR_LOW => {
                self.command_low = value & ICR_LOW_WRITABLE;
                return self.send();
            }
            reg::ICR_HIGH => self.command_high = value & 0xff00_0000,
            reg::LVT..reg::INITIAL_COUNT => {
                if let Some(entry) = Entry::at((offset - reg::LVT) >> 4) {
                    self.settle_timer(now);
                    self.write_local(entry, value);
                }
            }
            reg::INITIAL_COUNT => self.timer.start(value, now),
            reg::DIVIDE => {
                self.settle_timer(now);
                self.timer.set_divide(value, self.periodic(), now);
            }
            offset if is_read_only(offset) => {}
            _ => self.record(reg::ILLEGAL_REGISTER),
        }
        Effect::None
    }

    /// When the timer interrupts next. `None` for a timer that stands still or is masked: whatever
    /// happens to it, the processor doesn't hear of it.
    pub fn next_deadline(&self) -> Option<u64> {
        let masked = self.local.get(Entry::Timer) & reg::LVT_MASKED != 0;
        self.timer.zero().filter(|_| !masked)
    }

    /// Lets happen what is due up to `now`. A periodic timer that expired more than once has one
    /// interrupt pending, as on hardware, and stays in step. So has one that expires again within
    /// 200 us, for the guest's sake.
    ///
    /// A masked timer's state is left alone until the guest changes its mode or divider: what the
    /// guest can't see must not make two equal machines differ.
    pub fn advance(&mut self, now: u64) {
        if self.next_deadline().is_some_and(|deadline| deadline <= now) {
            self.timer.expire(self.periodic(), now);
            self.timer.pause();
            self.raise_local(Entry::Timer);
        }
    }

    /// Whether the same vectors wait in both.
    pub fn same_requests(&self, other: &Self) -> bool {
        self.requested == other.requested
    }

    /// Takes a masked timer's expiries up to `now` for gone.
    fn settle_timer(&mut self, now: u64) {
        self.timer.expire(self.periodic(), now);
    }

    fn periodic(&self) -> bool {
        self.local.get(Entry::Timer) & reg::LVT_PERIODIC != 0
    }

    /// A write to the command register's lower half.
    fn send(&mut self) -> Effect {
        let Some(ipi) = Ipi::from_command(self.id, self.command_low, self.command_high) else {
            return Effect::None;
        };
        if ipi.vector().is_some_and(|vector| vector < reg::FIRST_LEGAL_VECTOR) {
            self.record(reg::SEND_ILLEGAL_VECTOR);
            return Effect::None;
        }
        Effect::Ipi(ipi)
    }
}

fn is_read_only(offset: u32) -> bool {
    use reg::{APR, CURRENT_COUNT, ESR, ID, ISR, PPR, REMOTE_READ, VERSION};
    matches!(offset, ID | VERSION | APR | PPR | REMOTE_READ | ISR..ESR | CURRENT_COUNT)
}

/// Vector, delivery mode, destination mode, level, trigger mode, shorthand. (figure 11-12)
const ICR_LOW_WRITABLE: u32 = 0x000c_cfff;

#[cfg(test)]
#[path = "mod_tests.rs"]
mod tests;
