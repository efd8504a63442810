//! gdb's breakpoints and watchpoints on a machine.

use std::ops::Range;

use gdbstub::target::TargetResult;
use gdbstub::target::ext::breakpoints::{
    Breakpoints, HwBreakpoint, HwBreakpointOps, HwWatchpoint, HwWatchpointOps, SwBreakpoint,
    SwBreakpointOps, WatchKind,
};
use inspect::image::for_each_part;
use vmm::guest_debug::Breakpoint;
use vmm::registers::Activity;

use super::asked::{Set, Watch};
use super::target::Live;
use crate::gdb::action::Kind;
use crate::gdb::breakpoints::remove_one;
use crate::tell;

impl Live<'_> {
    /// Sets what is in `set`, in place of what was set before. Returns whether the machine can have
    /// it.
    fn try_set(&mut self, set: Set) -> bool {
        let addresses: Vec<_> = set.breakpoints.iter().map(|(_, address)| *address).collect();
        let mut watched: Vec<Breakpoint> = Vec::new();
        for breakpoint in set.watches.iter().flat_map(Watch::breakpoints) {
            if !watched.contains(&breakpoint) {
                watched.push(breakpoint);
            }
        }
        match self.debugger.set(&addresses, &watched) {
            Ok(()) => {
                self.set = set;
                self.tell_of_steps();
            }
            Err(refused) => {
                tell::user(&format!("jitterbug: gdb: {refused}"));
                return false;
            }
        }
        true
    }

    /// Says once that this host's breakpoints are single steps.
    fn tell_of_steps(&mut self) {
        let has_registers = self.debugger.capabilities().is_none_or(|means| means.breakpoints);
        if has_registers || self.set.breakpoints.is_empty() || self.is_slowness_told {
            return;
        }
        self.is_slowness_told = true;
        tell::user(
            "jitterbug: gdb: execution breakpoints don't work on this host (`jitterbug doctor`: \
             breakpoint): while there are breakpoints, the vCPUs go in single steps, which is slow \
             and passes over handlers of interrupts",
        );
    }

    /// The first of these addresses that a vCPU has on a trapped page. jitterbug makes the accesses
    /// there itself, so no debug register tells of them.
    fn trapped(&self, range: &Range<u64>) -> Option<u64> {
        let memory = self.debugger.memory();
        let started = self.vcpus.iter().filter(|it| it.activity != Activity::WaitForSipi);
        let mut found = started.filter_map(|vcpu| {
            let length = range.end.saturating_sub(range.start) as usize;
            let parts = (range.start, length);
            let (mut is_trapped, image) = (false, &self.machine.image);
            let before = for_each_part(&vcpu.system, memory, image, parts, |physical, _| {
                is_trapped = memory.is_trapped(physical);
                !is_trapped
            });
            is_trapped.then(|| range.start.wrapping_add(before as u64))
        });
        found.next()
    }

    fn add(&mut self, kind: Kind, address: u64) -> bool {
        let mut set = self.set.clone();
        set.breakpoints.push((kind, address));
        self.try_set(set)
    }

    fn remove(&mut self, kind: Kind, address: u64) -> bool {
        let mut set = self.set.clone();
        remove_one(&mut set.breakpoints, &(kind, address)) && self.try_set(set)
    }
}

impl Breakpoints for Live<'_> {
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

impl SwBreakpoint for Live<'_> {
    fn add_sw_breakpoint(&mut self, address: u64, _: usize) -> TargetResult<bool, Self> {
        Ok(self.add(Kind::Software, address))
    }

    fn remove_sw_breakpoint(&mut self, address: u64, _: usize) -> TargetResult<bool, Self> {
        Ok(self.remove(Kind::Software, address))
    }
}

impl HwBreakpoint for Live<'_> {
    fn add_hw_breakpoint(&mut self, address: u64, _: usize) -> TargetResult<bool, Self> {
        Ok(self.add(Kind::Hardware, address))
    }

    fn remove_hw_breakpoint(&mut self, address: u64, _: usize) -> TargetResult<bool, Self> {
        Ok(self.remove(Kind::Hardware, address))
    }
}

impl HwWatchpoint for Live<'_> {
    fn add_hw_watchpoint(
        &mut self,
        address: u64,
        length: u64,
        kind: WatchKind,
    ) -> TargetResult<bool, Self> {
        if kind == WatchKind::Read {
            tell::user(
                "jitterbug: gdb: no processor can watch for loads only: use `awatch`, which stops \
                 at loads and stores",
            );
            return Ok(false);
        }
        if length > 4 * 8 {
            let problem = "bytes are more than four debug registers can watch";
            tell::user(&format!("jitterbug: gdb: {length} {problem}"));
            return Ok(false);
        }
        if let Some(trapped) = self.trapped(&(address..address.saturating_add(length))) {
            tell::user(&format!(
                "jitterbug: gdb: {trapped:#x} can't be watched: a script watches this page by \
                 trapping it, and accesses there touch no debug register: use the script's \
                 GUEST:READ or GUEST:WRITE, or `run` without the script"
            ));
            return Ok(false);
        }
        let mut set = self.set.clone();
        set.watches.push(Watch { address, length, kind });
        Ok(self.try_set(set))
    }

    fn remove_hw_watchpoint(
        &mut self,
        address: u64,
        length: u64,
        kind: WatchKind,
    ) -> TargetResult<bool, Self> {
        let mut set = self.set.clone();
        let removed = remove_one(&mut set.watches, &Watch { address, length, kind });
        Ok(removed && self.try_set(set))
    }
}
