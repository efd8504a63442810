//! A failure that was observed in real time, and whether a failure under control is the same.
//!
//! A run in real time, with real threads, shows where every vCPU is in the end but not how it got
//! there, and the same seed doesn't reproduce it. A search under control does both. The two are
//! compared by what both can see: for a hang, the functions on the stacks of the vCPUs that loop;
//! for another failure, its verdict. Which vCPU fails doesn't matter.

use std::collections::BTreeSet;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vmm::end::{End, HangEvidence};

use crate::waits::Row;

/// A failure of a run in real time.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObservedFailure {
    /// The command whose run failed.
    pub command: String,
    /// What failed, in the words of a [`Finding`](crate::Finding)'s verdict; for a hang, only
    /// `hang`.
    pub verdict: String,
    /// For a hang: how long no vCPU had made progress, such as `3s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<String>,
    /// What the started vCPUs were doing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub vcpus: Vec<ObservedVcpu>,
}

/// What a vCPU was doing.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObservedVcpu {
    /// The vCPU.
    pub vcpu: u32,
    /// Whether the vCPU slept.
    pub asleep: bool,
    /// Where the vCPU was and what it read there, in words.
    pub doing: String,
    /// Its stack, with names where there are symbols.
    pub stack: String,
}

/// The functions on a stack, innermost first.
type Functions = Vec<String>;

impl ObservedFailure {
    /// The verdict on a run that ended like this; `None` if a search under control has no such
    /// failure.
    pub fn verdict(end: &End) -> Option<String> {
        match end {
            End::Hang(_) | End::TripleFault { .. } => Some(end.to_string()),
            End::Guest { code } if *code != 0 => Some(end.to_string()),
            _ => None,
        }
    }

    /// Whether this is a hang.
    pub fn is_hang(&self) -> bool {
        self.verdict == End::Hang(HangEvidence::Watchdog).to_string()
    }

    /// The signature by which it is compared with other failures; `None` if it isn't known where
    /// the vCPUs hang.
    pub fn signature(&self) -> Option<FailureSignature> {
        if !self.is_hang() {
            return Some(FailureSignature::verdict(&self.verdict));
        }
        let all = self.vcpus.iter().map(|seen| (seen.asleep, seen.stack.as_str()));
        let signature = FailureSignature::Hang(decisive(all));
        signature.is_known().then_some(signature)
    }
}

/// What two failures have in common if they are the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FailureSignature {
    /// The stacks of the vCPUs that loop, or, if all sleep, of the sleeping vCPUs.
    Hang(BTreeSet<Functions>),
    /// The verdict, without the number of the vCPU.
    Verdict(String),
}

impl FailureSignature {
    /// The signature of a failure under control, from its verdict and what its vCPUs wait for.
    pub fn new(verdict: &str, waits: &[Row]) -> Self {
        let is_hang =
            HangEvidence::ALL.iter().any(|evidence| verdict == End::Hang(*evidence).to_string());
        if !is_hang {
            return Self::verdict(verdict);
        }
        let started = waits.iter().filter(|row| row.waits_for != "sipi");
        let asleep = |row: &Row| row.waits_for == "interrupt";
        Self::Hang(decisive(started.map(|row| (asleep(row), row.stack.as_str()))))
    }

    fn verdict(text: &str) -> Self {
        let is_number = |text: &str| text.parse::<u32>().is_ok();
        let fault = text.rsplit_once(" of vCPU ");
        let fault = fault.filter(|(what, vcpu)| *what == "triple fault" && is_number(vcpu));
        Self::Verdict(fault.map_or(text, |(what, _)| what).into())
    }

    /// Whether each stack has a name or a caller that distinguishes it from other stacks.
    fn is_known(&self) -> bool {
        match self {
            Self::Hang(stacks) => {
                let unknown = |stack: &Functions| stack.iter().all(|name| name == UNKNOWN);
                !stacks.is_empty() && !stacks.iter().any(unknown)
            }
            Self::Verdict(_) => true,
        }
    }
}

impl fmt::Display for FailureSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Verdict(verdict) => f.write_str(verdict),
            Self::Hang(stacks) => {
                f.write_str("hang")?;
                for (number, stack) in stacks.iter().enumerate() {
                    let inner: Vec<_> = stack.iter().take(2).map(String::as_str).collect();
                    let joint = if number == 0 { " in" } else { " and" };
                    write!(f, "{joint} {}", inner.join(" < "))?;
                }
                Ok(())
            }
        }
    }
}

/// Stands for the innermost function if it has no name.
const UNKNOWN: &str = "?";

/// The stacks of the running vCPUs, or of the sleeping vCPUs if none runs. `all` has, for each
/// vCPU, whether it sleeps and its stack.
fn decisive<'a>(all: impl Iterator<Item = (bool, &'a str)>) -> BTreeSet<Functions> {
    let (asleep, running): (Vec<_>, Vec<_>) = all.partition(|(asleep, _)| *asleep);
    let which = if running.is_empty() { asleep } else { running };
    which.into_iter().map(|(_, stack)| functions(stack)).collect()
}

/// The functions of a stack in its text form. A return address without a name identifies a caller
/// as well as a name does; the innermost address doesn't identify a function, since a loop has many
/// addresses.
fn functions(stack: &str) -> Functions {
    let name = |(number, frame): (usize, &str)| {
        let name = frame.split(['+', ' ']).next().unwrap_or_default();
        if number == 0 && name.starts_with("0x") { UNKNOWN.into() } else { name.to_owned() }
    };
    stack.split(" < ").enumerate().map(name).collect()
}

#[cfg(test)]
#[path = "observed_tests.rs"]
mod tests;
