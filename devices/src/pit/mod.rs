//! The PIT: an 8254, three counters on a clock of 1,193,182 Hz.
//!
//! Counter 0's output is interrupt line 0, counter 1 once refreshed memory, counter 2 drives the
//! speaker and is gated by a bit of port 0x61, where its output can be read: operating systems
//! measure their clocks with it. A counter is programmed by a control word to port 0x43 and a count
//! of one or two bytes to its own port, and from then on counts by itself.
//!
//! Source: Intel 8254 datasheet (231164); port 0x61: Intel ICH datasheet, "NMI Status and Control".
//!
//! All six modes are here. The scheduler lowers and raises line 0 for each rising edge that
//! [`Pit::advance`] tells, which it calls when [`Pit::next_deadline`] has come, and after each
//! write: a new mode can take the output high at once.

mod clock;
mod counter;

pub use clock::PIT_HZ;

use clock::{ticks, time};
use counter::Counter;

/// Counter 0's port; the others' and the control word's follow.
pub const PIT_FIRST: u16 = 0x40;
/// How many ports there are from [`PIT_FIRST`].
pub const PIT_PORTS: u16 = 4;
/// Gate and output of counter 2, and the speaker.
pub const SPEAKER_PORT: u16 = 0x61;
/// The interrupt line of counter 0.
pub const PIT_LINE: u8 = 0;

/// The control word. Write-only.
const CONTROL: u16 = 0x43;
/// Control word, bits 7:6: the read-back command.
const READ_BACK: u8 = 3;

/// Port 0x61's bits.
mod speaker {
    /// Counter 2's gate.
    pub(super) const GATE: u8 = 1 << 0;
    /// Speaker data; parity and channel check: kept, and mean nothing.
    pub(super) const KEPT: u8 = 0b1110;
    /// The refresh request, which changes every 15 us. Read-only.
    pub(super) const REFRESH: u8 = 1 << 4;
    /// Counter 2's output. Read-only.
    pub(super) const OUTPUT: u8 = 1 << 5;
    /// How many ticks the refresh bit takes to change: counter 1's count on every PC. It doesn't
    /// depend on counter 1 here, which no firmware has set up.
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
    /// Rising edges of counter 0 that nobody has taken.
    rises: u64,
}

impl Default for Pit {
    fn default() -> Self {
        Self::new()
    }
}

impl Pit {
    /// A PIT that counts nothing. (A PC's firmware would have set it up; there is none.)
    pub fn new() -> Self {
        let counters = [Counter::new(true), Counter::new(true), Counter::new(false)];
        Self { counters, kept: 0, next_rise: None, rises: 0 }
    }

    /// What the guest reads at a port. Reading steps through the bytes of a count.
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

    /// Takes a write to a port.
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

    /// A counter's output; of one that doesn't exist, low.
    pub fn output(&self, channel: usize, now: u64) -> bool {
        self.counters.get(channel).is_some_and(|counter| counter.output(ticks(now)))
    }

    /// When counter 0's output next goes high. 0, "at once", if it has and nobody has taken it.
    pub fn next_deadline(&self) -> Option<u64> {
        if self.rises > 0 { Some(0) } else { self.next_rise.and_then(time) }
    }

    /// Takes the rising edges of counter 0 up to `now`: how many there were since the last call.
    pub fn advance(&mut self, now: u64) -> u64 {
        self.settle(ticks(now));
        std::mem::take(&mut self.rises)
    }

    /// Counts the rising edges up to `tick`. Takes a few steps, however many there are.
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
            // Bits 3:1 select counters; bits 5 and 4 are what is *not* held.
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
        // Bits 5:4 are which bytes of the count; with none it is the latch command.
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
