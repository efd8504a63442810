//! The user's criteria for the success or failure of a run, in addition to what the machine itself
//! shows.
//!
//! A guest that was written for jitterbug ends its run by a port, with a code. Any other kernel
//! shows its state on its console, or reaches certain functions: its user knows them and gives them
//! by `--ok`, `--fail`, `--ok-at` and `--fail-at`. Both schedulers take these criteria from the
//! machine's configuration: the console is searched as its bytes are printed ([`ConsoleMatcher`]),
//! and instructions are found by breakpoints (`at_places.rs`). The first criterion that is met ends
//! the run.

mod matcher;
mod pattern;

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use matcher::ConsoleMatcher;
pub use pattern::Pattern;

/// The criteria by which a run succeeds or fails.
#[derive(Clone, Debug, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Criteria {
    /// Success: a line on the console contains one of these.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ok: Vec<Pattern>,
    /// Failure: a line on the console contains one of these.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fail: Vec<Pattern>,
    /// Success: a vCPU reaches one of these instructions.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ok_at: Vec<Place>,
    /// Failure: a vCPU reaches one of these instructions.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fail_at: Vec<Place>,
    /// Whether the guest may end up idle: every vCPU sleeps with interrupts enabled, and no
    /// interrupt is pending. Otherwise an idle guest is a hang.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub may_idle: bool,
}

impl Criteria {
    /// Whether a run has to meet a criterion of success.
    pub fn expects(&self) -> bool {
        !self.ok.is_empty() || !self.ok_at.is_empty()
    }

    /// Whether a text at the console can end the run.
    pub fn has_texts(&self) -> bool {
        !self.ok.is_empty() || !self.fail.is_empty()
    }

    /// Whether a quiet machine counts as a success: the guest may idle, and no criterion of success
    /// is missing.
    pub fn quiet_passes(&self) -> bool {
        self.may_idle && !self.expects()
    }

    /// Whether there are criteria about instructions.
    pub fn has_places(&self) -> bool {
        !self.ok_at.is_empty() || !self.fail_at.is_empty()
    }

    /// The criterion that is met when a vCPU is at this linear address. Failure takes precedence.
    pub fn met_at(&self, address: u64) -> Option<Met> {
        let find = |places: &[Place]| places.iter().find(|place| place.address == address).cloned();
        let of = |failed| move |place: Place| Met { failed, by: Criterion::At(place.symbol) };
        find(&self.fail_at).map(of(true)).or_else(|| find(&self.ok_at).map(of(false)))
    }
}

/// An instruction, with the name that its user gave.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// The name.
    pub symbol: String,
    /// The linear address, in text as a hexadecimal number.
    #[serde(with = "hexadecimal")]
    #[schemars(with = "String")]
    pub address: u64,
}

mod hexadecimal {
    use serde::{Deserialize, Deserializer, Serializer, de};

    #[allow(clippy::trivially_copy_pass_by_ref)] // serde passes references
    pub(super) fn serialize<S: Serializer>(value: &u64, to: S) -> Result<S::Ok, S::Error> {
        crate::hex::number(value, to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
        let text = String::deserialize(from)?;
        let digits = text.strip_prefix("0x").map(|digits| u64::from_str_radix(digits, 16));
        match digits {
            Some(Ok(value)) => Ok(value),
            _ => {
                Err(de::Error::custom(format!("`{text}` is no address such as 0xffffffff80000000")))
            }
        }
    }
}

/// A criterion that was met.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize)]
pub struct Met {
    /// Whether it is a criterion of failure.
    pub failed: bool,
    /// The criterion.
    pub by: Criterion,
}

/// The kinds of criteria.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Criterion {
    /// The console shows this pattern.
    Console(Pattern),
    /// A vCPU reaches the instruction with this name.
    At(String),
    /// No criterion of success was met before the guest ended the run.
    Nothing,
}

impl Met {
    /// The guest has ended the run with success, but no criterion of success has been met.
    pub const MISSED: Self = Self { failed: true, by: Criterion::Nothing };
}

impl fmt::Display for Met {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.failed { "failure" } else { "success" };
        match &self.by {
            Criterion::Console(pattern) => write!(f, "{what}: the console has `{pattern}`"),
            Criterion::At(symbol) => write!(f, "{what}: a vCPU has come to {symbol}"),
            Criterion::Nothing => {
                write!(
                    f,
                    "{what}: the guest ended the run before anything that --ok or --ok-at names"
                )
            }
        }
    }
}

#[cfg(test)]
#[path = "criteria/tests.rs"]
mod tests;
