//! Instructions that jitterbug emulates itself, because a single step on the host would not do.
//!
//! * HLT, STI, PAUSE and IRETQ: on some hosts, no single step stops behind them.
//! * Reads of the time: RDTSC, RDTSCP and the TSC's MSR return virtual time, which is a function of
//!   the run's choices. The TSC counts at [`Tsc::KHZ`], whatever the host's frequency is.
//! * RDRAND and RDSEED: CPUID doesn't offer them. A guest that executes them anyway gets numbers
//!   that depend only on the scheduling point.
//! * CPUID, because some hosts let features of the processor show through the leaves that KVM was
//!   given, and because those leaves omit what a controlled machine doesn't support.

use iced_x86::{Mnemonic, Register};

use super::ControlledMachine;
use super::deliver;
use crate::cpu::Cpu;
use crate::error::Result;
use crate::hook::MsrAccess;
use crate::identity;
use crate::instruction::{self, Decoded};
use crate::registers::{Registers, SystemRegisters};

/// `IA32_TIME_STAMP_COUNTER`.
pub(super) const MSR_TSC: u32 = 0x10;
/// `IA32_TSC_AUX`.
pub(super) const MSR_TSC_AUX: u32 = 0xc000_0103;
/// The leaf with the sizes of the XSAVE area.
const LEAF_XSAVE: u32 = 0xd;
/// CR4.TSD: RDTSC is for ring 0 only.
const CR4_TSD: u64 = 1 << 2;
const CF: u64 = 1;
/// The status flags OF, SF, ZF, AF and PF.
const OTHER_STATUS_FLAGS: u64 = 1 << 11 | 1 << 7 | 1 << 6 | 1 << 4 | 1 << 2;

/// The guest's TSC.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tsc {
    /// The TSC's frequency in kHz.
    pub(super) khz: u32,
    /// Whether CPUID offers RDTSCP.
    pub(super) has_rdtscp: bool,
}

impl Tsc {
    /// The frequency that a controlled guest sees, independent of the host's, so that the run of a
    /// finding is the same on other hosts.
    pub(super) const KHZ: u32 = 2_000_000;

    /// The TSC's value at this virtual time in nanoseconds.
    pub(super) fn at(self, now: u64) -> u64 {
        (u128::from(now) * u128::from(self.khz) / 1_000_000) as u64
    }
}

impl ControlledMachine {
    /// Executes the instruction that a vCPU with these registers is stopped before. Returns false
    /// if it is not one of the instructions above, and must be executed by KVM.
    pub(super) fn emulate(
        &mut self,
        vcpu: u32,
        decoded: &Decoded,
        registers: &Registers,
        system: &SystemRegisters,
    ) -> Result<bool> {
        let instruction = &decoded.instruction;
        let in_ring_0 = system.privilege() == 0;
        let tells_time = in_ring_0 || system.cr4 & CR4_TSD == 0;
        let tsc = self.tsc_of(vcpu);
        let ctx = &mut self.vcpus[vcpu as usize];
        let mut after = *registers;
        let mut halts = false;
        match instruction.mnemonic() {
            Mnemonic::Hlt if in_ring_0 => halts = true,
            Mnemonic::Sti if in_ring_0 => {
                ctx.shadow.interrupt_shadow = registers.rflags & Registers::INTERRUPT_FLAG == 0;
                after.rflags |= Registers::INTERRUPT_FLAG;
            }
            Mnemonic::Pause => {}
            Mnemonic::Iretq => {
                let found = deliver::interrupt_return(registers, system, &self.memory);
                let Some(back) = found else { return Ok(false) };
                after = back;
                ctx.shadow.nmi_masked = false;
                ctx.tracker.clear();
            }
            Mnemonic::Rdtsc if tells_time => {
                ctx.tracker.look_at_clock(self.platform.now());
                set_edx_eax(&mut after, tsc);
            }
            Mnemonic::Rdtscp if tells_time && self.tsc.has_rdtscp => {
                ctx.tracker.look_at_clock(self.platform.now());
                set_edx_eax(&mut after, tsc);
                after.rcx = ctx.cpu.msr(MSR_TSC_AUX)? & 0xffff_ffff;
            }
            Mnemonic::Rdmsr if in_ring_0 && registers.rcx as u32 == MSR_TSC => {
                ctx.tracker.look_at_clock(self.platform.now());
                set_edx_eax(&mut after, tsc);
                let value = Some(tsc);
                self.hook_msr(vcpu, &MsrAccess { index: MSR_TSC, write: false, value });
            }
            Mnemonic::Wrmsr if in_ring_0 && registers.rcx as u32 == MSR_TSC => {
                let value = registers.rdx << 32 | registers.rax & 0xffff_ffff;
                self.set_tsc_of(vcpu, value);
                let value = Some(value);
                self.hook_msr(vcpu, &MsrAccess { index: MSR_TSC, write: true, value });
            }
            // The XSAVE leaf depends on XCR0, so KVM answers it.
            Mnemonic::Cpuid if registers.rax as u32 != LEAF_XSAVE => {
                let (leaf, subleaf) = (registers.rax as u32, registers.rcx as u32);
                let answer = identity::answer(&ctx.leaves, leaf, subleaf, system);
                for (register, value) in [
                    (Register::EAX, answer.eax),
                    (Register::EBX, answer.ebx),
                    (Register::ECX, answer.ecx),
                    (Register::EDX, answer.edx),
                ] {
                    instruction::set_value(register, value.into(), &mut after);
                }
            }
            Mnemonic::Rdrand | Mnemonic::Rdseed => {
                instruction::set_value(
                    instruction.op0_register(),
                    splitmix64(self.points),
                    &mut after,
                );
                after.rflags = after.rflags & !OTHER_STATUS_FLAGS | CF;
            }
            _ => return Ok(false),
        }
        if after.rip == registers.rip {
            after.rip = instruction.next_ip();
        }
        after.rflags &= !Registers::RESUME_FLAG;
        let ctx = &mut self.vcpus[vcpu as usize];
        ctx.cpu.set_registers(&after)?;
        ctx.armed = false;
        if halts {
            // Hooks see the vCPU behind the instruction, as where KVM executes it.
            self.halt(vcpu);
        }
        Ok(true)
    }
}

/// Sets EDX:EAX and clears the upper halves of both registers.
pub(super) fn set_edx_eax(registers: &mut Registers, value: u64) {
    instruction::set_value(Register::EAX, value, registers);
    instruction::set_value(Register::EDX, value >> 32, registers);
}

/// The `n`th number of `SplitMix64` from seed 0 (Steele, Lea, Flood: "Fast splittable pseudorandom
/// number generators", OOPSLA 2014).
fn splitmix64(n: u64) -> u64 {
    let mut z = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splitmix_is_the_published_one() {
        // The first numbers of the reference implementation (Vigna's splitmix64.c), seed 0.
        let first = [0xe220_a839_7b1d_cdaf, 0x6e78_9e6a_a1b9_65f4, 0x06c4_5d18_8009_454f];
        assert_eq!([1, 2, 3].map(splitmix64), first);
    }

    #[test]
    fn the_tsc_counts_virtual_time() {
        let tsc = Tsc { khz: 2_500_000, has_rdtscp: false };
        assert_eq!((tsc.at(0), tsc.at(1000), tsc.at(1 << 60)), (0, 2500, 5 << 59));
    }
}
