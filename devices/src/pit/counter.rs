//! One of the three counters (8254 datasheet, "Operational Description").
//!
//! Nothing counts here: only the tick at which the count was loaded is stored, and the count and
//! the output are derived from it.

/// The counting mode. (datasheet, "Mode Definitions")
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Mode {
    /// 0: the output goes low, and high when the count reaches zero.
    TerminalCount,
    /// 1: like mode 0, started by the gate.
    OneShot,
    /// 2: the output is low for one tick in each period.
    Rate,
    /// 3: the output is high for half of each period, and low for the other half.
    Square,
    /// 4: the output is low for one tick when the count reaches zero.
    Strobe,
    /// 5: like mode 4, started by the gate.
    GatedStrobe,
}

/// The bytes of a count that are transferred through the port. (control word, bits 5:4)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Access {
    /// 1: the lower byte; the upper byte is 0.
    Low,
    /// 2: the upper byte; the lower byte is 0.
    High,
    /// 3: the lower byte, then the upper byte.
    Both,
}

/// A count, and the tick at which it was loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Load {
    tick: u64,
    /// The count, 1 to 65,536.
    count: u64,
}

/// A counter with its latches.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Counter {
    mode: Mode,
    access: Access,
    bcd: bool,
    gate: bool,
    /// The count that the guest wrote last.
    count: Option<u64>,
    /// The count that is counted down; `None` before the first count or the first trigger.
    load: Option<Load>,
    /// A count that takes over at its tick: in modes 2 and 3 at the end of the running period.
    next: Option<Load>,
    /// In modes 0 and 4 with a low gate: the tick since which the count is paused.
    paused: Option<u64>,
    /// The lower byte of a count whose upper byte has not been written.
    low: Option<u8>,
    /// Whether the next byte that is read is the upper one.
    read_high: bool,
    /// A latched count: its unread bytes, the next one first.
    latched: Option<(u8, Option<u8>)>,
    /// A latched status byte.
    status: Option<u8>,
}

impl Counter {
    /// A counter after power-on. The datasheet leaves its state open: here it has no count, and its
    /// output is high.
    pub(super) fn new(gate: bool) -> Self {
        Self {
            mode: Mode::Square,
            access: Access::Both,
            bcd: false,
            gate,
            count: None,
            load: None,
            next: None,
            paused: None,
            low: None,
            read_high: false,
            latched: None,
            status: None,
        }
    }

    /// Handles a control word for this counter other than the latch commands: the counter starts
    /// over.
    pub(super) fn program(&mut self, word: u8) {
        let mode = match word >> 1 & 7 {
            0 => Mode::TerminalCount,
            1 => Mode::OneShot,
            2 | 6 => Mode::Rate,
            3 | 7 => Mode::Square,
            4 => Mode::Strobe,
            _ => Mode::GatedStrobe,
        };
        let access = match word >> 4 & 3 {
            1 => Access::Low,
            2 => Access::High,
            _ => Access::Both,
        };
        *self = Self { mode, access, bcd: word & 1 != 0, ..Self::new(self.gate) };
    }

    /// Handles a write of one byte of a count.
    pub(super) fn write(&mut self, value: u8, tick: u64) {
        let count = match (self.access, self.low) {
            (Access::Low, _) => u16::from(value),
            (Access::High, _) => u16::from(value) << 8,
            (Access::Both, Some(low)) => u16::from_le_bytes([low, value]),
            (Access::Both, None) => {
                self.low = Some(value);
                if self.mode == Mode::TerminalCount {
                    // The first byte stops the count and takes the output low.
                    self.load = None;
                }
                return;
            }
        };
        self.low = None;
        self.set_count(count, tick);
    }

    fn set_count(&mut self, count: u16, tick: u64) {
        let count = match (count, self.bcd) {
            (0, _) => self.modulus(),
            (count, false) => count.into(),
            (count, true) => from_bcd(count),
        };
        self.count = Some(count);
        match (self.mode, self.load_at(tick)) {
            // These modes wait for the gate.
            (Mode::OneShot | Mode::GatedStrobe, _) => {}
            // "The new count will be loaded at the end of the current counting cycle." In mode 3
            // that is the end of half a period; here it is the end of the whole period, so that no
            // period is a mixture of two counts.
            (Mode::Rate | Mode::Square, Some(running)) if self.gate => {
                let periods = tick.saturating_sub(running.tick) / running.count + 1;
                self.load = Some(running);
                self.next = Some(Load { tick: running.tick + periods * running.count, count });
            }
            (Mode::Rate | Mode::Square, _) if !self.gate => {}
            _ => self.start(tick),
        }
    }

    /// Loads the count, which takes effect with the next tick.
    fn start(&mut self, tick: u64) {
        let Some(count) = self.count else { return };
        let load = Load { tick: tick + 1, count };
        if self.mode == Mode::OneShot && !self.output(tick) {
            // It is triggered again before its end: the output stays low in between.
            self.load = self.load_at(tick);
            self.next = Some(load);
            return;
        }
        self.next = None;
        self.load = Some(load);
        self.paused = (!self.gate && self.pauses()).then_some(tick + 1);
    }

    /// Sets the gate: it pauses and resumes modes 0 and 4, stops and restarts modes 2 and 3, and
    /// triggers modes 1 and 5.
    pub(super) fn set_gate(&mut self, gate: bool, tick: u64) {
        if gate == self.gate {
            return;
        }
        self.gate = gate;
        match (self.pauses(), gate) {
            (true, false) => self.paused = Some(tick),
            (true, true) => {
                let stood = self.paused.take().map_or(0, |since| tick.saturating_sub(since));
                if let Some(load) = &mut self.load {
                    load.tick += stood;
                }
            }
            (false, true) => self.start(tick),
            (false, false) if matches!(self.mode, Mode::Rate | Mode::Square) => {
                self.load = None;
                self.next = None;
            }
            (false, false) => {}
        }
    }

    pub(super) fn gate(&self) -> bool {
        self.gate
    }

    /// Whether a low gate pauses the count.
    fn pauses(&self) -> bool {
        matches!(self.mode, Mode::TerminalCount | Mode::Strobe)
    }

    /// The count that is counted down at `tick`.
    fn load_at(&self, tick: u64) -> Option<Load> {
        self.next.filter(|next| next.tick <= tick).or(self.load)
    }

    /// The load at `tick`, and the number of ticks counted since.
    fn elapsed(&self, tick: u64) -> Option<(Load, u64)> {
        let load = self.load_at(tick)?;
        let until = self.paused.map_or(tick, |paused| paused.min(tick));
        Some((load, until.saturating_sub(load.tick)))
    }

    /// The output at `tick`.
    pub(super) fn output(&self, tick: u64) -> bool {
        let Some((Load { tick: start, count }, elapsed)) = self.elapsed(tick) else {
            return self.mode != Mode::TerminalCount;
        };
        match self.mode {
            Mode::TerminalCount => elapsed >= count,
            Mode::OneShot => tick < start || elapsed >= count,
            // A count of 1 is illegal in mode 2: there would be no tick with a high output. Here it
            // stays high.
            Mode::Rate => count == 1 || elapsed % count != count - 1,
            Mode::Square => elapsed % count < count.div_ceil(2),
            Mode::Strobe | Mode::GatedStrobe => elapsed != count,
        }
    }

    /// The first tick after `tick` at which the output goes high, if nothing else changes.
    pub(super) fn next_rise(&self, tick: u64) -> Option<u64> {
        let load = self.load_at(tick)?;
        let once = |at: u64| (self.paused.is_none() && at > tick).then_some(at);
        match self.mode {
            Mode::OneShot => self.next.or(self.load).and_then(|it| once(it.tick + it.count)),
            Mode::TerminalCount => once(load.tick + load.count),
            Mode::Strobe | Mode::GatedStrobe => once(load.tick + load.count + 1),
            Mode::Rate | Mode::Square if load.count == 1 => {
                // The next count may have edges.
                self.next.filter(|next| next.tick > tick && next.count > 1)?;
                self.next.map(|next| next.tick + next.count)
            }
            Mode::Rate | Mode::Square => {
                let periods = tick.saturating_sub(load.tick) / load.count + 1;
                Some(load.tick + periods * load.count)
            }
        }
    }

    /// The number of ticks between rises from `tick` on; `None` if the rises end or their period
    /// changes.
    pub(super) fn steady_period(&self, tick: u64) -> Option<u64> {
        let steady = self.next.is_none_or(|next| next.tick <= tick);
        let load = self.load_at(tick)?;
        let periodic = matches!(self.mode, Mode::Rate | Mode::Square) && load.count > 1;
        (steady && periodic).then_some(load.count)
    }

    /// The value of the counting element.
    fn value(&self, tick: u64) -> u16 {
        let Some((Load { count, .. }, elapsed)) = self.elapsed(tick) else {
            return self.encode(self.count.unwrap_or(0));
        };
        let left = match self.mode {
            Mode::Rate => count - elapsed % count,
            // Mode 3 counts by twos, and each half period from the even number.
            Mode::Square => {
                let (phase, high) = (elapsed % count, count.div_ceil(2));
                (count & !1) - 2 * if phase < high { phase } else { phase - high }
            }
            // The other modes continue after zero from the maximum.
            _ => {
                (count % self.modulus() + self.modulus() - elapsed % self.modulus())
                    % self.modulus()
            }
        };
        self.encode(left)
    }

    /// Latches the count for reading, unless one is latched. (counter latch command)
    pub(super) fn latch_count(&mut self, tick: u64) {
        if self.latched.is_none() {
            let [low, high] = self.value(tick).to_le_bytes();
            self.latched = Some(match self.access {
                Access::Low => (low, None),
                Access::High => (high, None),
                Access::Both => (low, Some(high)),
            });
        }
    }

    /// Latches the status for reading, unless one is latched. (read-back command)
    pub(super) fn latch_status(&mut self, tick: u64) {
        if self.status.is_some() {
            return;
        }
        let access = match self.access {
            Access::Low => 1,
            Access::High => 2,
            Access::Both => 3,
        };
        // Bit 6, "null count": the written count is not yet the one that is counted.
        let null = match self.load_at(tick) {
            Some(load) => load.tick > tick || Some(load.count) != self.count,
            None => true,
        };
        self.status = Some(
            u8::from(self.output(tick)) << 7
                | u8::from(null) << 6
                | access << 4
                | (self.mode as u8) << 1
                | u8::from(self.bcd),
        );
    }

    /// Reads a byte: the latched status, the latched count, or the running count.
    pub(super) fn read(&mut self, tick: u64) -> u8 {
        if let Some(status) = self.status.take() {
            return status;
        }
        if let Some((byte, rest)) = self.latched.take() {
            self.latched = rest.map(|high| (high, None));
            return byte;
        }
        let [low, high] = self.value(tick).to_le_bytes();
        match self.access {
            Access::Low => low,
            Access::High => high,
            Access::Both => {
                self.read_high = !self.read_high;
                if self.read_high { low } else { high }
            }
        }
    }

    fn modulus(&self) -> u64 {
        if self.bcd { 10_000 } else { 0x1_0000 }
    }

    fn encode(&self, value: u64) -> u16 {
        let value = (value % self.modulus()) as u16;
        if self.bcd { to_bcd(value) } else { value }
    }
}

/// Digits above 9 are an error of the guest; they are used with their value.
fn from_bcd(bcd: u16) -> u64 {
    (0..4).rev().fold(0, |value, digit| value * 10 + u64::from(bcd >> (4 * digit) & 0xf))
}

fn to_bcd(value: u16) -> u16 {
    (0..4).fold(0, |bcd, digit| bcd | (value / 10u16.pow(digit) % 10) << (4 * digit))
}

#[cfg(test)]
#[path = "counter_tests.rs"]
mod tests;
