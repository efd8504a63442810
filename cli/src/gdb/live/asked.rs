//! What gdb asks of a machine.

use std::ops::Range;

use gdbstub::target::ext::breakpoints::WatchKind;
use vmm::guest_debug::{Breakpoint, Trigger, pieces};

use crate::gdb::action::Kind;

/// What gdb asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Continue,
    /// A vCPU executes an instruction, or instructions until it leaves the range.
    Step(u32, Option<Range<u64>>),
}

/// A watchpoint as gdb names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Watch {
    pub(super) address: u64,
    pub(super) length: u64,
    pub(super) kind: WatchKind,
}

impl Watch {
    /// What is put into debug registers.
    pub(super) fn breakpoints(&self) -> impl Iterator<Item = Breakpoint> {
        let trigger = match self.kind {
            WatchKind::Write => Trigger::Write,
            WatchKind::Read | WatchKind::ReadWrite => Trigger::Access,
        };
        pieces(self.address, self.length)
            .map(move |(address, length)| Breakpoint { address, trigger: trigger(length) })
    }
}

/// All that gdb has set.
#[derive(Clone, Debug, Default)]
pub(super) struct Set {
    pub(super) breakpoints: Vec<(Kind, u64)>,
    pub(super) watches: Vec<Watch>,
}

impl Set {
    /// The watchpoint that a debug register is for.
    pub(super) fn watch_of(&self, breakpoint: &Breakpoint) -> Option<&Watch> {
        self.watches.iter().find(|watch| watch.breakpoints().any(|one| one == *breakpoint))
    }
}
