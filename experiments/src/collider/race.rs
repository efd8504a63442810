//! Two accesses that race.

use std::time::Duration;

/// The most different races that are kept.
const MAX_RACES: usize = 256;

/// One of two accesses that race.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// The vCPU.
    pub vcpu: u32,
    /// The guest-physical address.
    pub address: u64,
    /// The number of bytes.
    pub size: u8,
    /// Whether it is a write.
    pub write: bool,
    /// Whether it is a part of a locked instruction.
    pub locked: bool,
    /// The value that was read or written; `None` if it isn't known.
    pub value: Option<u64>,
    /// Where the vCPU was, innermost frame first.
    pub stack: Vec<u64>,
    /// Whether the first address of the stack is behind the instruction.
    pub behind: bool,
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
        (self.stack.first().copied().unwrap_or_default(), self.write)
    }
}

/// Two accesses of different vCPUs to the same bytes that nothing orders. Which of them came first
/// isn't known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Race {
    /// The number of the variable, in the order in which they were given.
    pub variable: usize,
    /// The access behind which a vCPU was held.
    pub held: Access,
    /// The access of another vCPU in this time.
    pub other: Access,
    /// The time between the two, as far as they were noticed: an access that comes at the same time
    /// as the other may be noticed later although it came first.
    pub apart: Duration,
    /// How often accesses by these two instructions met.
    pub times: u64,
}

impl Race {
    /// Whether both are about the same two instructions, in either order.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        let sites = |race: &Self| (race.held.site(), race.other.site());
        let (one, two) = sites(other);
        self.variable == other.variable && (sites(self) == (one, two) || sites(self) == (two, one))
    }
}

/// Adds races to those that are known already. Returns the number of those that were not kept,
/// because there was no room.
pub fn merge(known: &mut Vec<Race>, more: impl IntoIterator<Item = Race>) -> u64 {
    let mut left_out = 0;
    for race in more {
        if let Some(known) = known.iter_mut().find(|known| known.is_like(&race)) {
            known.times += race.times;
        } else if known.len() < MAX_RACES {
            known.push(race);
        } else {
            left_out += 1;
        }
    }
    left_out
}
