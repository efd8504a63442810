//! The registers that gdb sees: those of x86-64, as `target.xml` describes them.

use gdbstub::arch::{Arch, Registers as GdbRegisters};
use vmm::exit::little;
use vmm::registers::{Register, Registers, SystemRegisters};

/// x86-64 with control registers.
pub(super) enum X86 {}

impl Arch for X86 {
    type Usize = u64;
    type Registers = VcpuRegisters;
    type BreakpointKind = usize;
    type RegId = ();

    fn target_description_xml() -> Option<&'static str> {
        Some(include_str!("target.xml"))
    }
}

/// The registers of a vCPU.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct VcpuRegisters {
    pub(super) general: Registers,
    pub(super) system: SystemRegisters,
}

/// The general registers and RIP, in gdb's order.
const GENERAL: [Register; 17] = [
    Register::Rax,
    Register::Rbx,
    Register::Rcx,
    Register::Rdx,
    Register::Rsi,
    Register::Rdi,
    Register::Rbp,
    Register::Rsp,
    Register::R8,
    Register::R9,
    Register::R10,
    Register::R11,
    Register::R12,
    Register::R13,
    Register::R14,
    Register::R15,
    Register::Rip,
];

/// The bytes of the x87 registers: ST0 to ST7 with 10 each, and eight control registers with 4.
const X87: usize = 8 * 10 + 8 * 4;
/// The bytes of the SSE registers: XMM0 to XMM15 with 16 each, and MXCSR with 4.
const SSE: usize = 16 * 16 + 4;

impl GdbRegisters for VcpuRegisters {
    type ProgramCounter = u64;

    fn pc(&self) -> u64 {
        self.general.rip
    }

    fn gdb_serialize(&self, write_byte: impl FnMut(Option<u8>)) {
        let Self { general: r, system: s } = self;
        let general = GENERAL.map(|register| r.get(register));
        let short = [
            r.rflags as u32,
            s.cs.selector.into(),
            s.ss.selector.into(),
            s.ds.selector.into(),
            s.es.selector.into(),
            s.fs.selector.into(),
            s.gs.selector.into(),
        ];
        let system = [s.fs.base, s.gs.base, s.cr0, s.cr2, s.cr3, s.cr4, s.cr8, s.efer];
        let general = general.iter().flat_map(|value| value.to_le_bytes());
        let short = short.iter().flat_map(|value| value.to_le_bytes());
        let mut bytes: Vec<_> = general.chain(short).map(Some).collect();
        // gdb insists on descriptions of these; they are not available.
        bytes.extend([None; X87 + SSE]);
        bytes.extend(system.iter().flat_map(|value| value.to_le_bytes()).map(Some));
        bytes.into_iter().for_each(write_byte);
    }

    fn gdb_deserialize(&mut self, bytes: &[u8]) -> Result<(), ()> {
        let mut rest = bytes;
        let mut next = |length: usize| {
            let (taken, left) = rest.split_at_checked(length).ok_or(())?;
            rest = left;
            Ok(little(taken))
        };
        let Self { general: r, system: s } = self;
        for register in GENERAL {
            r.set(register, next(8)?);
        }
        r.rflags = next(4)?;
        for segment in [&mut s.cs, &mut s.ss, &mut s.ds, &mut s.es, &mut s.fs, &mut s.gs] {
            segment.selector = next(4)? as u16;
        }
        next(X87 + SSE)?;
        let system = [
            &mut s.fs.base,
            &mut s.gs.base,
            &mut s.cr0,
            &mut s.cr2,
            &mut s.cr3,
            &mut s.cr4,
            &mut s.cr8,
            &mut s.efer,
        ];
        for register in system {
            *register = next(8)?;
        }
        Ok(())
    }
}

impl VcpuRegisters {
    /// The general registers, RIP and the flags that differ in `new`. `None` if another register
    /// that gdb sees does, too.
    pub(super) fn changes(&self, new: &Self) -> Option<Vec<(Register, u64)>> {
        let mut with_new_general = self.clone();
        with_new_general.general = new.general;
        let bytes = |registers: &Self| {
            let mut bytes = Vec::new();
            registers.gdb_serialize(|byte| bytes.push(byte));
            bytes
        };
        if bytes(&with_new_general) != bytes(new) {
            return None;
        }
        // gdb sees the lower half of RFLAGS; there is nothing in the upper one.
        let value = |of: &Self, register| of.general.get(register);
        let changed = Register::ALL.into_iter().map(|register| (register, value(new, register)));
        Some(changed.filter(|(register, new)| value(self, *register) != *new).collect())
    }
}

#[cfg(test)]
#[path = "arch_tests.rs"]
mod tests;
