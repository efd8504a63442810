//! What gdb can ask of a stopped replay.

use experiments::timeline::{Timeline, TimelineError};
use experiments::waits::Names;
use gdbstub::common::Tid;
use gdbstub::target::ext::base::BaseOps;
use gdbstub::target::ext::base::multithread::{
    MultiThreadBase, MultiThreadResume, MultiThreadResumeOps,
};
use gdbstub::target::ext::breakpoints::BreakpointsOps;
use gdbstub::target::ext::monitor_cmd::MonitorCmdOps;
use gdbstub::target::ext::thread_extra_info::{ThreadExtraInfo, ThreadExtraInfoOps};
use gdbstub::target::{Target, TargetError, TargetResult};
use inspect::Symbols;

use super::action::{Action, Kind};
use super::arch::{VcpuRegisters, X86};
use super::threads;
use crate::tell;

/// Linux's numbers of the errors that gdb shows.
pub(super) const EPERM: u8 = 1;
pub(super) const EFAULT: u8 = 14;

/// A replay, as gdb's target.
pub(super) struct Debugged<'a> {
    pub(super) timeline: Timeline<'a>,
    pub(super) names: Names<'a>,
    /// gdb's breakpoints.
    pub(super) breakpoints: Vec<(Kind, u64)>,
    /// What gdb asked for last.
    pub(super) action: Action,
    /// The scheduling point to which the next move goes instead.
    pub(super) next_point: Option<u64>,
    /// The vCPU that stopped last.
    pub(super) stopped: u32,
    /// What each vCPU does, in words, at the last stop.
    pub(super) states: Vec<String>,
    /// Whether the user was told that nothing is written.
    told: bool,
}

impl<'a> Debugged<'a> {
    pub(super) fn new(
        timeline: Timeline<'a>,
        symbols: Option<&'a Symbols>,
        image: &'a [u8],
    ) -> Self {
        Self {
            timeline,
            names: Names { symbols, image },
            breakpoints: Vec::new(),
            action: Action::Continue,
            next_point: None,
            stopped: 0,
            states: Vec::new(),
            told: false,
        }
    }

    /// Records what the vCPUs do, for `info threads`.
    pub(super) fn look(&mut self) -> Result<(), TimelineError> {
        self.states = threads::states(&mut self.timeline, &self.names)?;
        Ok(())
    }

    fn refuse_write(&mut self) -> TargetError<TimelineError> {
        if !std::mem::replace(&mut self.told, true) {
            tell::user(
                "jitterbug: gdb wants to write, and nothing was written: the run would be another \
                 one, and no replay",
            );
        }
        TargetError::Errno(EPERM)
    }
}

/// The vCPU that is gdb's thread; threads are counted from 1.
pub(super) fn vcpu(tid: Tid) -> u32 {
    u32::try_from(tid.get() - 1).unwrap_or(u32::MAX)
}

/// Puts a text into gdb's buffer, as much as it holds, and returns its length there.
pub(super) fn put(text: &str, buffer: &mut [u8]) -> usize {
    let length = text.len().min(buffer.len());
    buffer[..length].copy_from_slice(&text.as_bytes()[..length]);
    length
}

/// The thread that is a vCPU.
pub(super) fn tid(vcpu: u32) -> Tid {
    Tid::MIN.saturating_add(vcpu as usize)
}

impl Target for Debugged<'_> {
    type Arch = X86;
    type Error = TimelineError;

    fn base_ops(&mut self) -> BaseOps<'_, X86, TimelineError> {
        BaseOps::MultiThread(self)
    }

    fn use_lldb_register_info(&self) -> bool {
        false
    }

    fn use_fork_stop_reason(&self) -> bool {
        false
    }

    fn use_vfork_stop_reason(&self) -> bool {
        false
    }

    fn use_vforkdone_stop_reason(&self) -> bool {
        false
    }

    fn support_breakpoints(&mut self) -> Option<BreakpointsOps<'_, Self>> {
        Some(self)
    }

    fn support_monitor_cmd(&mut self) -> Option<MonitorCmdOps<'_, Self>> {
        Some(self)
    }
}

impl Debugged<'_> {
    /// Fails if there is no such vCPU.
    pub(super) fn check(&self, vcpu: u32) -> TargetResult<(), Self> {
        if vcpu < self.timeline.vcpus() { Ok(()) } else { Err(TargetError::Errno(EFAULT)) }
    }
}

impl MultiThreadBase for Debugged<'_> {
    fn read_registers(
        &mut self,
        registers: &mut VcpuRegisters,
        tid: Tid,
    ) -> TargetResult<(), Self> {
        self.check(vcpu(tid))?;
        let standing = self.timeline.standing(vcpu(tid)).map_err(TargetError::Fatal)?;
        (registers.general, registers.system) = (standing.registers, standing.system);
        Ok(())
    }

    fn write_registers(&mut self, _: &VcpuRegisters, _: Tid) -> TargetResult<(), Self> {
        Err(self.refuse_write())
    }

    fn read_addrs(&mut self, start: u64, data: &mut [u8], tid: Tid) -> TargetResult<usize, Self> {
        self.check(vcpu(tid))?;
        let read = self.timeline.read(vcpu(tid), start, data).map_err(TargetError::Fatal)?;
        if read == 0 && !data.is_empty() { Err(TargetError::Errno(EFAULT)) } else { Ok(read) }
    }

    fn write_addrs(&mut self, _: u64, data: &[u8], _: Tid) -> TargetResult<(), Self> {
        // By an empty write gdb asks whether the packet is known.
        if data.is_empty() { Ok(()) } else { Err(self.refuse_write()) }
    }

    fn list_active_threads(&mut self, active: &mut dyn FnMut(Tid)) -> Result<(), TimelineError> {
        (0..self.timeline.vcpus()).for_each(|vcpu| active(tid(vcpu)));
        Ok(())
    }

    fn support_resume(&mut self) -> Option<MultiThreadResumeOps<'_, Self>> {
        Some(self as &mut dyn MultiThreadResume<Arch = X86, Error = TimelineError>)
    }

    fn support_thread_extra_info(&mut self) -> Option<ThreadExtraInfoOps<'_, Self>> {
        Some(self)
    }
}

impl ThreadExtraInfo for Debugged<'_> {
    fn thread_extra_info(&self, tid: Tid, buffer: &mut [u8]) -> Result<usize, TimelineError> {
        let text = self.states.get(vcpu(tid) as usize).map_or("no such vCPU", String::as_str);
        Ok(put(text, buffer))
    }
}
