//! Data watchpoints: the processor's debug registers tell of accesses to a few bytes of memory.
//!
//! Unlike a trapped page (`trapped.rs`), a watchpoint takes no memory away from the guest, and
//! accesses to other data on the same page cost nothing. But it tells less:
//!
//! * It compares linear addresses, so an access through another mapping of the same memory is not
//!   seen. [`Watchpoint`] therefore exists for the linear address of the guest's image and for the
//!   equal physical one, which code uses before it turns paging on, and other mappings that the
//!   vCPU's page tables have at the end of the run are reported ([`WatchReport`]).
//! * It stops the vCPU behind the instruction, and does not tell which bytes were accessed, nor
//!   the value. The instruction is looked for in front of RIP (`accessor.rs`).
//! * It does not see what KVM's emulator accesses instead of the processor.
//!
//! [`WatchPlan`] decides, before the machine is made, whether watchpoints can tell what the hooks
//! use; otherwise all of a run's watches are trapped pages.

mod accessor;
mod plan;
mod report;
mod touched;

pub use plan::WatchPlan;
pub use report::WatchReport;
pub(crate) use touched::Watching;

use crate::guest_debug::{Breakpoint, Length, Trigger};

/// One watchpoint: a few bytes at a linear address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watchpoint {
    /// The linear address.
    pub linear: u64,
    /// The guest-physical address of the memory that is meant.
    pub physical: u64,
    /// The number of bytes.
    pub length: Length,
    /// Whether it tells of stores only, and not of loads and stores. No processor can tell of loads
    /// only.
    pub stores_only: bool,
}

impl Watchpoint {
    /// What is put into a debug register.
    fn breakpoint(&self) -> Breakpoint {
        let kind = if self.stores_only { Trigger::Write } else { Trigger::Access };
        Breakpoint { address: self.linear, trigger: kind(self.length) }
    }

    /// Whether an access of `size` bytes at a linear address touches it.
    fn is_touched_by(&self, linear: u64, size: u64) -> bool {
        linear < self.linear + self.length.bytes() && self.linear < linear.saturating_add(size)
    }

    /// Whether it covers the same bytes at the same linear address.
    fn is_beside(&self, other: &Self) -> bool {
        (self.linear, self.length) == (other.linear, other.length)
    }
}
