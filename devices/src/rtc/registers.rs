//! The numbers of the registers, and their bits (MC146818A datasheet, "Address Map" and
//! "Registers").

/// Time and alarm. An alarm byte of 0xc0 to 0xff means "any".
pub(super) const SECOND: u8 = 0x00;
pub(super) const SECOND_ALARM: u8 = 0x01;
pub(super) const MINUTE: u8 = 0x02;
pub(super) const MINUTE_ALARM: u8 = 0x03;
pub(super) const HOUR: u8 = 0x04;
pub(super) const HOUR_ALARM: u8 = 0x05;
/// The day of the week; 1 is Sunday. It is derived from the date here; on the chip it can be set
/// separately.
pub(super) const WEEKDAY: u8 = 0x06;
pub(super) const DAY: u8 = 0x07;
pub(super) const MONTH: u8 = 0x08;
/// The last two digits of the year.
pub(super) const YEAR: u8 = 0x09;
/// The first two digits of the year: not part of the chip, but a byte that PC firmware stores there
/// (ACPI's FADT says where; 0x32 is usual).
pub(super) const CENTURY: u8 = 0x32;

/// A: the divider and the periodic rate.
pub(super) const A: u8 = 0x0a;
/// B: enabled interrupts, and the number format.
pub(super) const B: u8 = 0x0b;
/// C: the flags of events. Reading clears them.
pub(super) const C: u8 = 0x0c;
/// D: whether the time is valid.
pub(super) const D: u8 = 0x0d;

/// A: update in progress. Read-only.
pub(super) const A_UPDATING: u8 = 1 << 7;
/// A: divider, bits 6:4. 2 is for a crystal of 32,768 Hz; 6 and 7 hold the divider in reset.
pub(super) const A_DIVIDER: u8 = 7 << 4;
/// A: periodic rate, bits 3:0.
pub(super) const A_RATE: u8 = 0xf;

/// B: updates are stopped, so that the time can be set.
pub(super) const B_SET: u8 = 1 << 7;
/// B: enables interrupts by the flags of C, which have the same bits.
pub(super) const B_INTERRUPTS: u8 = C_PERIODIC | C_ALARM | C_UPDATE;
/// B: numbers are binary, not BCD.
pub(super) const B_BINARY: u8 = 1 << 2;
/// B: 24-hour format, instead of 12 hours with a bit for the afternoon.
pub(super) const B_24_HOURS: u8 = 1 << 1;

/// C: an enabled flag is set: the interrupt line is asserted.
pub(super) const C_INTERRUPT: u8 = 1 << 7;
/// C: a period of the periodic rate has ended.
pub(super) const C_PERIODIC: u8 = 1 << 6;
/// C: the time has reached the alarm's.
pub(super) const C_ALARM: u8 = 1 << 5;
/// C: the time was updated.
pub(super) const C_UPDATE: u8 = 1 << 4;

/// D: RAM and time are valid (the battery is good). Read-only.
pub(super) const D_VALID: u8 = 1 << 7;

/// Marks hours of the afternoon in 12-hour mode.
pub(super) const AFTERNOON: u8 = 1 << 7;
/// The first value of an alarm register that means "any".
pub(super) const ANY: u8 = 0xc0;
