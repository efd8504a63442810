//! When a fault strikes for the first time in a machine that runs in real time.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use humantime::{format_duration, parse_duration};

/// The longest time: a longer one is probably a typing error.
const LONGEST: Duration = Duration::from_hours(24);

/// When a fault strikes for the first time, in real time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum When {
    /// So long after the machine's start.
    Start(Duration),
    /// So long after the guest's first mark.
    Mark(Duration),
    /// When a vCPU is about to execute the instruction at this symbol.
    Symbol(String),
}

/// `TIME`, `mark`, `mark+TIME` or `symbol:NAME`.
impl FromStr for When {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(symbol) = text.strip_prefix("symbol:").filter(|symbol| !symbol.is_empty()) {
            return Ok(Self::Symbol(symbol.into()));
        }
        let (is_mark, time) = match text.strip_prefix("mark") {
            Some("") => return Ok(Self::Mark(Duration::ZERO)),
            Some(rest) => (true, rest.strip_prefix('+')),
            None => (false, Some(text)),
        };
        let time = time.and_then(|time| parse_duration(time).ok()).filter(|time| *time <= LONGEST);
        let time = time.ok_or_else(|| {
            format!(
                "at={text}: give a time such as 5ms, at most 24h, or mark, or mark+5ms, or symbol:NAME"
            )
        })?;
        Ok(if is_mark { Self::Mark(time) } else { Self::Start(time) })
    }
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(time) => f.write_str(&compact(*time)),
            Self::Mark(Duration::ZERO) => f.write_str("mark"),
            Self::Mark(time) => write!(f, "mark+{}", compact(*time)),
            Self::Symbol(symbol) => write!(f, "symbol:{symbol}"),
        }
    }
}

/// A time without spaces: they separate words on a command line.
pub(super) fn compact(time: Duration) -> String {
    format_duration(time).to_string().replace(' ', "")
}
