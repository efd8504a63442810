//! Registers and address translations of a vCPU that has stopped. Each set of registers is read on
//! first use and then kept.

use vmm::hook::Context;
use vmm::memory::PAGE_SIZE;
use vmm::paging::{self, Fault};
use vmm::registers::{DebugRegisters, Register, Registers, SystemRegisters};

use super::machine::Result;
use super::{Cause, Event};
use crate::variable::{From, Variable};

/// The number of address translations that are kept.
const PAGES: usize = 4;

/// The vCPU's registers and some translations, read as they are needed. They are valid until the
/// vCPU runs again.
#[derive(Debug, Default)]
pub struct Values {
    general: Option<Registers>,
    system: Option<SystemRegisters>,
    debug: Option<DebugRegisters>,
    pages: [Page; PAGES],
    /// The steps that probes have taken since the vCPU stopped.
    pub(super) spent: u64,
}

/// The translation of one page of the guest's linear addresses.
#[derive(Clone, Copy, Debug, Default)]
struct Page {
    /// The page's linear address with bit 0 set; 0 marks an unused entry.
    tag: u64,
    /// The page's guest-physical address.
    physical: u64,
}

impl Values {
    /// The general registers.
    pub(crate) fn general(&mut self, context: &mut Context) -> Result<&Registers> {
        fetch(&mut self.general, || context.cpu.registers())
    }

    /// Records the value that a general register will have when the vCPU runs again.
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

    /// Drops the translations, because the page tables may have been written.
    pub(super) fn forget_pages(&mut self) {
        self.pages = Default::default();
    }

    /// Segments, descriptor tables and control registers.
    pub(crate) fn system(&mut self, context: &mut Context) -> Result<&SystemRegisters> {
        fetch(&mut self.system, || context.cpu.system_registers())
    }

    /// The value of a built-in variable.
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

    /// Fills `buffer` from the guest's memory at a linear address.
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

    /// Translates a linear address to a guest-physical one.
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
