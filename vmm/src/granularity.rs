//! The granularity of a controlled run: where its scheduling points are.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use crate::error::Error;

/// The work of a vCPU from one scheduling point to the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Granularity {
    /// One access to a trapped page, a port or an interrupt controller, and the private work that
    /// follows.
    #[default]
    Watch,
    /// One instruction. No shared page is trapped: for code that shares memory where no page can be
    /// trapped.
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
