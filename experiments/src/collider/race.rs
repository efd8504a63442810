//! Two accesses that race.

use std::time::Duration;

use inspect::linux::Task;
use inspect::unwind::CallFrame;

/// One of two accesses that race.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Access {
    /// The vCPU.
    pub(super) vcpu: u32,
    /// The guest-physical address.
    pub(super) address: u64,
    /// The number of bytes.
    pub(super) size: u8,
    /// Whether it is a write.
    pub(super) write: bool,
    /// Whether it is a part of a locked instruction.
    pub(super) locked: bool,
    /// The value that was read or written; `None` if it isn't known.
    pub(super) value: Option<u64>,
    /// Where the vCPU was, innermost frame first. The address of that of a plain write is behind
    /// the instruction, like a return address.
    pub(super) stack: Vec<CallFrame>,
    /// The task of the guest's kernel that the vCPU ran; `None` if it isn't known.
    pub(super) task: Option<Task>,
}

impl Access {
    /// Whether two accesses race if nothing orders them.
    pub(super) fn conflicts(&self, other: &Self) -> bool {
        let overlap = self.address < other.address + u64::from(other.size)
            && other.address < self.address + u64::from(self.size);
        overlap && (self.write || other.write) && !(self.locked && other.locked)
    }

    /// The place in the guest's code, for comparison.
    pub(super) fn site(&self) -> (u64, bool) {
        (self.stack.first().map_or(0, |frame| frame.address), self.write)
    }
}

/// Two accesses of different vCPUs to the same bytes that nothing orders. Which of them came first
/// isn't known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Race {
    /// The number of the variable, in the order in which they were given.
    pub(super) variable: usize,
    /// The access behind which a vCPU was held.
    pub(super) held: Access,
    /// The access of another vCPU in this time.
    pub(super) other: Access,
    /// The time between the two, as far as they were noticed: an access that comes at the same time
    /// as the other may be noticed later although it came first.
    pub(super) apart: Duration,
    /// How often accesses by these two instructions met.
    pub(super) times: u64,
}

impl Race {
    /// Whether both are about the same two instructions, in either order.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        let sites = |race: &Self| (race.held.site(), race.other.site());
        self.variable == other.variable && is_same_pair(sites(self), sites(other))
    }
}

/// Whether two pairs of sites are the same, in either order.
pub(super) fn is_same_pair<T: PartialEq>((one, two): (T, T), (first, second): (T, T)) -> bool {
    one == first && two == second || one == second && two == first
}
