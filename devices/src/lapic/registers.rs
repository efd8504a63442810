//! The offsets of the registers, and their bits (SDM vol. 3, table 11-1 "Local APIC Register
//! Address Map").

/// Local APIC id, bits 31:24. Whether software can change it depends on the model (11.4.6); here it
/// can't.
pub(super) const ID: u32 = 0x020;
/// Version: bits 7:0, and in 23:16 the number of LVT entries less one (11.4.8).
pub(super) const VERSION: u32 = 0x030;
/// Task priority, set by the guest (11.8.3.1).
pub(super) const TPR: u32 = 0x080;
/// Arbitration priority, derived (11.6.2.4).
pub(super) const APR: u32 = 0x090;
/// Processor priority, derived (11.8.3.1).
pub(super) const PPR: u32 = 0x0a0;
/// End of interrupt: a write of any value ends the highest interrupt in service (11.8.5).
pub(super) const EOI: u32 = 0x0b0;
/// Remote read: exists only on the Pentium, and reads as 0 since.
pub(super) const REMOTE_READ: u32 = 0x0c0;
/// Logical destination, bits 31:24 (11.6.2.2).
pub(super) const LDR: u32 = 0x0d0;
/// Destination format: bits 31:28 are the model of the LDR, the other bits read as ones (11.6.2.2).
pub(super) const DFR: u32 = 0x0e0;
/// Spurious interrupt vector, and the software enable bit (11.9).
pub(super) const SVR: u32 = 0x0f0;
/// In service: eight registers of 32 vectors each (11.8.4).
pub(super) const ISR: u32 = 0x100;
/// Trigger mode of the accepted vectors, 1 for level: eight registers (11.8.4).
pub(super) const TMR: u32 = 0x180;
/// Vectors that are requested and not yet in service: eight registers (11.8.4).
pub(super) const IRR: u32 = 0x200;
/// Error status: a write latches the errors since the last write (11.5.3).
pub(super) const ESR: u32 = 0x280;
/// Interrupt command: a write sends an IPI (11.6.1).
pub(super) const ICR_LOW: u32 = 0x300;
/// The destination of the interrupt command, bits 31:24.
pub(super) const ICR_HIGH: u32 = 0x310;
/// The local vector table: [`LVT_ENTRIES`] registers (11.5.1).
pub(super) const LVT: u32 = 0x320;
/// Timer: the initial count (11.5.4). A write starts the timer.
pub(super) const INITIAL_COUNT: u32 = 0x380;
/// Timer: the current count.
pub(super) const CURRENT_COUNT: u32 = 0x390;
/// Timer: the divider.
pub(super) const DIVIDE: u32 = 0x3e0;

/// The entries: timer, thermal sensor, performance counters, LINT0, LINT1, error; no CMCI.
pub(super) const LVT_ENTRIES: u32 = 6;
/// The version that KVM's LAPIC and the MP table report: an integrated xAPIC, without EOI broadcast
/// suppression.
pub(super) const VERSION_VALUE: u32 = 0x14 | (LVT_ENTRIES - 1) << 16;

/// SVR: the APIC is enabled by software.
pub(super) const SVR_ENABLE: u32 = 1 << 8;
/// SVR: the vector, the enable bit, and focus checking, which is stored without effect. Bit 12 (no
/// EOI broadcast) is reserved unless the version register offers it.
pub(super) const SVR_WRITABLE: u32 = 0x3ff;
/// SVR after reset: disabled, vector 0xff.
pub(super) const SVR_RESET: u32 = 0xff;

/// LVT: bits 10:8, the delivery mode.
pub(super) const LVT_MODE: u32 = 7 << 8;
/// LVT: the pin is active low. Stored without effect: lines are set as asserted or not.
pub(super) const LVT_ACTIVE_LOW: u32 = 1 << 13;
/// LVT: a level-triggered LINT interrupt was accepted and has not ended. Read-only.
pub(super) const LVT_REMOTE_IRR: u32 = 1 << 14;
/// LVT: level-triggered.
pub(super) const LVT_LEVEL: u32 = 1 << 15;
/// LVT: masked.
pub(super) const LVT_MASKED: u32 = 1 << 16;
/// LVT timer: periodic. Bit 18, the TSC-deadline mode, is reserved without it in CPUID.
pub(super) const LVT_PERIODIC: u32 = 1 << 17;

/// ESR: a vector below 16 was to be sent.
pub(super) const SEND_ILLEGAL_VECTOR: u8 = 1 << 5;
/// ESR: a vector below 16 was received, from outside or from the LVT.
pub(super) const RECEIVE_ILLEGAL_VECTOR: u8 = 1 << 6;
/// ESR: an access to a register that doesn't exist.
pub(super) const ILLEGAL_REGISTER: u8 = 1 << 7;

/// Vectors below this are the processor's own exceptions: interrupts must not use them (11.5.2).
pub(super) const FIRST_LEGAL_VECTOR: u8 = 16;
