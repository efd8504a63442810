//! gdb's breakpoints and watchpoints.

use experiments::timeline::{WatchKind, Watchpoint};
use gdbstub::target::ext::breakpoints::{
    Breakpoints, HwBreakpoint, HwBreakpointOps, HwWatchpoint, HwWatchpointOps, SwBreakpoint,
    SwBreakpointOps, WatchKind as GdbKind,
};
use gdbstub::target::{TargetError, TargetResult};

use super::target::Debugged;
use crate::tell;

impl Debugged<'_> {
    fn set_breakpoints(&mut self) {
        let all = self.software.iter().chain(&self.hardware).copied();
        self.timeline.set_breakpoints(all.collect());
    }
}

/// Removes one element. Returns whether there was one.
fn remove(list: &mut Vec<u64>, address: u64) -> bool {
    let at = list.iter().position(|other| *other == address);
    at.map(|at| list.swap_remove(at)).is_some()
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
        self.software.push(address);
        self.set_breakpoints();
        Ok(true)
    }

    fn remove_sw_breakpoint(&mut self, address: u64, _: usize) -> TargetResult<bool, Self> {
        let removed = remove(&mut self.software, address);
        self.set_breakpoints();
        Ok(removed)
    }
}

impl HwBreakpoint for Debugged<'_> {
    fn add_hw_breakpoint(&mut self, address: u64, _: usize) -> TargetResult<bool, Self> {
        self.hardware.push(address);
        self.set_breakpoints();
        Ok(true)
    }

    fn remove_hw_breakpoint(&mut self, address: u64, _: usize) -> TargetResult<bool, Self> {
        let removed = remove(&mut self.hardware, address);
        self.set_breakpoints();
        Ok(removed)
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
