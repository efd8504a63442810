//! Points at addresses of the guest.

use std::fmt;

use super::{Class, Mechanisms};

/// The access to an address, or the execution there, that fires the probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// `GUEST:ENTER`: the function is called; the stack is as the call left it.
    Enter,
    /// `GUEST:EXIT`: the function returns; `ARG0` is its value.
    Exit,
    /// `GUEST:OFFSET`: the instruction at the address is next.
    Offset,
    /// `GUEST:STEP`: each instruction of the function is next.
    Step,
    /// `GUEST:READ`: the data is read.
    Read,
    /// `GUEST:WRITE`: the data is written.
    Write,
}

impl Access {
    /// All kinds of access.
    pub const ALL: [Self; 6] =
        [Self::Enter, Self::Exit, Self::Offset, Self::Step, Self::Read, Self::Write];

    /// The word for it in scripts.
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

    /// The class of points with this access.
    pub fn class(self) -> Class {
        match self {
            Self::Read | Self::Write => Class::Access,
            _ => Class::Address,
        }
    }

    /// The mechanism of the scheduler and the host that such a point needs.
    pub fn mechanism(self) -> Mechanisms {
        match self {
            Self::Enter | Self::Exit | Self::Offset => Mechanisms::BREAKPOINTS,
            Self::Step => Mechanisms::STEPS,
            Self::Read | Self::Write => Mechanisms::WATCHES,
        }
    }

    /// What `ARG0` and the following arguments are.
    pub fn arguments(self) -> &'static [&'static str] {
        match self {
            // The argument registers of the System V AMD64 calling convention.
            Self::Enter => &["RDI", "RSI", "RDX", "RCX", "R8", "R9"],
            Self::Exit => &["RAX"],
            Self::Offset | Self::Step => &[],
            Self::Read => &["address", "bytes", "the value"],
            Self::Write => &["address", "bytes", "the value", "the value before"],
        }
    }
}

/// A point at an address of the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// What makes the probe fire.
    pub access: Access,
    /// The guest-virtual address.
    pub start: u64,
    /// The number of bytes of data, or of code that is stepped through; 1 for other points at code.
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
