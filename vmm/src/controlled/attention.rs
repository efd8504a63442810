//! Whether a vCPU can be interrupted.

use super::ControlledMachine;
use super::granularity::Granularity;
use super::single::IF;
use crate::cpu::Cpu;
use crate::error::Result;

/// How a vCPU stands to interrupts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attention {
    /// It has interrupts on.
    pub on: bool,
    /// The vector that its LAPIC would give it next. With interrupts off it stays pending.
    pub pending: Option<u8>,
    /// It serves an NMI, and takes no other until IRET.
    pub in_nmi: bool,
}

impl ControlledMachine {
    pub(super) fn attention(&mut self, vcpu: u32) -> Result<Attention> {
        let pending = self.platform.lapics[vcpu as usize].pending();
        let ctx = &mut self.vcpus[vcpu as usize];
        let on = ctx.cpu.registers()?.rflags & IF != 0;
        let in_nmi = match self.granularity {
            Granularity::Watch => ctx.cpu.serves_nmi()?,
            Granularity::Instruction => ctx.shadow.nmi_masked,
        };
        Ok(Attention { on, pending, in_nmi })
    }
}
