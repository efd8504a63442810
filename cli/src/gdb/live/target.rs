//! What gdb can ask of a stopped machine.

use gdbstub::common::Tid;
use gdbstub::target::ext::base::BaseOps;
use gdbstub::target::ext::base::multithread::{
    MultiThreadBase, MultiThreadResume, MultiThreadResumeOps,
};
use gdbstub::target::ext::breakpoints::BreakpointsOps;
use gdbstub::target::ext::monitor_cmd::MonitorCmdOps;
use gdbstub::target::ext::thread_extra_info::{ThreadExtraInfo, ThreadExtraInfoOps};
use gdbstub::target::{Target, TargetError, TargetResult};
use inspect::image::for_each_part;
use inspect::monitor::activity;
use vmm::parallel::{Debugger, NotRunning, Standstill, VcpuState};
use vmm::registers::Activity;

use super::Machine;
use super::asked::{Action, Set};
use crate::gdb::arch::{VcpuRegisters, X86};
use crate::gdb::target::{EFAULT, EPERM, put, tid, vcpu};
use crate::tell;

/// A machine, as gdb's target.
pub(super) struct Live<'a> {
    pub(super) debugger: &'a Debugger,
    pub(super) machine: &'a Machine,
    /// gdb's breakpoints and watchpoints.
    pub(super) set: Set,
    /// What gdb asked for last; `None` once it was begun.
    pub(super) action: Option<Action>,
    /// The range of addresses in which steps go on, with the vCPU.
    pub(super) range: Option<(u32, std::ops::Range<u64>)>,
    /// Whether gdb waits for the end of a step.
    pub(super) is_stepping: bool,
    /// What else keeps the machine still, as the user was told last.
    pub(super) others: Vec<Standstill>,
    /// The vCPU that stopped last.
    pub(super) stopped: u32,
    /// The vCPUs at the last stop, with what gdb has changed since.
    pub(super) vcpus: Vec<VcpuState>,
    /// Whether the user was told that breakpoints are single steps.
    pub(super) is_slowness_told: bool,
    /// The user has asked for the end of the run.
    pub(super) is_quitting: bool,
}

impl<'a> Live<'a> {
    /// The machine, once all vCPUs have stopped.
    pub(super) fn new(debugger: &'a Debugger, machine: &'a Machine) -> Result<Self, NotRunning> {
        let mut live = Self {
            debugger,
            machine,
            set: Set::default(),
            action: None,
            range: None,
            is_stepping: false,
            others: Vec::new(),
            stopped: 0,
            vcpus: Vec::new(),
            is_slowness_told: false,
            is_quitting: false,
        };
        live.look()?;
        Ok(live)
    }

    /// Waits until all vCPUs have stopped, and takes their registers.
    pub(super) fn look(&mut self) -> Result<(), NotRunning> {
        self.vcpus = self.debugger.look(|stopped| stopped.vcpus.to_vec())?;
        Ok(())
    }

    pub(super) fn state(&self, tid: Tid) -> TargetResult<&VcpuState, Self> {
        self.vcpus.get(vcpu(tid) as usize).ok_or(TargetError::Errno(EFAULT))
    }

    fn refuse(problem: &str) -> TargetError<NotRunning> {
        tell::user(&format!("jitterbug: gdb: {problem}"));
        TargetError::Errno(EPERM)
    }
}

impl Target for Live<'_> {
    type Arch = X86;
    type Error = NotRunning;

    fn base_ops(&mut self) -> BaseOps<'_, X86, NotRunning> {
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

impl MultiThreadBase for Live<'_> {
    fn read_registers(
        &mut self,
        registers: &mut VcpuRegisters,
        tid: Tid,
    ) -> TargetResult<(), Self> {
        let state = self.state(tid)?;
        (registers.general, registers.system) = (state.registers, state.system);
        Ok(())
    }

    fn write_registers(&mut self, new: &VcpuRegisters, tid: Tid) -> TargetResult<(), Self> {
        let state = *self.state(tid)?;
        if state.activity == Activity::WaitForSipi {
            let text = "a vCPU that was never started has no registers to set: its SIPI sets them";
            return Err(Self::refuse(text));
        }
        let old = VcpuRegisters { general: state.registers, system: state.system };
        let Some(changes) = old.changes(new) else {
            let text = "only the general registers, RIP and RFLAGS can be set";
            return Err(Self::refuse(text));
        };
        if let Some(state) = self.vcpus.get_mut(vcpu(tid) as usize) {
            state.registers = new.general;
        }
        self.debugger.set_registers(vcpu(tid), changes);
        Ok(())
    }

    fn read_addrs(&mut self, start: u64, data: &mut [u8], tid: Tid) -> TargetResult<usize, Self> {
        let (system, memory) = (self.state(tid)?.system, self.debugger.memory());
        let range = (start, data.len());
        let read = for_each_part(&system, memory, &self.machine.image, range, |from, part| {
            memory.read(from, &mut data[part]).is_ok()
        });
        if read == 0 && !data.is_empty() { Err(TargetError::Errno(EFAULT)) } else { Ok(read) }
    }

    fn write_addrs(&mut self, start: u64, data: &[u8], tid: Tid) -> TargetResult<(), Self> {
        let (system, memory) = (self.state(tid)?.system, self.debugger.memory());
        let range = (start, data.len());
        // gdb cannot be told of a part, so all of it has to be mapped.
        let image = &self.machine.image;
        let mapped =
            for_each_part(&system, memory, image, range, |at, _| memory.read(at, &mut [0]).is_ok());
        if mapped < data.len() {
            return Err(TargetError::Errno(EFAULT));
        }
        let written = for_each_part(&system, memory, image, range, |to, part| {
            self.debugger.write(to, &data[part]).is_ok()
        });
        if written < data.len() { Err(TargetError::Errno(EFAULT)) } else { Ok(()) }
    }

    fn list_active_threads(&mut self, active: &mut dyn FnMut(Tid)) -> Result<(), NotRunning> {
        (0..self.vcpus.len() as u32).for_each(|vcpu| active(tid(vcpu)));
        Ok(())
    }

    fn support_resume(&mut self) -> Option<MultiThreadResumeOps<'_, Self>> {
        Some(self as &mut dyn MultiThreadResume<Arch = X86, Error = NotRunning>)
    }

    fn support_thread_extra_info(&mut self) -> Option<ThreadExtraInfoOps<'_, Self>> {
        Some(self)
    }
}

impl ThreadExtraInfo for Live<'_> {
    fn thread_extra_info(&self, tid: Tid, buffer: &mut [u8]) -> Result<usize, NotRunning> {
        let text = match self.vcpus.get(vcpu(tid) as usize) {
            Some(state) => format!("vCPU {}: {}", vcpu(tid), activity(state.activity)),
            None => "no such vCPU".to_owned(),
        };
        Ok(put(&text, buffer))
    }
}
