//! Accesses of the guest that hooks ask for by their place.

use std::ops::Range;

/// An access of the guest to watched memory, of at most 8 bytes. A longer one, or one across the edge
/// of a page, comes in parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// Guest-physical address.
    pub address: u64,
    /// Bytes, 1 to 8.
    pub size: u8,
    /// A store; a load otherwise.
    pub write: bool,
    /// What is loaded or stored, little-endian.
    pub value: u64,
    /// What was there before.
    pub before: u64,
    /// It is one half of a locked instruction: the load, or the store that follows it at once.
    pub locked: bool,
    /// RIP at the exit: of a load and of what is locked the instruction, of other stores the one
    /// behind it.
    pub rip: u64,
}

impl Access {
    /// Whether it touches a byte of this guest-physical range.
    pub fn touches(&self, range: &Range<u64>) -> bool {
        self.address < range.end && range.start < self.address + u64::from(self.size)
    }
}

/// An access of the guest to a model-specific register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MsrAccess {
    /// The register's number.
    pub index: u32,
    /// WRMSR; RDMSR otherwise.
    pub write: bool,
    /// What is read or written; `None` for a read of a register that there is not (#GP).
    pub value: Option<u64>,
}
