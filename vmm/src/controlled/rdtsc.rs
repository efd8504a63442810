//! RDTSC at watch granularity, where only some instructions exit.
//!
//! KVM has no way to let user space handle an RDTSC. So each RDTSC of the image is replaced, when
//! the image is loaded, by another two-byte instruction that does exit: an OUT of AL to a port that
//! nothing else in the image names. The OUT itself changes no register; EDX:EAX are set to virtual
//! time here, before the vCPU continues. Code that the guest copies (a trampoline for its APs)
//! contains the replacement, too.
//!
//! The instructions are found by decoding each function from its symbol on (in an image without
//! symbols, each executable section). Not replaced are: code that the guest generates at run time,
//! an RDTSC behind bytes that can't be decoded, and every RDTSC of a guest that uses ring 3, where
//! OUT would fault. In these cases the guest reads the host's counter, as on bare KVM: its runs may
//! not be repeatable, and no hang of a loop with such an instruction is called proven.

use std::collections::BTreeMap;
use std::sync::Once;

use iced_x86::Mnemonic;

use super::ControlledMachine;
use super::emulate::{MSR_TSC, MSR_TSC_AUX, set_edx_eax};
use super::hash::tag;
use crate::boot::elf::{self, Image};
use crate::cpu::Cpu;
use crate::error::{Error, Result};
use crate::exit::Exit;
use crate::hook::MsrAccess;
use crate::instruction::decode_all;
use crate::memory::Memory;
use crate::paging;
use crate::registers::SystemRegisters;

/// The ports for the replacements: ports that PC chipsets leave unused or reserve for the
/// coprocessor of the 80286, except the two ports that the guests' runtime uses. The choice among
/// them depends on the image.
const PORTS: [u8; 12] = [0xf1, 0xf2, 0xf3, 0xf6, 0xf7, 0xf8, 0xf9, 0xfa, 0xfb, 0xfc, 0xfd, 0xfe];
/// The opcode of OUT of AL to the port in the next byte.
const OUT: u8 = 0xe6;
const NOP: u8 = 0x90;

/// An instruction that reads the time-stamp counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClockRead {
    /// RDTSC: sets EDX:EAX.
    Rdtsc,
    /// RDTSCP: also sets ECX. It has three bytes: a NOP follows the OUT.
    Rdtscp,
}

/// The ports whose writes stand for reads of the TSC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ClockPorts {
    rdtsc: Option<u8>,
    rdtscp: Option<u8>,
}

impl ClockPorts {
    /// The replaced instruction that caused this exit; `None` for any other exit.
    pub(super) fn read_at(self, exit: &Exit) -> Option<ClockRead> {
        let Exit::PortWrite { port, size: 1, data } = exit else { return None };
        let is = |ours: Option<u8>| data.len() == 1 && ours.map(u16::from) == Some(*port);
        if is(self.rdtsc) {
            Some(ClockRead::Rdtsc)
        } else if is(self.rdtscp) {
            Some(ClockRead::Rdtscp)
        } else {
            None
        }
    }
}

/// Replaces the instructions of the loaded image that read the time-stamp counter.
pub(super) fn replace(image: Image, memory: &mut Memory) -> Result<ClockPorts> {
    let Reads { places, ring_3 } = find(image, memory)?;
    if ring_3 {
        if !places.is_empty() {
            say_that_the_clock_is_the_hosts("has SYSRET or SYSEXIT");
        }
        return Ok(ClockPorts::default());
    }
    let mut free = PORTS.into_iter().filter(|port| !is_named(image, *port));
    let mut port = |wanted: ClockRead| {
        places.values().any(|read| *read == wanted).then(|| free.next()).flatten()
    };
    let ports = ClockPorts { rdtsc: port(ClockRead::Rdtsc), rdtscp: port(ClockRead::Rdtscp) };
    for (address, read) in &places {
        match (read, ports.rdtsc, ports.rdtscp) {
            (ClockRead::Rdtsc, Some(port), _) => memory.patch(*address, &[OUT, port])?,
            (ClockRead::Rdtscp, _, Some(port)) => memory.patch(*address, &[OUT, port, NOP])?,
            _ => {}
        }
    }
    Ok(ports)
}

/// The result of searching an image's code for reads of the time-stamp counter.
#[derive(Debug, Default)]
struct Reads {
    /// The reads, by guest-physical address.
    places: BTreeMap<u64, ClockRead>,
    /// Whether there are instructions that lead to ring 3: then nothing may be replaced.
    ring_3: bool,
}

fn find(image: Image, memory: &Memory) -> Result<Reads> {
    let mut reads = Reads::default();
    for stretch in elf::code_stretches(image) {
        let mut code = vec![0; (stretch.end - stretch.start) as usize];
        memory.read(stretch.start, &mut code)?;
        // What follows bytes that can't be decoded may be data.
        for instruction in decode_all(&code, stretch.start, 64) {
            match instruction.mnemonic() {
                Mnemonic::Sysret | Mnemonic::Sysretq | Mnemonic::Sysexit | Mnemonic::Sysexitq => {
                    reads.ring_3 = true;
                }
                Mnemonic::Rdtsc if instruction.len() == 2 => {
                    reads.places.insert(instruction.ip(), ClockRead::Rdtsc);
                }
                Mnemonic::Rdtscp if instruction.len() == 3 => {
                    reads.places.insert(instruction.ip(), ClockRead::Rdtscp);
                }
                _ => {}
            }
        }
    }
    Ok(reads)
}

/// Warns, once per process, that the guest's time is not virtual.
fn say_that_the_clock_is_the_hosts(why: &str) {
    static SAID: Once = Once::new();
    SAID.call_once(|| {
        tracing::warn!(
            "the guest {why}: its RDTSC reads the host's counter, and runs that depend on it are not \
             repeatable (--granularity instruction makes time virtual there, too)"
        );
    });
}

/// Whether the image's code already contains the bytes of a replacement with this port.
fn is_named(image: Image, port: u8) -> bool {
    elf::code(image).any(|code| code.windows(2).any(|bytes| bytes == [OUT, port]))
}

impl ControlledMachine {
    /// The value of a vCPU's time-stamp counter now.
    pub(super) fn tsc_of(&self, vcpu: u32) -> u64 {
        let offset = self.vcpus[vcpu as usize].shadow.tsc_offset;
        self.tsc.at(self.platform.now()).wrapping_add(offset)
    }

    /// Sets a vCPU's time-stamp counter.
    pub(super) fn set_tsc_of(&mut self, vcpu: u32, value: u64) {
        let now = self.tsc.at(self.platform.now());
        self.vcpus[vcpu as usize].shadow.tsc_offset = value.wrapping_sub(now);
    }

    /// Emulates a read of the time-stamp counter: the guest gets virtual time. RIP is left to KVM,
    /// which advances it past the replacement.
    pub(super) fn read_clock(&mut self, vcpu: u32, read: ClockRead) -> Result<()> {
        let now = self.platform.now();
        self.hash.add([tag::CLOCK, vcpu.into(), now]);
        self.looks_at_clock(vcpu);
        let tsc = self.tsc_of(vcpu);
        let ctx = &mut self.vcpus[vcpu as usize];
        let mut registers = ctx.cpu.registers()?;
        set_edx_eax(&mut registers, tsc);
        if read == ClockRead::Rdtscp {
            registers.rcx = ctx.cpu.msr(MSR_TSC_AUX)? & 0xffff_ffff;
        }
        ctx.cpu.set_registers(&registers)
    }

    /// Emulates a read of the time-stamp counter as an MSR.
    pub(super) fn read_tsc_msr(&mut self, vcpu: u32) {
        self.looks_at_clock(vcpu);
        let value = Some(self.tsc_of(vcpu));
        self.vcpus[vcpu as usize].cpu.answer_msr(value);
        self.hook_exit(vcpu, &Exit::MsrRead { index: MSR_TSC });
        self.hook_msr(vcpu, &MsrAccess { index: MSR_TSC, write: false, value });
    }

    /// Emulates a write to the time-stamp counter as an MSR.
    pub(super) fn write_tsc_msr(&mut self, vcpu: u32, value: u64) {
        self.set_tsc_of(vcpu, value);
        self.hook_exit(vcpu, &Exit::MsrWrite { index: MSR_TSC, value });
        self.hook_msr(vcpu, &MsrAccess { index: MSR_TSC, write: true, value: Some(value) });
        self.vcpus[vcpu as usize].cpu.answer_msr(Some(value));
    }

    /// Called when a vCPU is in ring 3: restores the original instructions.
    pub(super) fn leave_clock_to_host(&mut self) -> Result<()> {
        if self.memory.patched() == 0 || std::mem::replace(&mut self.host_clock, true) {
            return Ok(());
        }
        say_that_the_clock_is_the_hosts("uses ring 3");
        self.memory.unpatch()
    }

    /// Fails if the latest fault of a vCPU in ring 3 was at a replacement: how the guest reacts to
    /// that is not a failure of the guest.
    pub(super) fn check_faults_of_ring_3(&mut self) -> Result<()> {
        if self.memory.patched() == 0 {
            return Ok(());
        }
        for (vcpu, ctx) in (0..).zip(&mut self.vcpus) {
            let system = ctx.cpu.system_registers()?;
            if let Some(rip) = fault_in_ring_3(&system, &self.memory) {
                return Err(Error::Step {
                    vcpu,
                    rip,
                    problem: "RDTSC in ring 3, whose time is not virtual here: give --granularity \
                              instruction",
                });
            }
        }
        Ok(())
    }
}

/// The RIP at which ring-3 code faulted at a replacement, according to the frame at the top of the
/// ring-0 stack (Intel SDM vol. 3, 6.14.2). `None` if there is no such frame.
fn fault_in_ring_3(system: &SystemRegisters, memory: &Memory) -> Option<u64> {
    const TSS_RSP0: u64 = 4;
    /// Error code, RIP, CS, RFLAGS, RSP and SS.
    const FRAME: u64 = 6 * 8;
    if system.code_bits() != 64 || system.tr.limit < 0x67 {
        return None;
    }
    let word = |at: u64| paging::read_integer(system, memory, at, 8).ok();
    let frame = word(system.tr.base.wrapping_add(TSS_RSP0))?.wrapping_sub(FRAME);
    let rip = word(frame.wrapping_add(8))?;
    let from_ring_3 = word(frame.wrapping_add(16))? & 3 == 3;
    let at = paging::translate(system, memory, rip).ok()?;
    (from_ring_3 && memory.is_patched(at)).then_some(rip)
}

#[cfg(test)]
#[path = "rdtsc_tests.rs"]
mod tests;
