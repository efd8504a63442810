//! Trapped memory: pages without a memory slot, so that each access of the guest to them exits.
//!
//! KVM's emulator performs such an access. It splits an access that crosses a page or is longer
//! than 8 bytes, and it can't fetch code or read page tables or descriptors from such a page. KVM
//! itself only reports a failure (an internal error), shuts the guest down, or retries for ever.
//! Ranges that are known to be unsuitable are refused beforehand (`refuse.rs`); what becomes known
//! only when the guest runs is explained (`unsuitable.rs`, `check.rs`).

mod access;
mod check;
mod refuse;
mod unsuitable;

pub use crate::unsupported::{UnsupportedAccess, Watcher};
pub(crate) use access::{load, store};
pub(crate) use check::{TableCheck, behind_a_failure, reason, refuse, split_load};
pub use refuse::can_watch;
pub(crate) use refuse::{is_memory, is_ram, watch};
pub(crate) use unsuitable::{misplaced_code, misplaced_table, split};
