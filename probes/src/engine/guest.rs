//! Script instructions that read the vCPU and its memory.

use inspect::unwind::addresses;
use vmm::registers::Register;

use super::machine::{Firing, Result};
use super::{Cause, guest_stack, scan};
use crate::ir::{Scan, Space};
use crate::text::Text;

impl Firing<'_, '_> {
    /// Refuses values of a vCPU in a probe that doesn't belong to a vCPU.
    pub(super) fn in_vcpu(&self, what: &'static str) -> Result<()> {
        if self.probe.point.is_in_vcpu() { Ok(()) } else { Err(Cause::NoVcpu(what).into()) }
    }

    pub(super) fn builtin(&mut self, index: u32) -> Result<()> {
        let code = self.code;
        let Some(variable) = code.variables.get(index as usize) else { return Ok(()) };
        if variable.from.is_of_vcpu() {
            self.in_vcpu(variable.name)?;
        }
        let value = self.values.variable(*variable, self.event, self.context)?;
        self.push(value);
        Ok(())
    }

    pub(super) fn general_register(&mut self) -> Result<()> {
        self.in_vcpu("getgpr")?;
        let number = self.pop();
        let r = self.values.general(self.context)?;
        let register = usize::try_from(number).ok().and_then(|number| Register::ALL.get(number));
        let value = r.get(*register.ok_or(Cause::Register(number))?);
        self.push(value);
        Ok(())
    }

    pub(super) fn model_register(&mut self) -> Result<()> {
        self.in_vcpu("readmsr")?;
        self.charge(50)?;
        let number = self.pop();
        // An MSR's number has 32 bits. A larger number becomes one that no processor has.
        let number = u32::try_from(number).unwrap_or(u32::MAX);
        let value = self.context.cpu.msr(number).map_err(Cause::Cpu)?;
        self.push(value);
        Ok(())
    }

    /// The guest's stack, innermost frame first.
    pub(super) fn frames(&mut self) -> Result<Vec<u64>> {
        self.in_vcpu("the stack")?;
        let registers = *self.values.general(self.context)?;
        let system = *self.values.system(self.context)?;
        let inspector = self.shared.inspector();
        let frames = addresses(inspector.unwind(&registers, &system, self.context.memory));
        self.charge(50 + 10 * frames.len() as u64)?;
        Ok(frames)
    }

    pub(super) fn guest_stack(&mut self) -> Result<()> {
        let frames = self.frames()?;
        guest_stack::write(&frames, self.push_text());
        Ok(())
    }

    fn read(&mut self, space: Space, address: u64, buffer: &mut [u8]) -> Result<()> {
        match space {
            Space::Linear => {
                self.in_vcpu("a linear address")?;
                self.values.read(address, buffer, self.context)
            }
            Space::Physical if self.context.memory.read(address, buffer).is_ok() => Ok(()),
            Space::Physical => Err(Cause::Physical { address }.into()),
        }
    }

    pub(super) fn load(&mut self, space: Space, size: u8) -> Result<()> {
        self.charge(20)?;
        let address = self.pop();
        let mut bytes = [0; 8];
        let used = usize::from(size).min(bytes.len());
        self.read(space, address, bytes.get_mut(..used).unwrap_or_default())?;
        self.push(u64::from_le_bytes(bytes));
        Ok(())
    }

    pub(super) fn load_text(&mut self, space: Space) -> Result<()> {
        self.charge(40)?;
        let limit = (self.pop() as usize).min(Text::MAX);
        let mut address = self.pop();
        let mut bytes = [0; Text::MAX];
        let mut length = 0;
        while length < limit {
            // Reads at most to the end of the page at a time: the next page is read only if the
            // string continues there, since it may not be mapped.
            let in_page = (vmm::memory::PAGE_SIZE - address % vmm::memory::PAGE_SIZE) as usize;
            let end = (length + in_page).min(limit);
            let piece = bytes.get_mut(length..end).unwrap_or_default();
            self.read(space, address, piece)?;
            if let Some(nul) = piece.iter().position(|&byte| byte == 0) {
                length += nul;
                break;
            }
            address = address.wrapping_add((end - length) as u64);
            length = end;
        }
        self.push_text().set(bytes.get(..length).unwrap_or_default());
        Ok(())
    }

    pub(super) fn scan(&mut self, scan: Scan, callee: u64) -> Result<()> {
        self.charge(500)?;
        let address = self.pop();
        self.in_vcpu("a linear address")?;
        let bits = self.values.system(self.context)?.code_bits();
        let mut code = [0; scan::REACH];
        // Reads as many bytes as are mapped: what the scan looks for may come before the first
        // unmapped byte.
        let mut length = 0;
        while let Some(byte) = code.get_mut(length) {
            let at = address.wrapping_add(length as u64);
            match self.values.read(at, std::slice::from_mut(byte), self.context) {
                Ok(()) => length += 1,
                Err(cause) if length == 0 => return Err(cause),
                Err(_) => break,
            }
        }
        let code = code.get(..length).unwrap_or_default();
        let found = scan::run(scan, bits, address, code, callee)
            .map_err(|problem| Cause::Scan { address, problem })?;
        self.push(found);
        Ok(())
    }
}
