//! The local APIC: a processor's own interrupt controller, in xAPIC mode.
//!
//! Each processor has a LAPIC; all are at the same address, where each processor sees its own.
//! Interrupts arrive as messages, each with a vector: from the IOAPIC, from another processor (an
//! IPI), from the LAPIC's timer, or from its two pins. A vector waits in a bit set (IRR) until the
//! processor takes it, the highest first. It moves to another bit set (ISR) while it is served, and
//! is removed by the guest's write to EOI. A message has no sender and no count: two waiting
//! messages with the same vector are one.
//!
//! The reference is Intel's manual, volume 3, chapter 11 of the 2023 edition ("Advanced
//! Programmable Interrupt Controller"); section numbers refer to it.
//!
//! # Use by the scheduler
//!
//! Nothing happens by itself. The scheduler sends what [`Lapic::write`] returns to the LAPICs that
//! [`Ipi::targets`] names (vectors by [`Lapic::accept`]), and calls [`Lapic::pending`] before it
//! enters the guest. It calls [`Lapic::advance`] when time has passed, at the latest when
//! [`Lapic::next_deadline`] has come. Between such calls no state changes, so two equal LAPICs
//! without a deadline stay equal.
//!
//! NMI, SMI, INIT and SIPI bypass the LAPIC (11.4.7.2): the scheduler performs them; the LAPIC's
//! part of an INIT is [`Lapic::reset`].
//!
//! # What is not modelled
//!
//! x2APIC (its registers are MSRs that no hypervisor's user space sees), the TSC-deadline timer and
//! EOI broadcast suppression: CPUID and the version register must not offer them. There are no
//! performance counters and no thermal sensor: their LVT entries store what is written and never
//! fire.

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

/// The address of the LAPIC's page after reset, on every processor.
pub const LAPIC_BASE: u64 = 0xfee0_0000;
/// The size of the LAPIC's page.
pub const LAPIC_SIZE: u64 = 0x1000;

/// The effect of a write on the machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Effect {
    /// No effect.
    #[default]
    None,
    /// The guest sends an IPI.
    Ipi(Ipi),
    /// The guest has ended a level-triggered interrupt: this must be reported to the IOAPIC.
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
    /// The levels of LINT0 and LINT1, as set from outside.
    pins: [bool; 2],
    /// The errors since the guest last wrote ESR.
    errors: u8,
    /// ESR.
    latched_errors: u8,
    timer: Timer,
}

impl Lapic {
    /// The LAPIC of processor `id`, as after power-up; `bsp` for the bootstrap processor.
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

    /// The effect of INIT: all state is as after power-up, except for the id (11.4.7.3). The pins
    /// keep their levels.
    pub fn reset(&mut self) {
        *self = Self { pins: self.pins, ..Self::new(self.id, self.bsp) };
    }

    /// The APIC id.
    pub fn id(&self) -> u8 {
        self.id
    }

    /// The value of the processor's `IA32_APIC_BASE`: the page's address, that the LAPIC is
    /// enabled, and whether this is the bootstrap processor (11.4.4).
    pub fn base_register(&self) -> u64 {
        LAPIC_BASE | 1 << 11 | u64::from(self.bsp) << 8
    }

    /// Whether the guest has enabled the LAPIC (SVR, bit 8). It is disabled after reset.
    pub fn enabled(&self) -> bool {
        self.spurious & reg::SVR_ENABLE != 0
    }

    /// The vector of the interrupt that the processor serves.
    pub fn serving(&self) -> Option<u8> {
        self.in_service.highest()
    }

    /// Reads at `offset`. The registers are 32 bits wide and 16 bytes apart. A read from the middle
    /// of a register returns its upper bytes, as in KVM, and a read between registers returns 0.
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
            // The delivery status, bit 12, is never set: an IPI is sent when the write is complete.
            reg::ICR_LOW => self.command_low,
            reg::ICR_HIGH => self.command_high,
            reg::LVT..reg::INITIAL_COUNT => {
                Entry::at((offset - reg::LVT) >> 4).map_or(0, |entry| self.local.get(entry))
            }
            reg::INITIAL_COUNT => self.timer.initial(),
            reg::CURRENT_COUNT => self.timer.count(self.periodic(), now),
            reg::DIVIDE => self.timer.divide(),
            // EOI and remote read, and registers that don't exist. A read of the latter is not
            // recorded in ESR (a write is): reads don't change the LAPIC.
            _ => 0,
        }
    }

    /// Handles a 32-bit write, after everything that is due up to `now`. A write to anything but
    /// the first byte of a register is ignored, as in KVM; the manual leaves this open.
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

    /// When the timer interrupts next. `None` for a timer that is stopped or masked: the processor
    /// doesn't notice what happens to it.
    pub fn next_deadline(&self) -> Option<u64> {
        let masked = self.local.get(Entry::Timer) & reg::LVT_MASKED != 0;
        self.timer.zero().filter(|_| !masked)
    }

    /// Performs what is due up to `now`. A periodic timer that expired several times has one
    /// pending interrupt, as on hardware, and its period stays in step. The same applies to a timer
    /// that expires again within 200 us, so that the guest has time to run.
    ///
    /// The state of a masked timer doesn't change until the guest changes its mode or divider: what
    /// the guest can't see must not make two equal machines differ.
    pub fn advance(&mut self, now: u64) {
        if self.next_deadline().is_some_and(|deadline| deadline <= now) {
            self.timer.expire(self.periodic(), now);
            self.timer.pause();
            self.raise_local(Entry::Timer);
        }
    }

    /// Whether the same vectors are waiting in both.
    pub fn same_requests(&self, other: &Self) -> bool {
        self.requested == other.requested
    }

    /// Discards the expiries of a masked timer up to `now`.
    fn settle_timer(&mut self, now: u64) {
        self.timer.expire(self.periodic(), now);
    }

    fn periodic(&self) -> bool {
        self.local.get(Entry::Timer) & reg::LVT_PERIODIC != 0
    }

    /// Handles a write to the lower half of the command register.
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
