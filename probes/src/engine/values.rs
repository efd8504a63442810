//! What was read of a vCPU since it stopped, so that nothing is read twice or in vain.

use vmm::hook::Context;
use vmm::registers::{DebugRegisters, Registers, SystemRegisters};

use super::Cause;
use crate::variable::{From, Variable};

/// The vCPU's registers as far as somebody asked for them. Good until the vCPU runs on.
#[derive(Debug, Default)]
pub struct Values {
    general: Option<Registers>,
    system: Option<SystemRegisters>,
    debug: Option<DebugRegisters>,
    arguments: [u64; 10],
}

impl Values {
    /// Values of a probe point with arguments.
    pub fn with_arguments(arguments: [u64; 10]) -> Self {
        Self { arguments, ..Self::default() }
    }

    /// The general registers.
    pub fn general(&mut self, context: &mut Context) -> Result<&Registers, Cause> {
        fetch(&mut self.general, || context.cpu.registers())
    }

    /// Segments, tables and control registers.
    pub fn system(&mut self, context: &mut Context) -> Result<&SystemRegisters, Cause> {
        fetch(&mut self.system, || context.cpu.system_registers())
    }

    /// A built-in variable.
    pub(super) fn variable(
        &mut self,
        variable: Variable,
        context: &mut Context,
    ) -> Result<u64, Cause> {
        Ok(match variable.from {
            From::General(field) => field(self.general(context)?),
            From::System(field) => field(self.system(context)?),
            From::Debug(field) => field(fetch(&mut self.debug, || context.cpu.debug_registers())?),
            From::Msr(index) => context.cpu.msr(index).map_err(Cause::Cpu)?,
            From::VcpuId => u64::from(context.vcpu),
            From::NumVcpus => u64::from(context.vcpus),
            From::HostProcessor => nix::sched::sched_getcpu()
                .map_err(|errno| Cause::Host { what: variable.name, errno })?
                as u64,
            From::HostThread => nix::unistd::gettid().as_raw() as u64,
            From::Argument(number) => {
                self.arguments.get(usize::from(number)).copied().unwrap_or_default()
            }
        })
    }
}

fn fetch<T>(slot: &mut Option<T>, read: impl FnOnce() -> vmm::Result<T>) -> Result<&T, Cause> {
    let value = match slot.take() {
        Some(value) => value,
        None => read().map_err(Cause::Cpu)?,
    };
    Ok(slot.insert(value))
}
