//! A running hash of the accesses of vCPUs to shared memory and to devices.
//!
//! Two runs with the same hash made the same accesses with the same values in the same order. The
//! hash leaves out what differs between hosts (RIP at a port exit), so that runs can be compared
//! across hosts.

use std::hash::Hasher;

use twox_hash::XxHash64;

use crate::registers::Registers;

/// The tags that identify the kind of each hashed event.
pub(super) mod tag {
    pub(in crate::controlled) const READ: u64 = 1;
    pub(in crate::controlled) const WRITE: u64 = 2;
    pub(in crate::controlled) const PORT_READ: u64 = 3;
    pub(in crate::controlled) const PORT_WRITE: u64 = 4;
    pub(in crate::controlled) const INTERRUPT: u64 = 5;
    pub(in crate::controlled) const HALT: u64 = 6;
    pub(in crate::controlled) const STEP: u64 = 7;
    pub(in crate::controlled) const CLOCK: u64 = 8;
    pub(in crate::controlled) const FAULT: u64 = 9;
}

/// The hash of a run so far.
#[derive(Clone)]
pub struct RunHash(XxHash64);

impl std::fmt::Debug for RunHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RunHash({:016x})", self.value())
    }
}

impl Default for RunHash {
    fn default() -> Self {
        Self(XxHash64::with_seed(0))
    }
}

impl RunHash {
    /// Adds words to the hash.
    pub(super) fn add<const N: usize>(&mut self, words: [u64; N]) {
        for word in words {
            self.0.write(&word.to_le_bytes());
        }
    }

    /// Adds bytes that were read or written, with their number.
    pub(super) fn add_bytes(&mut self, bytes: &[u8]) {
        self.add([bytes.len() as u64]);
        self.0.write(bytes);
    }

    /// The hash so far.
    pub fn value(&self) -> u64 {
        self.0.finish()
    }
}

/// A hash of the general-purpose registers, RIP and RFLAGS, to recognise that a vCPU has come back
/// to the same state.
pub(super) fn of_registers(r: &Registers) -> u64 {
    let mut hash = RunHash::default();
    hash.add([
        r.rax, r.rbx, r.rcx, r.rdx, r.rsi, r.rdi, r.rsp, r.rbp, r.r8, r.r9, r.r10, r.r11, r.r12,
        r.r13, r.r14, r.r15, r.rip, r.rflags,
    ]);
    hash.value()
}
