//! Where the scheduling points of a controlled machine are.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use crate::error::Error;

/// What a vCPU does from one scheduling point to the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Granularity {
    /// One access to a watched page, a port or an interrupt controller, and what private work follows.
    #[default]
    Watch,
    /// One instruction. No page is watched: for code that shares memory where no hole can be.
    Instruction,
}

impl Granularity {
    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Watch => "watch",
            Self::Instruction => "instruction",
        }
    }
}

impl fmt::Display for Granularity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Granularity {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        [Self::Watch, Self::Instruction].into_iter().find(|it| it.name() == text).ok_or_else(|| {
            Error::Config {
                setting: "--granularity",
                value: text.into(),
                problem: "give watch or instruction".into(),
            }
        })
    }
}
