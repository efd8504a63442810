//! Whether a vCPU can be interrupted.

use super::ControlledMachine;
use crate::cpu::Cpu;
use crate::error::Result;
use crate::registers::Registers;

/// The interrupt state of a vCPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attention {
    /// Whether interrupts are enabled.
    pub on: bool,
    /// The vector that the LAPIC would deliver next. It stays pending while interrupts are
    /// disabled.
    pub pending: Option<u8>,
    /// Whether the vCPU serves an NMI: it takes no other NMI until IRET.
    pub in_nmi: bool,
}

impl ControlledMachine {
    pub(super) fn attention(&mut self, vcpu: u32) -> Result<Attention> {
        let pending = self.platform.apics.lapics[vcpu as usize].pending();
        let ctx = &mut self.vcpus[vcpu as usize];
        let on = ctx.cpu.registers()?.rflags & Registers::INTERRUPT_FLAG != 0;
        let in_nmi = self.serves_nmi(vcpu)?;
        Ok(Attention { on, pending, in_nmi })
    }
}
