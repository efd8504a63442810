//! Where a vCPU stands while it doesn't run, for debuggers.

use iced_x86::Mnemonic;

use super::ControlledMachine;
use super::vcpu_context::State;
use crate::cpu::Cpu;
use crate::error::Result;
use crate::exit::Exit;
use crate::instruction::{self, Decoded};
use crate::memory::Memory;
use crate::paging::{self, PhysicalMemory};
use crate::registers::{Registers, SystemRegisters};

/// What a vCPU is about to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum About {
    /// To run on.
    Run,
    /// To make this access, which has not taken effect.
    Access(Exit),
    /// To make this load again, which would give the same value.
    Wait(Exit),
    /// To repeat itself (granularity `instruction`).
    Spin,
    /// To go on in an endless loop that has no scheduling point.
    Loop,
    /// To sleep until an interrupt comes.
    Sleep,
    /// To start, when its SIPI comes.
    Start,
}

/// A vCPU that doesn't run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The general-purpose registers. RIP is at the instruction that is not complete, wherever the
    /// host has it.
    pub registers: Registers,
    /// The system registers.
    pub system: SystemRegisters,
    /// What the vCPU is about to do.
    pub about: About,
}

impl ControlledMachine {
    /// Where a vCPU stands. Hosts differ in where they leave RIP at an access that has not taken
    /// effect: at the instruction or behind it. Here it is always at the instruction; if that
    /// can't be found out, it is where the host has it.
    pub fn standing(&mut self, vcpu: u32) -> Result<Standing> {
        let ctx = &mut self.vcpus[vcpu as usize];
        let (mut registers, system) = (ctx.cpu.registers()?, ctx.cpu.system_registers()?);
        let about = match ctx.state.clone() {
            State::WaitForSipi => About::Start,
            State::Ready => About::Run,
            State::Access(exit) => About::Access(exit),
            State::Waiting(exit) => About::Wait(exit),
            State::Spinning => About::Spin,
            State::Endless(_) => About::Loop,
            State::Halted => About::Sleep,
        };
        if let About::Access(exit) | About::Wait(exit) = &about {
            registers.rip = self.begin(exit, &registers, &system);
        }
        Ok(Standing { registers, system, about })
    }

    /// The address of the instruction that makes an access. RIP is there or behind it.
    fn begin(&mut self, exit: &Exit, registers: &Registers, system: &SystemRegisters) -> u64 {
        let (rip, memory) = (registers.rip, self.memory.clone());
        let makes = |decoded: &Decoded| makes(decoded, exit, registers, system, &memory);
        let before = self.instructions.before(rip, system, &memory).map(|(decoded, _)| decoded);
        let here = self.instructions.at(rip, system, &memory);
        // KVM's emulator has done all of a store but its effect.
        let order = match exit {
            Exit::MmioWrite { .. } => [before, here],
            _ => [here, before],
        };
        let found = order.into_iter().flatten().find(|decoded| makes(decoded));
        found.map_or(rip, |decoded| decoded.instruction.ip())
    }

    /// Guest-physical memory as the guest's programmer knows it: with the instructions that were
    /// loaded, where others replace them.
    pub fn loaded_memory(&self) -> impl PhysicalMemory + '_ {
        self.memory.as_loaded()
    }
}

/// Whether an instruction makes an access.
fn makes(
    decoded: &Decoded,
    exit: &Exit,
    registers: &Registers,
    system: &SystemRegisters,
    memory: &Memory,
) -> bool {
    use Mnemonic::{In, Insb, Insd, Insw, Out, Outsb, Outsd, Outsw, Rdtsc, Rdtscp};
    let mnemonic = decoded.instruction.mnemonic();
    let touches = |address: u64, writes: bool| {
        let kind =
            |used: &&_| if writes { instruction::writes(used) } else { instruction::reads(used) };
        decoded.accesses.iter().filter(kind).any(|used| {
            let linear = instruction::address(used, registers, system);
            let at = linear.and_then(|at| paging::translate(system, memory, at).ok());
            // An instruction may touch more than the access that KVM makes of it.
            let size = used.memory_size().size().max(1) as u64;
            at.is_some_and(|at| (at..at + size).contains(&address))
        })
    };
    match exit {
        Exit::PortRead { .. } => matches!(mnemonic, In | Insb | Insw | Insd),
        // Reads of the TSC are replaced by writes to a port.
        Exit::PortWrite { .. } => {
            matches!(mnemonic, Out | Outsb | Outsw | Outsd | Rdtsc | Rdtscp)
        }
        Exit::MmioRead { address, .. } => touches(*address, false),
        Exit::MmioWrite { address, .. } => touches(*address, true),
        _ => false,
    }
}

#[cfg(test)]
#[path = "standing_tests.rs"]
mod tests;
