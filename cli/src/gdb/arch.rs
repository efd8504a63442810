//! The registers that gdb sees: those of x86-64, as `target.xml` describes them.

use gdbstub::arch::{Arch, Registers as GdbRegisters};
use vmm::registers::{Registers, SystemRegisters};

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
        let general = [
            r.rax, r.rbx, r.rcx, r.rdx, r.rsi, r.rdi, r.rbp, r.rsp, r.r8, r.r9, r.r10, r.r11,
            r.r12, r.r13, r.r14, r.r15, r.rip,
        ];
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

    fn gdb_deserialize(&mut self, _: &[u8]) -> Result<(), ()> {
        // The write is refused by the target; what it would write doesn't matter.
        Ok(())
    }
}

#[cfg(test)]
#[path = "arch_tests.rs"]
mod tests;
