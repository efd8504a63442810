//! What a hook wants done to the guest.

use std::path::PathBuf;
use std::time::Duration;

use crate::criteria::Met;
use crate::registers::Register;

/// What a hook wants done to the guest, besides what it writes to its memory. The scheduler does it when
/// the hook has returned, and forgets none of it.
///
/// The parallel scheduler does all of it. Under the controlled scheduler, a dump is written and a hold is
/// kept to; the rest would make it another run than the one that was chosen, and ends it with an error.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct HookActions {
    pub(crate) registers: Vec<(Register, u64)>,
    /// Bit n is vCPU n.
    pub(crate) nmis: u64,
    pub(crate) hold: Duration,
    pub(crate) stop: Option<u32>,
    pub(crate) suspend: bool,
    pub(crate) dumps: Vec<PathBuf>,
    pub(crate) met: Option<Met>,
}

impl HookActions {
    /// Sets a register of the vCPU. That takes effect before its next instruction: an access that it
    /// has begun is finished first, with the registers as they were.
    pub fn set_register(&mut self, register: Register, value: u64) {
        self.registers.push((register, value));
    }

    /// Sends an NMI to a vCPU of the machine. As on a processor, one that comes while another is
    /// pending is the same, and a vCPU that waits for its SIPI takes none.
    pub fn nmi(&mut self, vcpu: u32) {
        self.nmis |= 1_u64.checked_shl(vcpu).unwrap_or_default();
    }

    /// Holds the vCPU out of the guest for so much longer.
    pub fn hold(&mut self, time: Duration) {
        self.hold = self.hold.saturating_add(time);
    }

    /// Ends the run: 0 is no failure. The first code counts.
    pub fn stop(&mut self, code: u32) {
        self.stop.get_or_insert(code);
    }

    /// Holds all vCPUs out of the guest until the user lets them go on.
    pub fn suspend(&mut self) {
        self.suspend = true;
    }

    /// Writes the machine's memory and registers to a file, while no vCPU runs.
    pub fn dump(&mut self, path: PathBuf) {
        self.dumps.push(path);
    }

    /// Ends the run by a criterion of its machine's. The first counts.
    pub(crate) fn end(&mut self, met: Met) {
        self.met.get_or_insert(met);
    }

    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What a recorded run can't have, by name.
    pub(crate) fn unrepeatable(&self) -> Option<&'static str> {
        [
            ("a register was set", !self.registers.is_empty()),
            ("an NMI was sent", self.nmis != 0),
            ("the run was stopped", self.stop.is_some()),
            ("the run was suspended", self.suspend),
        ]
        .into_iter()
        .find(|(_, asked)| *asked)
        .map(|(what, _)| what)
    }
}
