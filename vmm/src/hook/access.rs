//! Guest accesses to memory and MSRs, as they are reported to hooks.

use std::ops::Range;

/// An access of the guest to watched memory, of at most 8 bytes. A longer access, or an access
/// across a page boundary, is reported in parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// Guest-physical address.
    pub address: u64,
    /// The number of bytes, 1 to 8.
    pub size: u8,
    /// True for a store, false for a load.
    pub write: bool,
    /// The value that is loaded or stored, little-endian. This value and the next are 0 if a data
    /// watchpoint reports the access and [`Watch::values`](super::Watch::values) doesn't include
    /// them.
    pub value: u64,
    /// The value before the access.
    pub before: u64,
    /// Whether the access is half of a locked instruction: the load, or the store that immediately
    /// follows it.
    pub locked: bool,
    /// RIP as hooks see it: for loads and locked instructions the address of the instruction, for
    /// other stores the address of the next instruction.
    pub rip: u64,
    /// Whether the instruction that made the access is known, which a trapped page always tells.
    /// A data watchpoint only tells that the watched bytes at `address` were touched. If the
    /// instruction isn't known, the access may begin elsewhere and have another size, `locked` is
    /// not known, and `rip` is behind the instruction.
    pub exact: bool,
}

impl Access {
    /// Whether the access touches a byte of this guest-physical range.
    pub fn touches(&self, range: &Range<u64>) -> bool {
        self.address < range.end && range.start < self.address + u64::from(self.size)
    }
}

/// An access of the guest to a model-specific register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MsrAccess {
    /// The register's number.
    pub index: u32,
    /// True for WRMSR, false for RDMSR.
    pub write: bool,
    /// The value that is read or written; `None` for a read of a register that doesn't exist (#GP).
    pub value: Option<u64>,
}
