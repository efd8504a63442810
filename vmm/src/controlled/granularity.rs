//! Where the scheduling points are.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use super::ControlledMachine;
use crate::error::Error;
use crate::identity::CpuidEntry;

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

    /// The longest loop that is recognised, in scheduling points.
    pub(super) fn longest_loop(self) -> usize {
        match self {
            Self::Watch => 64,
            Self::Instruction => 1024,
        }
    }

    /// The longest round that is compared to prove a hang.
    pub(super) fn longest_round(self) -> usize {
        4 * self.longest_loop()
    }

    /// How many points each vCPU may go on without progress, unless told otherwise.
    pub fn hang_budget(self) -> u64 {
        match self {
            Self::Watch => ControlledMachine::HANG_BUDGET,
            // A delay loop passes some.
            Self::Instruction => 5 * ControlledMachine::HANG_BUDGET,
        }
    }

    /// Takes out of a CPUID leaf what is not ours to answer.
    ///
    /// Registers of x2APIC and of the TSC deadline timer are MSRs that KVM keeps to itself. Where
    /// each instruction is ours, so is what it says of time and chance: what we don't answer must
    /// not be offered. RDRAND and RDSEED are answered, but who has them uses them for nothing that
    /// could be repeated elsewhere.
    pub(super) fn restrict(self, mut entry: CpuidEntry) -> CpuidEntry {
        const X2APIC: u32 = 1 << 21;
        const TSC_DEADLINE: u32 = 1 << 24;
        const RDRAND: u32 = 1 << 30;
        const TSC_ADJUST: u32 = 1 << 1;
        const RDSEED: u32 = 1 << 18;
        const WAITPKG: u32 = 1 << 5;
        let instruction = self == Self::Instruction;
        match entry.leaf {
            1 => {
                entry.ecx &= !(X2APIC | TSC_DEADLINE);
                if instruction {
                    entry.ecx &= !RDRAND;
                }
            }
            7 if instruction && entry.subleaf.is_none_or(|subleaf| subleaf == 0) => {
                entry.ebx &= !(TSC_ADJUST | RDSEED);
                entry.ecx &= !WAITPKG;
            }
            // Performance counters count the host's work.
            0xa if instruction => {
                (entry.eax, entry.ebx, entry.ecx, entry.edx) = (0, 0, 0, 0);
            }
            _ => {}
        }
        entry
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
