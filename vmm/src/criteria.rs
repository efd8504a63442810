//! When a run has succeeded or failed, besides what the machine shows by itself.
//!
//! A guest that was written for jitterbug ends its run by a port, with a code. Any other kernel says
//! on its console how it is, or comes to a function of its own: its user knows which, and says so by
//! `--ok`, `--fail`, `--ok-at` and `--fail-at`. Both run loops have these criteria from the machine's
//! configuration: the console is looked through where its bytes come by ([`ConsoleMatcher`]), and
//! instructions are found by breakpoints ([`AtPlaces`]). The first criterion that is met ends the run.

mod matcher;
mod pattern;

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use matcher::ConsoleMatcher;
pub use pattern::Pattern;

/// What ends a run as a success or as a failure.
#[derive(Clone, Debug, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Criteria {
    /// Success: the console has one of these in a line.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ok: Vec<Pattern>,
    /// Failure: the console has one of these in a line.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fail: Vec<Pattern>,
    /// Success: a vCPU comes to one of these instructions.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ok_at: Vec<Place>,
    /// Failure: a vCPU comes to one of these instructions.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fail_at: Vec<Place>,
    /// Whether the guest is one that may end up idle: every vCPU sleeps and takes interrupts, and none
    /// is on its way. Otherwise that is a hang.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub may_idle: bool,
}

impl Criteria {
    /// Whether a run has to come to something before it is a success.
    pub fn expects(&self) -> bool {
        !self.ok.is_empty() || !self.ok_at.is_empty()
    }

    /// Whether a machine that is quiet has not failed: the guest may idle, and nothing is outstanding.
    pub fn quiet_passes(&self) -> bool {
        self.may_idle && !self.expects()
    }

    /// Whether any instruction is among them.
    pub fn has_places(&self) -> bool {
        !self.ok_at.is_empty() || !self.fail_at.is_empty()
    }

    /// What it comes to when a vCPU is at this linear address. Failure goes first.
    pub fn met_at(&self, address: u64) -> Option<Met> {
        let find = |places: &[Place]| places.iter().find(|place| place.address == address).cloned();
        let of = |failed| move |place: Place| Met { failed, by: Criterion::At(place.symbol) };
        find(&self.fail_at).map(of(true)).or_else(|| find(&self.ok_at).map(of(false)))
    }
}

/// An instruction, by the name that its user gave.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// The name.
    pub symbol: String,
    /// Its linear address; in text it is hexadecimal.
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
    /// Whether it is one of failure.
    pub failed: bool,
    /// Which one.
    pub by: Criterion,
}

/// What a run was looked through for.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Criterion {
    /// This on the console.
    Console(Pattern),
    /// A vCPU at the instruction of this name.
    At(String),
    /// None of those of success, when the guest ended the run.
    Nothing,
}

impl Met {
    /// The guest has ended the run with its own success, and nothing of what its user calls success has come.
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
