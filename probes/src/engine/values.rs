//! What was read of a vCPU since it stopped, so that nothing is read twice or in vain.

use vmm::hook::Context;
use vmm::memory::PAGE_SIZE;
use vmm::registers::{DebugRegisters, Register, Registers, SystemRegisters};

use super::machine::Result;
use super::{Cause, Event};
use crate::paging::{self, Fault};
use crate::variable::{From, Variable};

/// Translations that are kept.
const PAGES: usize = 4;

/// The vCPU's registers as far as somebody asked for them. Good until the vCPU runs on.
#[derive(Debug, Default)]
pub struct Values {
    general: Option<Registers>,
    system: Option<SystemRegisters>,
    debug: Option<DebugRegisters>,
    pages: [Page; PAGES],
}

/// Where a page of the guest's linear addresses is.
#[derive(Clone, Copy, Debug, Default)]
struct Page {
    /// Its first address with bit 0 set; 0 is no page.
    tag: u64,
    /// Guest-physical.
    physical: u64,
}

impl Values {
    /// The general registers.
    pub(crate) fn general(&mut self, context: &mut Context) -> Result<&Registers> {
        fetch(&mut self.general, || context.cpu.registers())
    }

    /// A general register will have this value when the vCPU runs on.
    pub(super) fn set_general(
        &mut self,
        register: Register,
        value: u64,
        context: &mut Context,
    ) -> Result<()> {
        fetch(&mut self.general, || context.cpu.registers())?;
        if let Some(registers) = &mut self.general {
            registers.set(register, value);
        }
        Ok(())
    }

    /// The page tables may have been written to.
    pub(super) fn forget_pages(&mut self) {
        self.pages = Default::default();
    }

    /// Segments, tables and control registers.
    pub(crate) fn system(&mut self, context: &mut Context) -> Result<&SystemRegisters> {
        fetch(&mut self.system, || context.cpu.system_registers())
    }

    /// A built-in variable.
    pub(super) fn variable(
        &mut self,
        variable: Variable,
        event: &Event,
        context: &mut Context,
    ) -> Result<u64> {
        Ok(match variable.from {
            From::General(field) => field(self.general(context)?),
            From::System(field) => field(self.system(context)?),
            From::Debug(field) => field(fetch(&mut self.debug, || context.cpu.debug_registers())?),
            From::Msr(index) => context.cpu.msr(index).map_err(Cause::Cpu)?,
            From::TscFrequency => 1000 * u64::from(context.cpu.tsc_khz().map_err(Cause::Cpu)?),
            From::VcpuId => u64::from(context.vcpu),
            From::NumVcpus => u64::from(context.vcpus),
            From::HostProcessor => nix::sched::sched_getcpu()
                .map_err(|errno| Cause::Host { what: variable.name, errno })?
                as u64,
            From::HostThread => nix::unistd::gettid().as_raw() as u64,
            From::Elapsed => u64::try_from(context.now.as_nanos()).unwrap_or(u64::MAX),
            From::Argument(number) => {
                event.arguments.get(usize::from(number)).copied().unwrap_or_default()
            }
        })
    }

    /// Fills `buffer` from a linear address of the guest.
    pub(crate) fn read(
        &mut self,
        address: u64,
        buffer: &mut [u8],
        context: &mut Context,
    ) -> Result<()> {
        let mut at = address;
        let mut rest = buffer;
        while !rest.is_empty() {
            let in_page = (PAGE_SIZE - at % PAGE_SIZE) as usize;
            let (now, later) = rest.split_at_mut(in_page.min(rest.len()));
            let fault = |fault| Cause::Guest { address: at, fault };
            let physical = self.translate(at, context)?;
            if context.memory.read(physical, now).is_err() {
                return Err(fault(Fault::NoRam { address: physical }).into());
            }
            if later.is_empty() {
                break;
            }
            at = at.checked_add(now.len() as u64).ok_or_else(|| fault(Fault::NotCanonical))?;
            rest = later;
        }
        Ok(())
    }

    /// Where a linear address is in guest-physical memory.
    pub(super) fn translate(&mut self, address: u64, context: &mut Context) -> Result<u64> {
        let offset = address % PAGE_SIZE;
        let tag = (address - offset) | 1;
        let index = (address / PAGE_SIZE) as usize % PAGES;
        if let Some(page) = self.pages.get(index).filter(|page| page.tag == tag) {
            return Ok(page.physical + offset);
        }
        let memory = context.memory;
        let system = self.system(context)?;
        let physical = paging::translate(system, memory, address)
            .map_err(|fault| Cause::Guest { address, fault })?;
        if let Some(page) = self.pages.get_mut(index) {
            *page = Page { tag, physical: physical - offset };
        }
        Ok(physical)
    }
}

fn fetch<T>(slot: &mut Option<T>, read: impl FnOnce() -> vmm::Result<T>) -> Result<&T> {
    let value = match slot.take() {
        Some(value) => value,
        None => read().map_err(Cause::Cpu)?,
    };
    Ok(slot.insert(value))
}
