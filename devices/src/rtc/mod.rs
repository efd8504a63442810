//! The real-time clock: an MC146818 with its CMOS RAM.
//!
//! The chip has 128 bytes behind an index port and a data port: the time in ten of them, four
//! status registers, and RAM. It has one interrupt line, for the end of each second, for an alarm,
//! and for a periodic rate. A flag in register C tells which of them interrupted, and reading C
//! lowers the line.
//!
//! Source: Motorola MC146818A datasheet; the ports and the century byte are the PC's.
//!
//! In every controlled run, the time starts at [`START`] when virtual time is 0. Line 8 is set to
//! [`Rtc::irq`] after each access and each [`Rtc::advance`], which is called when time has passed,
//! at the latest when [`Rtc::next_deadline`] has come. Flags that can't interrupt are computed when
//! the guest reads them: a clock without enabled interrupts changes no state.

mod alarm;
mod clock;
mod date;
mod device;
mod registers;

use alarm::Alarm;
use clock::Clock;
use date::Date;
use registers as reg;

/// The port that selects the byte, bits 6:0. Bit 7 masks NMIs on a PC, but not here. Write-only.
pub const RTC_INDEX: u16 = 0x70;
/// The port that accesses the selected byte.
pub const RTC_DATA: u16 = 0x71;
/// The interrupt line.
pub const RTC_LINE: u32 = 8;

/// The time at virtual time 0: Thursday, 1 January 2026, 00:00:00.
pub const START: &str = "2026-01-01T00:00:00";
/// The same time, in seconds since 1970.
pub const START_UNIX: u64 = 1_767_225_600;

const START_DATE: Date = Date { year: 2026, month: 1, day: 1, hour: 0, minute: 0, second: 0 };

/// The value of A that firmware sets: the divider for 32,768 Hz, and 1,024 Hz as the periodic rate.
const A_START: u8 = 0x26;

/// The real-time clock.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Rtc {
    index: u8,
    clock: Clock,
    /// Register A without UIP.
    a: u8,
    b: u8,
    /// Register C without IRQF, up to time `seen`.
    flags: u8,
    /// The time up to which the flags have been computed.
    seen: u64,
    /// The bytes that are neither time nor status: alarms and RAM.
    ram: [u8; 128],
}

impl Default for Rtc {
    fn default() -> Self {
        Self::new()
    }
}

impl Rtc {
    /// A clock as firmware leaves it: BCD, 24 hours, no interrupts.
    pub fn new() -> Self {
        Self::starting_at(START_UNIX)
    }

    /// The same, with another time at the machine's start, in seconds since 1970. A time before
    /// [`START_UNIX`] counts as that.
    pub fn starting_at(unix: u64) -> Self {
        Self {
            index: 0,
            clock: Clock::new(START_DATE.plus(unix.saturating_sub(START_UNIX))),
            a: A_START,
            b: reg::B_24_HOURS,
            flags: 0,
            seen: 0,
            ram: [0; 128],
        }
    }

    /// Reads from a port. Reading C clears it.
    pub fn read(&mut self, port: u16, now: u64) -> u8 {
        if port != RTC_DATA {
            return 0xff;
        }
        let date = self.clock.date(now);
        match self.index {
            reg::SECOND => self.encode(date.second),
            reg::MINUTE => self.encode(date.minute),
            reg::HOUR => self.encode_hour(date.hour),
            reg::WEEKDAY => date.weekday(),
            reg::DAY => self.encode(date.day),
            reg::MONTH => self.encode(date.month),
            reg::YEAR => self.encode((date.year % 100) as u8),
            reg::CENTURY => self.encode((date.year / 100) as u8),
            reg::A => self.a | if self.clock.updating(now) { reg::A_UPDATING } else { 0 },
            reg::B => self.b,
            reg::C => {
                self.settle(now);
                let irq = if self.irq() { reg::C_INTERRUPT } else { 0 };
                std::mem::take(&mut self.flags) | irq
            }
            reg::D => reg::D_VALID,
            index => self.ram[usize::from(index & 0x7f)],
        }
    }

    /// Handles a write to a port.
    pub fn write(&mut self, port: u16, value: u8, now: u64) {
        match port {
            RTC_INDEX => self.index = value & 0x7f,
            RTC_DATA => {
                self.settle(now);
                self.set_register(value, now);
            }
            _ => {}
        }
    }

    /// Whether the interrupt line is asserted (IRQF).
    pub fn irq(&self) -> bool {
        self.flags & self.b & reg::B_INTERRUPTS != 0
    }

    /// When the line is next asserted. `None` while it is asserted, and while no interrupt is
    /// enabled.
    pub fn next_deadline(&self) -> Option<u64> {
        if self.irq() {
            return None;
        }
        let enabled = |flag| self.b & flag != 0;
        let periodic = enabled(reg::C_PERIODIC).then(|| self.next_period()).flatten();
        let update = enabled(reg::C_UPDATE).then(|| self.clock.next_update(self.seen)).flatten();
        let alarm = enabled(reg::C_ALARM).then(|| self.next_alarm()).flatten();
        [periodic, update, alarm].into_iter().flatten().min()
    }

    /// Performs what is due up to `now`; returns whether the line is then asserted.
    pub fn advance(&mut self, now: u64) -> bool {
        if self.next_deadline().is_some_and(|deadline| deadline <= now) {
            self.settle(now);
        }
        self.irq()
    }

    /// Computes the flags up to `now`.
    fn settle(&mut self, now: u64) {
        let due = |at: Option<u64>, flag| if at.is_some_and(|at| at <= now) { flag } else { 0 };
        self.flags |= due(self.next_period(), reg::C_PERIODIC)
            | due(self.clock.next_update(self.seen), reg::C_UPDATE)
            | due(self.next_alarm(), reg::C_ALARM);
        self.seen = self.seen.max(now);
    }

    fn next_period(&self) -> Option<u64> {
        let cycles = match self.a & reg::A_RATE {
            0 => return None,
            // The rates 1 and 2 are 256 and 128 Hz again; 3 is 8,192 Hz, and each following rate is
            // half the one before.
            rate @ 1..=2 => 64 << rate,
            rate => 1 << (rate - 1),
        };
        self.clock.next_period(cycles, self.seen)
    }

    fn next_alarm(&self) -> Option<u64> {
        let first = self.clock.next_update(self.seen)?;
        let seconds = self.alarm().seconds_from(self.clock.date(self.seen))?;
        first.checked_add(u64::from(seconds - 1) * 1_000_000_000)
    }

    fn alarm(&self) -> Alarm {
        let register = |index: u8| Some(self.ram[usize::from(index)]).filter(|it| *it < reg::ANY);
        Alarm {
            hour: register(reg::HOUR_ALARM).map(|hour| self.decode_hour(hour)),
            minute: register(reg::MINUTE_ALARM).map(|minute| self.decode(minute)),
            second: register(reg::SECOND_ALARM).map(|second| self.decode(second)),
        }
    }

    fn set_register(&mut self, value: u8, now: u64) {
        let number = self.decode(value);
        let clock = &mut self.clock;
        match self.index {
            reg::SECOND => clock.set_date(now, |date| date.second = number),
            reg::MINUTE => clock.set_date(now, |date| date.minute = number),
            reg::HOUR => {
                let hour = self.decode_hour(value);
                self.clock.set_date(now, |date| date.hour = hour);
            }
            reg::DAY => clock.set_date(now, |date| date.day = number),
            reg::MONTH => clock.set_date(now, |date| date.month = number),
            reg::YEAR => clock.set_date(now, |date| {
                date.year = date.year / 100 * 100 + u16::from(number % 100);
            }),
            reg::CENTURY => clock.set_date(now, |date| {
                date.year = date.year % 100 + u16::from(number % 100) * 100;
            }),
            reg::A => {
                self.a = value & (reg::A_DIVIDER | reg::A_RATE);
                // 0 and 1 are for faster crystals than a PC's; 3 to 5 test the chip. A guest that
                // selects 0 or 1 gets the PC's speed, as in QEMU.
                clock.run(self.a & reg::A_DIVIDER <= 2 << 4, now);
            }
            reg::B => {
                // "A high SET also clears UIE."
                let cleared = if value & reg::B_SET != 0 { reg::C_UPDATE } else { 0 };
                self.b = value & !cleared;
                clock.freeze(value & reg::B_SET != 0, now);
            }
            reg::WEEKDAY | reg::C | reg::D => {}
            index => self.ram[usize::from(index & 0x7f)] = value,
        }
    }

    fn encode(&self, value: u8) -> u8 {
        if self.b & reg::B_BINARY != 0 { value } else { ((value / 10 % 10) << 4) | (value % 10) }
    }

    fn decode(&self, value: u8) -> u8 {
        if self.b & reg::B_BINARY != 0 {
            value
        } else {
            // Digits above 9 are an error of the guest; they are used with their value.
            (value >> 4) * 10 + (value & 0xf)
        }
    }

    fn encode_hour(&self, hour: u8) -> u8 {
        if self.b & reg::B_24_HOURS != 0 {
            return self.encode(hour);
        }
        let afternoon = if hour % 24 >= 12 { reg::AFTERNOON } else { 0 };
        self.encode((hour % 12 + 11) % 12 + 1) | afternoon
    }

    fn decode_hour(&self, value: u8) -> u8 {
        if self.b & reg::B_24_HOURS != 0 {
            return self.decode(value);
        }
        let hour = self.decode(value & !reg::AFTERNOON) % 12;
        if value & reg::AFTERNOON != 0 { hour + 12 } else { hour }
    }
}

#[cfg(test)]
#[path = "mod_tests.rs"]
mod tests;
