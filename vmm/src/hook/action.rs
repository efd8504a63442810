//! The actions that hooks request.

use std::path::PathBuf;
use std::time::Duration;

use crate::criteria::Met;
use crate::fault::{Injection, MsrFault};
use crate::registers::Register;

/// The actions that a hook requests, in addition to what it writes to guest memory itself. The
/// scheduler performs all of them after the hook has returned.
///
/// The parallel scheduler supports all actions. The controlled scheduler only writes dumps, holds
/// vCPUs and ends a run by a criterion; any other action would change the run so that it no longer
/// follows its choices, and ends it with an error.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct HookActions {
    pub(crate) registers: Vec<(Register, u64)>,
    /// Bit n stands for vCPU n.
    pub(crate) nmis: u64,
    pub(crate) hold: Duration,
    pub(crate) stop: Option<u32>,
    pub(crate) suspend: bool,
    pub(crate) dumps: Vec<PathBuf>,
    pub(crate) met: Option<Met>,
    /// What the vCPU is given, with the numbers of the faults that want it.
    pub(crate) injections: Vec<(usize, Injection)>,
    /// What becomes of the access to an MSR that was reported.
    pub(crate) msr: Option<MsrFault>,
    /// The vCPUs whose hooks have to name their next ticks again: bit n stands for vCPU n.
    pub(crate) wakes: u64,
}

impl HookActions {
    /// Sets a register of the vCPU before its next instruction. An access that the vCPU has begun
    /// is completed first, with the old register values.
    pub fn set_register(&mut self, register: Register, value: u64) {
        self.registers.push((register, value));
    }

    /// Sends an NMI to a vCPU of the machine. As on a processor, an NMI that arrives while another
    /// is pending is merged with it, and a vCPU that waits for its SIPI takes no NMI.
    pub fn nmi(&mut self, vcpu: u32) {
        self.nmis |= 1_u64.checked_shl(vcpu).unwrap_or_default();
    }

    /// Holds the vCPU out of the guest; `time` is added to the time already requested.
    pub fn hold(&mut self, time: Duration) {
        self.hold = self.hold.saturating_add(time);
    }

    /// Ends the run with an exit code; 0 means success. The first code counts.
    pub fn stop(&mut self, code: u32) {
        self.stop.get_or_insert(code);
    }

    /// Holds all vCPUs out of the guest until the user resumes the run.
    pub fn suspend(&mut self) {
        self.suspend = true;
    }

    /// Writes the machine's memory and registers to a file, while no vCPU runs.
    pub fn dump(&mut self, path: PathBuf) {
        self.dumps.push(path);
    }

    /// Ends the run because a criterion of its machine is met. The first criterion counts.
    pub(crate) fn end(&mut self, met: Met) {
        self.met.get_or_insert(met);
    }

    /// Gives the vCPU what a fault, the one with this number, wants it to get.
    /// [`Hook::injected`](super::Hook::injected) is called with the result.
    pub(crate) fn inject(&mut self, fault: usize, injection: Injection) {
        self.injections.push((fault, injection));
    }

    /// Has a vCPU's hooks asked again when their next ticks are due.
    pub(crate) fn wake(&mut self, vcpu: u32) {
        self.wakes |= 1_u64.checked_shl(vcpu).unwrap_or_default();
    }

    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The first requested action that a controlled run does not support, by name.
    pub(crate) fn unrepeatable(&self) -> Option<&'static str> {
        [
            ("a register was set", !self.registers.is_empty()),
            ("an NMI was sent", self.nmis != 0),
            ("the run was stopped", self.stop.is_some()),
            ("the run was suspended", self.suspend),
            ("a fault struck in real time", !self.injections.is_empty() || self.msr.is_some()),
        ]
        .into_iter()
        .find(|(_, asked)| *asked)
        .map(|(what, _)| what)
    }
}
