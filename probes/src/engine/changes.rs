//! Counts of what scripts did to the guest.

use std::fmt::{self, Write as _};
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;
use vmm::jitter::Draw;

/// What a script did to the guest in one run.
#[derive(Clone, Debug, Default, PartialEq, Eq, JsonSchema, Serialize)]
pub struct Changes {
    /// Delays that were carried out, at least in part.
    pub delays: u64,
    /// The total length of these delays.
    pub delay_microseconds: u64,
    /// Delays that were shortened or left out, because the vCPU had used up its limit for that
    /// second.
    pub cut_delays: u64,
    /// The total length that was left out.
    pub cut_microseconds: u64,
    /// NMIs sent.
    pub nmis: u64,
    /// Registers set.
    pub registers: u64,
    /// Stores to memory.
    pub pokes: u64,
    /// Requests to end the run.
    pub stops: u64,
    /// Suspensions.
    pub suspensions: u64,
    /// Dumps requested.
    pub dumps: u64,
    /// Dumps that were not written, because the run had reached its limit.
    pub cut_dumps: u64,
}

impl Changes {
    /// How many actions were carried out in all.
    pub fn total(&self) -> u64 {
        self.delays
            + self.nmis
            + self.registers
            + self.pokes
            + self.stops
            + self.suspensions
            + self.dumps
    }

    /// Whether the script did more than delay, suspend and dump, and so made the guest do something
    /// that it would not have done by itself.
    pub fn are_faults(&self) -> bool {
        self.nmis + self.registers + self.pokes + self.stops > 0
    }

    /// Adds the counts of another run.
    pub fn add(&mut self, other: &Self) {
        self.delays += other.delays;
        self.delay_microseconds += other.delay_microseconds;
        self.cut_delays += other.cut_delays;
        self.cut_microseconds += other.cut_microseconds;
        self.nmis += other.nmis;
        self.registers += other.registers;
        self.pokes += other.pokes;
        self.stops += other.stops;
        self.suspensions += other.suspensions;
        self.dumps += other.dumps;
        self.cut_dumps += other.cut_dumps;
    }
}

/// Each kind that occurred, by its function's name, followed by what was left out.
impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if self.delays + self.cut_delays > 0 {
            let mut part =
                format!("delayus {} ({:.3} ms", self.delays, self.delay_microseconds as f64 / 1e3);
            if self.cut_delays > 0 {
                // Writing to a String can't fail.
                let _ = write!(
                    part,
                    "; {} over {} ms a second: {:.3} ms not done",
                    self.cut_delays,
                    MAX_DELAY.as_millis(),
                    self.cut_microseconds as f64 / 1e3
                );
            }
            parts.push(part + ")");
        }
        let rest = [
            ("injectnmi", self.nmis),
            ("setreg", self.registers),
            ("poke", self.pokes),
            ("stopvm", self.stops),
            ("suspendvm", self.suspensions),
            ("dump", self.dumps),
        ];
        parts.extend(rest.iter().filter(|(_, n)| *n > 0).map(|(name, n)| format!("{name} {n}")));
        if self.cut_dumps > 0 {
            parts.push(format!("{} dumps more than {MAX_DUMPS} not written", self.cut_dumps));
        }
        f.write_str(&parts.join(", "))
    }
}

/// The most dumps in one run.
pub const MAX_DUMPS: u64 = 16;

/// The most that scripts may delay a vCPU within a second. The second begins with a delay.
/// `DTrace`'s `chill` has the same limit.
pub const MAX_DELAY: Duration = Duration::from_millis(500);

/// One vCPU's delays.
#[derive(Debug, Default)]
pub(super) struct Delays {
    draw: Option<Draw>,
    /// When the current second began, and how much delay has been used in it.
    second: Option<(Duration, Duration)>,
}

impl Delays {
    /// Draws a length in microseconds from this vCPU's stream of the seed.
    pub(super) fn draw(&mut self, seed: u64, vcpu: u32, low: u64, high: u64) -> u64 {
        // Jitter uses the streams whose numbers are those of the vCPUs.
        let stream = 1 << 32 | u64::from(vcpu);
        self.draw.get_or_insert_with(|| Draw::new(seed, stream)).between(low, high)
    }

    /// How much of a delay of this length is still allowed now.
    pub(super) fn take(&mut self, now: Duration, wanted: Duration) -> Duration {
        let (start, used) = match self.second {
            Some((start, used)) if now < start + Duration::from_secs(1) => (start, used),
            _ => (now, Duration::ZERO),
        };
        let taken = wanted.min(MAX_DELAY.saturating_sub(used));
        self.second = Some((start, used + taken));
        taken
    }
}
