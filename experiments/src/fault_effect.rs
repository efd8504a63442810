//! What a fault did in a run that failed, and whether the failure needs it.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A fault that struck in a run that failed.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultEffect {
    /// The scheduling point at which it struck.
    pub point: u64,
    /// What it did, in words.
    pub what: String,
    /// Where the vCPU was at which it struck.
    pub place: String,
    /// How the run ends without this fault.
    pub without: Without,
}

/// How a run ends without one of its faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Without {
    /// It passes: with this schedule, the failure needs the fault.
    Passes,
    /// It fails in the same way: the failure doesn't need the fault.
    FailsTheSame,
    /// It fails in another way.
    FailsOtherwise,
    /// It came to no end, so nothing is known.
    Unknown,
    /// The search was interrupted before it was made.
    NotTried,
}

impl fmt::Display for Without {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Passes => "without it, the same schedule passes",
            Self::FailsTheSame => "without it, the same schedule fails in the same way",
            Self::FailsOtherwise => "without it, the same schedule fails in another way",
            Self::Unknown => "without it, the same schedule came to no end",
            Self::NotTried => "whether the failure needs it was not tried",
        })
    }
}

impl fmt::Display for FaultEffect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { point, what, place, without } = self;
        write!(f, "fault: at point {point} {what}, in {place}; {without}")
    }
}
