//! Script instructions that ask for the task that a vCPU runs.

use inspect::linux::Task;

use super::Cause;
use super::machine::{Firing, Result};
use crate::ir::TaskValue;

/// `IA32_KERNEL_GS_BASE` (AMD APM vol. 2, appendix A): the base that SWAPGS exchanges with that of
/// GS.
const KERNEL_GS_BASE: u32 = 0xc000_0102;

impl Firing<'_, '_> {
    fn task(&mut self, what: &'static str) -> Result<Task> {
        self.in_vcpu(what)?;
        self.charge(50)?;
        let system = *self.values.system(self.context)?;
        // The kernel's data is in the upper half of the addresses, where no program's GS can be.
        let is_kernels = system.gs.base >> 63 == 1;
        let data = if is_kernels {
            system.gs.base
        } else {
            self.context.cpu.msr(KERNEL_GS_BASE).map_err(Cause::Cpu)?
        };
        let task = self.shared.inspector().task(&system, data, self.context.memory);
        Ok(task.map_err(|problem| Cause::NoTask { what, problem })?)
    }

    /// `curtask`, `curpid`: pushes a number.
    pub(super) fn task_value(&mut self, value: TaskValue) -> Result<()> {
        let task = self.task(value.name())?;
        self.push(match value {
            TaskValue::Address => task.address,
            TaskValue::Process => u64::from(task.process),
        });
        Ok(())
    }

    /// `curprocname`: pushes a string.
    pub(super) fn task_name(&mut self) -> Result<()> {
        let task = self.task("curprocname")?;
        self.push_bytes(&task.name);
        Ok(())
    }
}
