//! The result of a self-test, before it becomes a row of the report.

use std::fmt;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use crate::error::Error;

/// The result of the self-test of a mechanism on this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The mechanism works as documented.
    Works,
    /// It works with restrictions.
    Partly,
    /// It is absent or refused, or causes an error.
    Missing,
    /// KVM accepts it, but it has no effect: the worst case.
    Silent,
    /// The guest never exits.
    Hangs,
    /// The self-test itself failed.
    Untested,
}

impl Verdict {
    /// The verdict's name in the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Works => "works",
            Self::Partly => "partly",
            Self::Missing => "missing",
            Self::Silent => "silent",
            Self::Hangs => "hangs",
            Self::Untested => "untested",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A time in nanoseconds, shown with two significant figures.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, JsonSchema, Serialize)]
#[serde(transparent)]
pub struct Cost(f64);

impl Cost {
    /// A cost of this many nanoseconds.
    pub const fn new(nanoseconds: f64) -> Self {
        Self(nanoseconds)
    }

    /// The difference to a base cost; 0 if the base is higher, because of noise.
    #[must_use]
    pub fn above(self, base: Self) -> Self {
        Self((self.0 - base.0).max(0.0))
    }

    /// The number of nanoseconds.
    pub fn nanoseconds(self) -> f64 {
        self.0
    }
}

impl From<Duration> for Cost {
    fn from(time: Duration) -> Self {
        Self(time.as_nanos() as f64)
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut value = self.0;
        if value > 0.0 {
            let unit = 10f64.powf(value.log10().floor() - 1.0);
            value = (value / unit).round() * unit;
        }
        let units = [(1e9, "s"), (1e6, "ms"), (1e3, "us")];
        let (scale, unit) =
            units.into_iter().find(|(scale, _)| value >= 0.999 * scale).unwrap_or((1.0, "ns"));
        let scaled = value / scale;
        let decimals = match scaled {
            0.0 => 0,
            s if s < 0.995 => 2,
            s if s < 9.95 => 1,
            _ => 0,
        };
        f.pad(&format!("{scaled:.decimals$} {unit}"))
    }
}

/// Measured times, sorted.
#[derive(Clone, Debug, Default)]
pub(super) struct Samples(Vec<Duration>);

impl Samples {
    /// The value that this fraction of the samples doesn't exceed.
    pub(super) fn quantile(&self, fraction: f64) -> Cost {
        let index = (self.0.len().saturating_sub(1) as f64 * fraction).round() as usize;
        self.0.get(index).copied().unwrap_or_default().into()
    }

    pub(super) fn median(&self) -> Cost {
        self.quantile(0.5)
    }
}

impl FromIterator<Duration> for Samples {
    fn from_iter<I: IntoIterator<Item = Duration>>(times: I) -> Self {
        let mut times: Vec<_> = times.into_iter().collect();
        times.sort_unstable();
        Self(times)
    }
}

/// The result of one self-test.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Outcome {
    pub(super) verdict: Verdict,
    pub(super) cost: Option<Cost>,
    pub(super) detail: String,
    /// What to do in this case, if it differs from the catalogue's text.
    pub(super) instead: Option<&'static str>,
}

impl Outcome {
    fn new(verdict: Verdict, detail: String) -> Self {
        Self { verdict, cost: None, detail, instead: None }
    }

    pub(super) fn works(detail: impl Into<String>) -> Self {
        Self::new(Verdict::Works, detail.into())
    }

    pub(super) fn partly(detail: impl Into<String>) -> Self {
        Self::new(Verdict::Partly, detail.into())
    }

    pub(super) fn missing(detail: impl Into<String>) -> Self {
        Self::new(Verdict::Missing, detail.into())
    }

    pub(super) fn silent(detail: impl Into<String>) -> Self {
        Self::new(Verdict::Silent, detail.into())
    }

    pub(super) fn hangs(detail: impl Into<String>) -> Self {
        Self::new(Verdict::Hangs, detail.into())
    }

    pub(super) fn untested(detail: impl Into<String>) -> Self {
        Self::new(Verdict::Untested, detail.into())
    }

    pub(super) fn instead(self, instead: &'static str) -> Self {
        Self { instead: Some(instead), ..self }
    }

    pub(super) fn costing(self, cost: impl Into<Cost>) -> Self {
        Self { cost: Some(cost.into()), ..self }
    }
}

/// Why a self-test ended early.
#[derive(Debug)]
pub(super) enum Stop {
    /// The outcome is already known.
    Decided(Outcome),
    /// A call failed.
    Failed(Error),
}

/// The result of a step of a self-test.
pub(super) type Tested<T> = Result<T, Stop>;

impl From<Outcome> for Stop {
    fn from(outcome: Outcome) -> Self {
        Self::Decided(outcome)
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl From<Stop> for Outcome {
    /// A refused call is a finding about the host; any other error is a failure of the self-test.
    fn from(stop: Stop) -> Self {
        const NO: [i32; 4] = [libc::EINVAL, libc::ENOTTY, libc::EOPNOTSUPP, libc::ENXIO];
        match stop {
            Stop::Decided(outcome) => outcome,
            Stop::Failed(Error::Kvm { call, source })
                if source.raw_os_error().is_some_and(|errno| NO.contains(&errno)) =>
            {
                Self::missing(format!("{call} says {source}"))
            }
            Stop::Failed(error @ Error::Capability { .. }) => Self::missing(error.to_string()),
            Stop::Failed(error) => {
                let first: &dyn std::error::Error = &error;
                let chain = std::iter::successors(Some(first), |error| error.source());
                let chain: Vec<_> = chain.map(ToString::to_string).collect();
                Self::untested(format!("the self-test failed: {}", chain.join(": ")))
            }
        }
    }
}

#[cfg(test)]
#[path = "outcome_tests.rs"]
mod tests;
