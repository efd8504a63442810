//! gdb's breakpoints and watchpoints.

use experiments::timeline::{WatchKind, Watchpoint};
use gdbstub::target::ext::breakpoints::{
    Breakpoints, HwBreakpoint, HwBreakpointOps, HwWatchpoint, HwWatchpointOps, SwBreakpoint,
    SwBreakpointOps, WatchKind as GdbKind,
};
use gdbstub::target::{TargetError, TargetResult};

use super::action::Kind;
use super::target::Debugged;
use crate::tell;

/// Removes one element that is equal to this one. Returns whether there was one.
pub(super) fn remove_one<T: PartialEq>(list: &mut Vec<T>, element: &T) -> bool {
    let at = list.iter().position(|other| other == element);
    at.map(|at| list.swap_remove(at)).is_some()
}

impl Debugged<'_> {
    fn add_breakpoint(&mut self, kind: Kind, address: u64) -> bool {
        self.breakpoints.push((kind, address));
        self.set_breakpoints();
        true
    }

    /// Removes one. Returns whether there was one.
    fn remove_breakpoint(&mut self, kind: Kind, address: u64) -> bool {
        let removed = remove_one(&mut self.breakpoints, &(kind, address));
        self.set_breakpoints();
        removed
    }

    fn set_breakpoints(&mut self) {
        let addresses = self.breakpoints.iter().map(|(_, address)| *address);
        self.timeline.set_breakpoints(addresses.collect());
    }
}

impl Breakpoints for Debugged<'_> {
    fn support_sw_breakpoint(&mut self) -> Option<SwBreakpointOps<'_, Self>> {
        Some(self)
    }

    fn support_hw_breakpoint(&mut self) -> Option<HwBreakpointOps<'_, Self>> {
        Some(self)
    }

    fn support_hw_watchpoint(&mut self) -> Option<HwWatchpointOps<'_, Self>> {
        Some(self)
    }
}

impl SwBreakpoint for Debugged<'_> {
    fn add_sw_breakpoint(&mut self, address: u64, _: usize) -> TargetResult<bool, Self> {
        Ok(self.add_breakpoint(Kind::Software, address))
    }

    fn remove_sw_breakpoint(&mut self, address: u64, _: usize) -> TargetResult<bool, Self> {
        Ok(self.remove_breakpoint(Kind::Software, address))
    }
}

impl HwBreakpoint for Debugged<'_> {
    fn add_hw_breakpoint(&mut self, address: u64, _: usize) -> TargetResult<bool, Self> {
        Ok(self.add_breakpoint(Kind::Hardware, address))
    }

    fn remove_hw_breakpoint(&mut self, address: u64, _: usize) -> TargetResult<bool, Self> {
        Ok(self.remove_breakpoint(Kind::Hardware, address))
    }
}

impl HwWatchpoint for Debugged<'_> {
    fn add_hw_watchpoint(
        &mut self,
        address: u64,
        length: u64,
        kind: GdbKind,
    ) -> TargetResult<bool, Self> {
        let watchpoint = self.watchpoint(address, length, kind);
        let set = self.timeline.watch(watchpoint).map_err(TargetError::Fatal)?;
        if !set {
            tell::user(&format!(
                "jitterbug: {length} bytes at {address:#x} can't be watched: the vCPUs don't share \
                 them (with --granularity instruction, nothing can be watched)"
            ));
        }
        Ok(set)
    }

    fn remove_hw_watchpoint(
        &mut self,
        address: u64,
        length: u64,
        kind: GdbKind,
    ) -> TargetResult<bool, Self> {
        let watchpoint = self.watchpoint(address, length, kind);
        Ok(self.timeline.unwatch(&watchpoint))
    }
}

impl Debugged<'_> {
    /// The page tables are those of the vCPU that runs where the watchpoint is set: gdb does not
    /// name a thread.
    fn watchpoint(&self, address: u64, length: u64, kind: GdbKind) -> Watchpoint {
        let kind = match kind {
            GdbKind::Write => WatchKind::Write,
            GdbKind::Read => WatchKind::Read,
            GdbKind::ReadWrite => WatchKind::Access,
        };
        Watchpoint { vcpu: self.timeline.vcpu(), address, length, kind }
    }
}
