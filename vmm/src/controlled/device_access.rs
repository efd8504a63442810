//! Accesses to devices and interrupt controllers under the controlled scheduler.

use devices::apics::Apics;
use devices::device::ReadKind;

use super::ControlledMachine;
use super::hash::tag;
use crate::board::IoResult;
use crate::end::End;
use crate::error::Result;
use crate::exit::{Entry, Exit, little};

impl ControlledMachine {
    /// Has the devices or the interrupt controllers answer an exit.
    pub(super) fn ask_devices(&mut self, vcpu: u32, exit: &Exit) -> Result<Result<Entry, End>> {
        match self.platform.read_kind(exit) {
            ReadKind::Clock => self.looks_at_clock(vcpu),
            kind => {
                self.vcpus[vcpu as usize].tracker.clear();
                if kind == ReadKind::Changes {
                    self.progress.note();
                }
            }
        }
        // A write to an address without a device changes nothing. (Ports are not told apart.)
        let writes = match exit {
            Exit::PortWrite { .. } => true,
            Exit::MmioWrite { address, .. } => self.platform.has(*address),
            _ => false,
        };
        if writes {
            self.progress.note();
        }
        if let Some((address, value)) = apic_write(exit) {
            self.hook_apic_write(vcpu, address, value);
        }
        self.count_ipi(vcpu, exit);
        let answer = self.platform.answer(vcpu, &mut self.vcpus[vcpu as usize].cpu, exit)?;
        self.hash_answer(vcpu, exit, &answer)?;
        self.after_apic_access(vcpu, exit, &answer)?;
        Ok(match answer {
            IoResult::Enter(entry) => Ok(entry),
            IoResult::Mark => {
                self.marked = true;
                Ok(Entry::Resume)
            }
            IoResult::End(end) => Err(end),
            IoResult::Unanswered => Err(self.problem(vcpu, exit.clone())?),
        })
    }

    /// Applies what an access to an interrupt controller has caused, and reports a read.
    fn after_apic_access(&mut self, vcpu: u32, exit: &Exit, answer: &IoResult) -> Result<()> {
        for effect in self.platform.apics.take_effects() {
            self.apply_ipi_effect(effect)?;
        }
        match (exit, answer) {
            (Exit::MmioRead { address, .. }, IoResult::Enter(Entry::Data(data))) => {
                self.hook_apic_read(vcpu, *address, little(data) as u32);
            }
            (Exit::MmioWrite { address, .. }, _) if Apics::covers(*address) => {
                // The write may have changed the task priority, which is also CR8.
                let cr8 = self.platform.apics.lapics[vcpu as usize].cr8();
                self.vcpus[vcpu as usize].cpu.set_cr8(cr8);
            }
            _ => {}
        }
        Ok(())
    }

    /// Adds an access to a device to the hash of the run. An address without a device always gives
    /// the same.
    fn hash_answer(&mut self, vcpu: u32, exit: &Exit, answer: &IoResult) -> Result<()> {
        match (exit, answer) {
            (Exit::PortWrite { port, data, .. }, _) => {
                self.hash.add([tag::PORT_WRITE, vcpu.into(), (*port).into()]);
                self.hash.add_bytes(data);
            }
            (Exit::PortRead { port, .. }, answer) => {
                self.hash.add([tag::PORT_READ, vcpu.into(), (*port).into()]);
                if let IoResult::Enter(Entry::Data(data)) = answer {
                    self.hash.add_bytes(data);
                }
            }
            (Exit::MmioWrite { address, data }, _) if self.platform.has(*address) => {
                self.note(tag::WRITE, vcpu, *address, data)?;
            }
            (Exit::MmioRead { address, .. }, IoResult::Enter(Entry::Data(data)))
                if self.platform.has(*address) =>
            {
                self.note(tag::READ, vcpu, *address, data)?;
            }
            _ => {}
        }
        Ok(())
    }
}

/// Whether this is an access to a register of an interrupt controller.
pub(super) fn is_of_interrupt_controller(exit: &Exit) -> bool {
    match exit {
        Exit::MmioRead { address, .. } | Exit::MmioWrite { address, .. } => Apics::covers(*address),
        _ => false,
    }
}

/// A 32-bit write to a register of an interrupt controller: its address and value.
pub(super) fn apic_write(exit: &Exit) -> Option<(u64, u32)> {
    let Exit::MmioWrite { address, data } = exit else { return None };
    let value = u32::from_le_bytes(data.as_slice().try_into().ok()?);
    Apics::covers(*address).then_some((*address, value))
}
