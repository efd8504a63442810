//! Single steps at watch granularity, where only some instructions are stepped.
//!
//! On some hosts, a step over PAUSE or STI ends only behind the following instruction. Code that
//! must see every instruction has these two executed here.

use iced_x86::Mnemonic;

use super::ControlledMachine;
use crate::cpu::{Cpu, Debuggable};
use crate::error::Result;
use crate::instruction::Decoded;

impl ControlledMachine {
    /// Executes the instruction that a vCPU is stopped before, if a single step may run past it.
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

    /// Whether this instruction may let the vCPU take a pending interrupt behind it. The exact
    /// place differs between hosts.
    pub(super) fn may_let_interrupt_in(&self, vcpu: u32, decoded: &Decoded) -> bool {
        use Mnemonic::{Popf, Popfd, Popfq, Sti};
        self.platform.apics.lapics[vcpu as usize].pending().is_some()
            && matches!(decoded.instruction.mnemonic(), Sti | Popf | Popfd | Popfq)
    }
}
