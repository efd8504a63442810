//! Points at addresses of the guest.

use std::fmt;

use super::{Class, Mechanisms};

/// What is done at an address so that the probe fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// `GUEST:ENTER`: its function is called; the stack is as the call left it.
    Enter,
    /// `GUEST:EXIT`: its function returns; `ARG0` is what it returns.
    Exit,
    /// `GUEST:OFFSET`: the instruction there is next.
    Offset,
    /// `GUEST:STEP`: each instruction of its function is next.
    Step,
    /// `GUEST:READ`: it is read.
    Read,
    /// `GUEST:WRITE`: it is written.
    Write,
}

impl Access {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Enter, Self::Exit, Self::Offset, Self::Step, Self::Read, Self::Write];

    /// The word in scripts.
    pub fn name(self) -> &'static str {
        match self {
            Self::Enter => "ENTER",
            Self::Exit => "EXIT",
            Self::Offset => "OFFSET",
            Self::Step => "STEP",
            Self::Read => "READ",
            Self::Write => "WRITE",
        }
    }

    /// What it is about.
    pub fn class(self) -> Class {
        match self {
            Self::Read | Self::Write => Class::Access,
            _ => Class::Address,
        }
    }

    /// What the scheduler must be able to do.
    pub fn mechanism(self) -> Mechanisms {
        match self {
            Self::Enter | Self::Exit | Self::Offset => Mechanisms::BREAKPOINTS,
            Self::Step => Mechanisms::STEPS,
            Self::Read | Self::Write => Mechanisms::WATCHES,
        }
    }

    /// What `ARG0` and so on are.
    pub fn arguments(self) -> &'static [&'static str] {
        match self {
            // The registers of the System V AMD64 convention.
            Self::Enter => &["RDI", "RSI", "RDX", "RCX", "R8", "R9"],
            Self::Exit => &["RAX"],
            Self::Offset | Self::Step => &[],
            Self::Read => &["address", "bytes", "the value"],
            Self::Write => &["address", "bytes", "the value", "the value before"],
        }
    }
}

/// An address of the guest and what is done there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// What makes the probe fire.
    pub access: Access,
    /// Guest-virtual.
    pub start: u64,
    /// How many bytes of data, or of code that is stepped through; 1 for other code.
    pub length: u64,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GUEST:{}:{:#x}", self.access.name(), self.start)?;
        match self.access {
            Access::Read | Access::Write | Access::Step if self.length != 1 => {
                write!(f, ":{}", self.length)
            }
            Access::Offset => f.write_str(":0x0"),
            _ => Ok(()),
        }
    }
}
