//! Pending interrupts and NMIs that a vCPU can't take yet.
//!
//! When a vCPU enables interrupts, or ends the handler of an NMI by IRET, KVM notices a pending one
//! at a place that depends on the host: some hosts look only at the next exit, after 1,023
//! instructions, or when a signal or another thread interrupts them. So KVM is told of an interrupt
//! or NMI only when the vCPU takes it, and a vCPU with a pending one is single-stepped to the place
//! where it can.

use super::ControlledMachine;
use super::granularity::Granularity;
use crate::error::Result;

/// What is pending and masked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Masked {
    pub(super) interrupt: bool,
    pub(super) nmi: bool,
}

impl Masked {
    /// Whether the vCPU has to be single-stepped.
    pub(super) fn any(self) -> bool {
        self.interrupt || self.nmi
    }
}

impl ControlledMachine {
    pub(super) fn masked(&mut self, vcpu: u32) -> Masked {
        let pending = self.platform.apics.lapics[vcpu as usize].pending().is_some();
        let ctx = &mut self.vcpus[vcpu as usize];
        Masked { interrupt: pending && !ctx.cpu.takes_interrupts(), nmi: ctx.shadow.nmi_pending }
    }

    /// Whether an NMI is being served: no other NMI is taken until IRET. At the granularity `watch`
    /// KVM knows when the IRET has come, but it is not asked about a vCPU that was given no NMI: in
    /// the Intel bed it once said that such a vCPU served one.
    pub(super) fn serves_nmi(&mut self, vcpu: u32) -> Result<bool> {
        let ctx = &mut self.vcpus[vcpu as usize];
        if self.granularity == Granularity::Watch && ctx.shadow.nmi_masked {
            ctx.shadow.nmi_masked = ctx.cpu.serves_nmi()?;
        }
        Ok(ctx.shadow.nmi_masked)
    }
}
