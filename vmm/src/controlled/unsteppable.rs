//! Single steps where only some instructions are looked at (watch granularity).
//!
//! Some hosts don't end a step behind PAUSE and STI, but behind the instruction that follows. Whoever must
//! see every instruction has these two executed here.

use iced_x86::Mnemonic;

use super::ControlledMachine;
use crate::cpu::{Cpu, Debuggable};
use crate::error::Result;
use crate::instruction::Decoded;

impl ControlledMachine {
    /// Executes the instruction that a vCPU stands before, if it is one that steps may run past.
    pub(super) fn execute_unsteppable(&mut self, vcpu: u32, decoded: &Decoded) -> Result<bool> {
        let cpu = &mut self.vcpus[vcpu as usize].cpu;
        match decoded.instruction.mnemonic() {
            Mnemonic::Pause => {
                let mut registers = cpu.registers()?;
                registers.rip = decoded.instruction.next_ip();
                cpu.set_registers(&registers)?;
            }
            Mnemonic::Sti if cpu.system_registers()?.privilege() == 0 => cpu.enable_interrupts()?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Whether this instruction may let a pending interrupt of the vCPU in, somewhere behind it: where
    /// exactly, hosts don't agree.
    pub(super) fn may_let_interrupt_in(&self, vcpu: u32, decoded: &Decoded) -> bool {
        use Mnemonic::{Popf, Popfd, Popfq, Sti};
        self.platform.lapics[vcpu as usize].pending().is_some()
            && matches!(decoded.instruction.mnemonic(), Sti | Popf | Popfd | Popfq)
    }
}
