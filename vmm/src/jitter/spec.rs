//! The jitter setting, as given by `--jitter`.
//!
//! ```text
//! SPEC   := off | light | boot | CLAUSE (';' CLAUSE)*
//! CLAUSE := KIND (':' KEY '=' VALUE (',' KEY '=' VALUE)*)?
//! hold      at=io+backdoor+mmio+start  p=0.25  for=20us..5ms
//! pause     every=1ms..10ms  for=50us..5ms
//! throttle  every=1ms..5ms  for=50ms..500ms  slice=20us..200us  gap=200us..5ms
//! ```
//! A clause uses the values shown above for the keys that it omits.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use humantime::{format_duration, parse_duration};
use serde::{Serialize, Serializer};

use crate::error::{Error, Result};
use crate::exit::Exit;

/// The longest delay: a longer one is probably a typing error, and would look like a hang.
const MAX_TIME: Duration = Duration::from_mins(1);
/// The shortest delay: below this, a delay has no effect on a host.
const MIN_TIME: Duration = Duration::from_micros(1);
/// The shortest time for which a vCPU runs between two delays: below this, the next kick can arrive
/// before the guest has executed anything, and the vCPU would never make progress.
const MIN_RUN: Duration = Duration::from_micros(10);

/// A range of times, both ends included, from which a time is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    low: Duration,
    high: Duration,
}

impl Range {
    /// Fails unless both ends are from 1 us to 60 s and in order.
    pub fn new(low: Duration, high: Duration) -> Result<Self, String> {
        if low < MIN_TIME || high > MAX_TIME {
            return Err("times go from 1us to 60s".into());
        }
        if low > high {
            return Err("the range is upside down: write the shorter time first".into());
        }
        Ok(Self { low, high })
    }

    /// The shortest time.
    pub fn low(self) -> Duration {
        self.low
    }

    /// The longest time.
    pub fn high(self) -> Duration {
        self.high
    }

    const fn micros(low: u64, high: u64) -> Self {
        Self { low: Duration::from_micros(low), high: Duration::from_micros(high) }
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // "1s 500ms" contains a blank, which is inconvenient on a command line.
        let plain = |time| format_duration(time).to_string().replace(' ', "");
        write!(f, "{}..{}", plain(self.low), plain(self.high))
    }
}

impl FromStr for Range {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let time = |text: &str| {
            parse_duration(text.trim())
                .map_err(|_| format!("`{text}` is not a time: write for example 200us or 5ms"))
        };
        let (low, high) = text.split_once("..").unwrap_or((text, text));
        Self::new(time(low)?, time(high)?)
    }
}

/// A kind of exit at which a vCPU can be held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Port reads and writes, including those of the backdoor.
    Io,
    /// Accesses to the VMware backdoor's port only.
    Backdoor,
    /// Accesses to addresses outside RAM.
    Mmio,
    /// The start of an AP: after it was woken, before its first instruction.
    Start,
}

impl Place {
    const ALL: [(Self, &'static str); 4] = [
        (Self::Io, "io"),
        (Self::Backdoor, "backdoor"),
        (Self::Mmio, "mmio"),
        (Self::Start, "start"),
    ];

    fn covers(self, exit: &Exit) -> bool {
        match exit {
            Exit::PortRead { port, .. } | Exit::PortWrite { port, .. } => {
                self == Self::Io || self == Self::Backdoor && *port == devices::backdoor::PORT
            }
            Exit::MmioRead { .. } | Exit::MmioWrite { .. } => self == Self::Mmio,
            Exit::ApStart => self == Self::Start,
            _ => false,
        }
    }
}

/// The setting for holding vCPUs at exits.
#[derive(Clone, Debug, PartialEq)]
pub struct Holds {
    /// The kinds of exits.
    pub places: Vec<Place>,
    /// The probability of a hold at each such exit.
    pub probability: f64,
    /// The length of a hold.
    pub length: Range,
}

impl Holds {
    /// Whether this exit is of one of these kinds.
    pub fn applies_to(&self, exit: &Exit) -> bool {
        self.places.iter().any(|place| place.covers(exit))
    }
}

/// The setting for pausing vCPUs at random times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pauses {
    /// The time from one pause to the next.
    pub every: Range,
    /// The length of a pause.
    pub length: Range,
}

/// The setting for throttling one vCPU after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Throttling {
    /// The time from one election of a victim to the next; an election during which there is a
    /// victim has no effect.
    pub every: Range,
    /// How long a victim is throttled, unless it goes to sleep before.
    pub length: Range,
    /// How long a victim runs at a time.
    pub slice: Range,
    /// How long a victim waits between two slices.
    pub gap: Range,
}

/// A jitter setting.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JitterSpec {
    /// Holds at exits.
    pub hold: Option<Holds>,
    /// Pauses at random times.
    pub pause: Option<Pauses>,
    /// Throttling of victims.
    pub throttle: Option<Throttling>,
}

const HOLD_TIME: Range = Range::micros(20, 5_000);
const PAUSES: Pauses =
    Pauses { every: Range::micros(1_000, 10_000), length: Range::micros(50, 5_000) };
const THROTTLING: Throttling = Throttling {
    every: Range::micros(1_000, 5_000),
    length: Range::micros(50_000, 500_000),
    slice: Range::micros(20, 200),
    gap: Range::micros(200, 5_000),
};

fn default_holds() -> Holds {
    let places = Place::ALL.map(|(place, _)| place).to_vec();
    Holds { places, probability: 0.25, length: HOLD_TIME }
}

impl JitterSpec {
    /// The names of the presets.
    pub const PRESETS: [&'static str; 3] = ["off", "light", "boot"];

    /// Whether nothing is injected.
    pub fn is_off(&self) -> bool {
        *self == Self::default()
    }

    fn preset(name: &str) -> Option<Self> {
        match name {
            "off" => Some(Self::default()),
            // Enough to disturb a workload, and little enough to let it make progress.
            "light" => Some(Self {
                hold: Some(Holds { probability: 0.05, ..default_holds() }),
                pause: Some(PAUSES),
                throttle: None,
            }),
            // For the start of a guest, when processors are started one after the other and every
            // hand-over happens once: dense, and over soon.
            "boot" => Some(Self {
                hold: Some(Holds {
                    probability: 0.5,
                    length: Range::micros(100, 20_000),
                    ..default_holds()
                }),
                pause: None,
                throttle: Some(THROTTLING),
            }),
            _ => None,
        }
    }

    fn add_clause(&mut self, clause: &str) -> Result<(), String> {
        let (kind, settings) = clause.split_once(':').unwrap_or((clause, ""));
        let settings = Settings::parse(kind.trim(), settings)?;
        let taken = match kind.trim() {
            "hold" => self.hold.replace(settings.hold()?).is_some(),
            "pause" => self.pause.replace(settings.pause()?).is_some(),
            "throttle" => self.throttle.replace(settings.throttle()?).is_some(),
            other => {
                return Err(format!(
                    "`{other}` is neither a preset (off, light, boot) nor a clause (hold, pause, throttle)"
                ));
            }
        };
        if taken { Err(format!("`{kind}` is given twice")) } else { Ok(()) }
    }
}

/// The `key=value` pairs of one clause.
struct Settings<'a> {
    pairs: Vec<(&'a str, &'a str)>,
}

impl<'a> Settings<'a> {
    fn parse(kind: &str, text: &'a str) -> Result<Self, String> {
        let known: &[&str] = match kind {
            "hold" => &["at", "p", "for"],
            "pause" => &["every", "for"],
            "throttle" => &["every", "for", "slice", "gap"],
            _ => return Ok(Self { pairs: Vec::new() }),
        };
        let mut pairs: Vec<(&str, &str)> = Vec::new();
        for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
            let (key, value) =
                pair.split_once('=').ok_or_else(|| format!("`{pair}`: write KEY=VALUE"))?;
            if !known.contains(&key) {
                return Err(format!("`{kind}` has no `{key}`; it has {}", known.join(", ")));
            }
            if pairs.iter().any(|(seen, _)| *seen == key) {
                return Err(format!("`{kind}` gives `{key}` twice"));
            }
            pairs.push((key, value));
        }
        Ok(Self { pairs })
    }

    fn get<T: FromStr<Err = String>>(&self, key: &str, default: T) -> Result<T, String> {
        self.text(key).map_or(Ok(default), str::parse)
    }

    /// The time between two delays; fails if it is too short.
    fn run_time(&self, key: &str, default: Range) -> Result<Range, String> {
        let range: Range = self.get(key, default)?;
        if range.low < MIN_RUN {
            return Err(format!("{key}={range}: a vCPU that is left less than 10us never gets on"));
        }
        Ok(range)
    }

    fn text(&self, key: &str) -> Option<&'a str> {
        self.pairs.iter().find(|(seen, _)| *seen == key).map(|(_, value)| *value)
    }

    fn hold(&self) -> Result<Holds, String> {
        let mut holds = default_holds();
        holds.length = self.get("for", holds.length)?;
        if let Some(text) = self.text("p") {
            holds.probability =
                text.parse().ok().filter(|p| *p > 0.0 && *p <= 1.0).ok_or_else(|| {
                    format!("p={text}: a probability is a number above 0 and at most 1")
                })?;
        }
        if let Some(text) = self.text("at") {
            holds.places = text.split('+').map(place).collect::<Result<_, _>>()?;
        }
        Ok(holds)
    }

    fn pause(&self) -> Result<Pauses, String> {
        Ok(Pauses {
            every: self.run_time("every", PAUSES.every)?,
            length: self.get("for", PAUSES.length)?,
        })
    }

    fn throttle(&self) -> Result<Throttling, String> {
        Ok(Throttling {
            every: self.get("every", THROTTLING.every)?,
            length: self.get("for", THROTTLING.length)?,
            slice: self.run_time("slice", THROTTLING.slice)?,
            gap: self.get("gap", THROTTLING.gap)?,
        })
    }
}

fn place(text: &str) -> Result<Place, String> {
    Place::ALL
        .into_iter()
        .find(|(_, name)| *name == text.trim())
        .map(|(place, _)| place)
        .ok_or_else(|| format!("`{text}` is no place to hold at: io, backdoor, mmio, start"))
}

impl FromStr for JitterSpec {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if let Some(preset) = Self::preset(text.trim()) {
            return Ok(preset);
        }
        let mut spec = Self::default();
        for clause in text.split(';') {
            spec.add_clause(clause).map_err(|problem| Error::Config {
                setting: "--jitter",
                value: format!("{text:?}"),
                problem,
            })?;
        }
        Ok(spec)
    }
}

impl fmt::Display for JitterSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(name) =
            Self::PRESETS.into_iter().find(|name| Self::preset(name).as_ref() == Some(self))
        {
            return f.write_str(name);
        }
        let mut clauses = Vec::new();
        if let Some(Holds { places, probability, length }) = &self.hold {
            let names: Vec<_> = Place::ALL
                .into_iter()
                .filter(|(place, _)| places.contains(place))
                .map(|(_, name)| name)
                .collect();
            clauses.push(format!("hold:at={},p={probability},for={length}", names.join("+")));
        }
        if let Some(Pauses { every, length }) = self.pause {
            clauses.push(format!("pause:every={every},for={length}"));
        }
        if let Some(Throttling { every, length, slice, gap }) = self.throttle {
            clauses.push(format!("throttle:every={every},for={length},slice={slice},gap={gap}"));
        }
        f.write_str(&clauses.join(";"))
    }
}

impl Serialize for JitterSpec {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
#[path = "spec_tests.rs"]
mod tests;
