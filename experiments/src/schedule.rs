//! The decisions of a run, as a text that is short enough to paste into a message.
//!
//! ```text
//! 0@120>3@44>3!>0~1>0@9
//! ```
//! vCPU 0 goes on for 120 scheduling points, then vCPU 3 for 44, then vCPU 3 takes its pending
//! interrupt, then the machine's first fault strikes at vCPU 0, then vCPU 0 goes on for 9.

use std::fmt;
use std::str::FromStr;

use vmm::controlled::Choice;

/// The longest schedule that is accepted. No search makes a longer one.
const MAX_POINTS: u64 = 100_000_000;

/// A segment of a schedule: the same choice, this many times in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// What was chosen.
    pub choice: Choice,
    /// How many times in a row; always 1 for an interrupt and a fault.
    pub points: u64,
}

/// The decisions of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schedule {
    segments: Vec<Segment>,
}

/// A text that is not a schedule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{part}` is not like 0@120, 3! or 0~1: {problem}")]
pub struct ScheduleError {
    part: String,
    problem: &'static str,
}

impl Schedule {
    /// Adds a decision.
    pub fn push(&mut self, choice: Choice) {
        match self.segments.last_mut() {
            Some(last) if last.choice == choice && matches!(choice, Choice::Step(_)) => {
                last.points += 1;
            }
            _ => self.segments.push(Segment { choice, points: 1 }),
        }
    }

    /// The segments, in order.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The number of decisions.
    pub fn points(&self) -> u64 {
        self.segments.iter().map(|segment| segment.points).sum()
    }

    /// The decisions, one by one.
    pub fn choices(&self) -> impl Iterator<Item = Choice> + '_ {
        self.segments.iter().flat_map(|segment| (0..segment.points).map(move |_| segment.choice))
    }
}

impl fmt::Display for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.choice {
            Choice::Step(vcpu) => write!(f, "{vcpu}@{}", self.points),
            Choice::Interrupt(vcpu) => write!(f, "{vcpu}!"),
            Choice::Fault(vcpu, number) => write!(f, "{vcpu}~{number}"),
        }
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, segment) in self.segments.iter().enumerate() {
            if number > 0 {
                f.write_str(">")?;
            }
            segment.fmt(f)?;
        }
        Ok(())
    }
}

impl FromStr for Schedule {
    type Err = ScheduleError;

    fn from_str(text: &str) -> Result<Self, ScheduleError> {
        let mut segments = Vec::new();
        let mut total = 0u64;
        for part in text.split('>').map(str::trim).filter(|_| !text.trim().is_empty()) {
            let refuse = |problem| ScheduleError { part: part.chars().take(40).collect(), problem };
            let number = |text: &str| text.parse::<u32>().map_err(|_| refuse("no vCPU's number"));
            let segment = if let Some(vcpu) = part.strip_suffix('!') {
                Segment { choice: Choice::Interrupt(number(vcpu)?), points: 1 }
            } else if let Some((vcpu, fault)) = part.split_once('~') {
                let fault = fault.parse().ok().filter(|fault| *fault > 0);
                let fault = fault.ok_or_else(|| refuse("no fault's number, from 1"))?;
                Segment { choice: Choice::Fault(number(vcpu)?, fault), points: 1 }
            } else {
                let (vcpu, points) = part.split_once('@').ok_or_else(|| refuse("no @"))?;
                let points = points.parse().map_err(|_| refuse("no count"))?;
                Segment { choice: Choice::Step(number(vcpu)?), points }
            };
            total = total.saturating_add(segment.points);
            if segment.points == 0 || total > MAX_POINTS {
                return Err(refuse("the count is out of bounds"));
            }
            segments.push(segment);
        }
        Ok(Self { segments })
    }
}

#[cfg(test)]
#[path = "schedule_tests.rs"]
mod tests;
