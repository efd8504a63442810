//! The PIT: an 8254, with three counters on a clock of 1,193,182 Hz.
//!
//! Counter 0's output is an interrupt line, and counter 1 once refreshed memory. Counter 2 drives
//! the speaker. It is gated by a bit of port 0x61, at which its output can be read: operating
//! systems use it to measure their clocks. A counter is programmed by a control word to port 0x43
//! and a count of one or two bytes to its own port, and then counts by itself.
//!
//! Source: Intel 8254 datasheet (231164); port 0x61: Intel ICH datasheet, "NMI Status and Control".
//!
//! All six modes are supported. [`Pit::advance`] is called when time has passed, at the latest when
//! [`Pit::next_deadline`] has come, and after each write (a new mode can take the output high at
//! once), and the line is pulsed for the rising edges that it returns.

mod clock;
mod counter;
mod device;

pub use clock::PIT_HZ;

use clock::{ticks, time};
use counter::Counter;

/// Counter 0's port; the ports of the other counters and of the control word follow.
pub const PIT_FIRST: u16 = 0x40;
/// The number of ports from [`PIT_FIRST`] on.
pub const PIT_PORTS: u16 = 4;
/// The port with the gate and the output of counter 2, and the speaker.
pub const SPEAKER_PORT: u16 = 0x61;
/// The interrupt line of counter 0. Line 0 of a PC's 8259 is pin 2 of its IOAPIC; the MP table says
/// so.
pub const PIT_LINE: u32 = 2;

/// The port of the control word. Write-only.
const CONTROL: u16 = 0x43;
/// Control word, bits 7:6: the read-back command.
const READ_BACK: u8 = 3;

/// The bits of port 0x61.
mod speaker {
    /// Counter 2's gate.
    pub(super) const GATE: u8 = 1 << 0;
    /// Speaker data; parity and channel check: stored without effect.
    pub(super) const KEPT: u8 = 0b1110;
    /// The refresh request, which toggles every 15 us. Read-only.
    pub(super) const REFRESH: u8 = 1 << 4;
    /// Counter 2's output. Read-only.
    pub(super) const OUTPUT: u8 = 1 << 5;
    /// The number of ticks between changes of the refresh bit: counter 1's count on every PC. It
    /// doesn't depend on counter 1 here, which no firmware has set up.
    pub(super) const REFRESH_TICKS: u64 = 18;
}

/// The chip, and port 0x61.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pit {
    counters: [Counter; 3],
    /// Port 0x61, bits 3:1.
    kept: u8,
    /// The tick of counter 0's next rising edge.
    next_rise: Option<u64>,
    /// The number of rising edges of counter 0 that have not been taken.
    rises: u64,
}

impl Default for Pit {
    fn default() -> Self {
        Self::new()
    }
}

impl Pit {
    /// A PIT that counts nothing. (A PC's firmware would have set it up; there is no firmware.)
    pub fn new() -> Self {
        let counters = [Counter::new(true), Counter::new(true), Counter::new(false)];
        Self { counters, kept: 0, next_rise: None, rises: 0 }
    }

    /// Reads from a port. Reading a count advances to its next byte.
    pub fn read(&mut self, port: u16, now: u64) -> u8 {
        let tick = ticks(now);
        if port == SPEAKER_PORT {
            let refresh = tick / speaker::REFRESH_TICKS;
            return self.kept
                | if self.gate() { speaker::GATE } else { 0 }
                | if refresh.is_multiple_of(2) { 0 } else { speaker::REFRESH }
                | if self.output(2, now) { speaker::OUTPUT } else { 0 };
        }
        match self.counter(port) {
            Some(counter) => counter.read(tick),
            None => 0xff,
        }
    }

    /// Handles a write to a port.
    pub fn write(&mut self, port: u16, value: u8, now: u64) {
        let tick = ticks(now);
        self.settle(tick);
        let high = self.counters[0].output(tick);
        match port {
            SPEAKER_PORT => {
                self.kept = value & speaker::KEPT;
                self.counters[2].set_gate(value & speaker::GATE != 0, tick);
            }
            CONTROL => self.control(value, tick),
            _ => {
                if let Some(counter) = self.counter(port) {
                    counter.write(value, tick);
                }
            }
        }
        if !high && self.counters[0].output(tick) {
            self.rises += 1;
        }
        self.next_rise = self.counters[0].next_rise(tick);
    }

    /// The output of a counter; low for a counter that doesn't exist.
    pub fn output(&self, channel: usize, now: u64) -> bool {
        self.counters.get(channel).is_some_and(|counter| counter.output(ticks(now)))
    }

    /// When counter 0's output next goes high. 0, meaning "at once", if it has and the edge has not
    /// been taken.
    pub fn next_deadline(&self) -> Option<u64> {
        if self.rises > 0 { Some(0) } else { self.next_rise.and_then(time) }
    }

    /// Takes the rising edges of counter 0 up to `now`, and returns their number since the last
    /// call.
    pub fn advance(&mut self, now: u64) -> u64 {
        self.settle(ticks(now));
        std::mem::take(&mut self.rises)
    }

    /// Counts the rising edges up to `tick`, in a few steps however many they are.
    fn settle(&mut self, tick: u64) {
        while let Some(next) = self.next_rise.filter(|next| *next <= tick) {
            if let Some(period) = self.counters[0].steady_period(next) {
                let more = (tick - next) / period;
                self.rises = self.rises.saturating_add(more + 1);
                self.next_rise = Some(next + (more + 1) * period);
            } else {
                self.rises = self.rises.saturating_add(1);
                self.next_rise = self.counters[0].next_rise(next);
            }
        }
    }

    fn control(&mut self, word: u8, tick: u64) {
        let select = word >> 6;
        if select == READ_BACK {
            // Bits 3:1 select counters; a set bit 5 or 4 means that the count or the status is
            // *not* latched.
            for (channel, counter) in (1..).zip(&mut self.counters) {
                if word & 1 << channel != 0 {
                    if word & 1 << 5 == 0 {
                        counter.latch_count(tick);
                    }
                    if word & 1 << 4 == 0 {
                        counter.latch_status(tick);
                    }
                }
            }
            return;
        }
        let counter = &mut self.counters[usize::from(select)];
        // Bits 5:4 select the bytes of the count; if both are 0, it is the latch command.
        if word & 0x30 == 0 { counter.latch_count(tick) } else { counter.program(word) }
    }

    fn gate(&self) -> bool {
        self.counters[2].gate()
    }

    fn counter(&mut self, port: u16) -> Option<&mut Counter> {
        self.counters.get_mut(usize::from(port.checked_sub(PIT_FIRST)?))
    }
}

#[cfg(test)]
#[path = "mod_tests.rs"]
mod tests;
