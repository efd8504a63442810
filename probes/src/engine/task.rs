//! Script instructions that ask for the task that a vCPU runs.

use inspect::linux::{Task, data_of};

use super::Cause;
use super::machine::{Firing, Result};
use crate::ir::TaskValue;

impl Firing<'_, '_> {
    fn task(&mut self, what: &'static str) -> Result<Task> {
        self.in_vcpu(what)?;
        self.charge(50)?;
        let system = *self.values.system(self.context)?;
        let data = data_of(self.context.cpu, &system).map_err(Cause::Cpu)?;
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
