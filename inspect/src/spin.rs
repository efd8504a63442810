//! What a vCPU that makes no progress is doing: where it is, and which variable it waits for.

mod code;
mod operand;

use std::fmt;

use iced_x86::Instruction;
use schemars::JsonSchema;
use serde::Serialize;
use vmm::disassemble::{self, Numbers};
use vmm::instruction;
use vmm::paging::{self, PhysicalMemory};
use vmm::registers::{Activity, Registers, SystemRegisters};

use crate::inspector::Inspector;
use crate::stack::Frame;

/// What is known about a vCPU that makes no progress.
pub struct Observation<'a, M: ?Sized> {
    /// The vCPU's general registers now.
    pub registers: &'a Registers,
    /// The vCPU's system registers now.
    pub system: &'a SystemRegisters,
    /// Whether the vCPU runs, is halted, or was never started.
    pub activity: Activity,
    /// Where the vCPU was seen, as values of RIP. The current RIP need not be among them.
    pub sampled: &'a [u64],
    /// Guest-physical memory.
    pub memory: &'a M,
    /// What is known about the guest.
    pub inspector: &'a Inspector,
}

/// What a vCPU is doing.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize)]
pub struct Spin {
    /// Whether the vCPU runs, is halted, or was never started.
    pub activity: Activity,
    /// Where the vCPU is, by name.
    pub at: Frame,
    /// The instruction at that address, in AT&T syntax; absent if it can't be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instruction: Option<String>,
    /// Whether the vCPU was seen in the same loop at other times, too. Without that, it may be on
    /// its way through.
    pub spins: bool,
    /// The loop around it; absent if no jump back over it is nearby.
    #[serde(rename = "loop", skip_serializing_if = "Option::is_none")]
    pub around: Option<Loop>,
    /// The memory that the loop reads, in the order of its instructions. Without a loop, the memory
    /// that the instruction itself reads.
    pub reads: Vec<Read>,
}

/// A loop of instructions.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize)]
pub struct Loop {
    /// The address of its first instruction.
    #[serde(serialize_with = "vmm::hex::number")]
    #[schemars(with = "String")]
    pub start: u64,
    /// The address after its last instruction.
    #[serde(serialize_with = "vmm::hex::number")]
    #[schemars(with = "String")]
    pub end: u64,
    /// Its instructions, in AT&T syntax.
    pub instructions: Vec<String>,
}

/// A piece of memory that a loop reads.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize)]
pub struct Read {
    /// The guest-virtual address.
    #[serde(serialize_with = "vmm::hex::number")]
    #[schemars(with = "String")]
    pub address: u64,
    /// The number of bytes.
    pub size: usize,
    /// The variable that contains the address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub symbol: Option<String>,
    /// The offset from the start of the variable; 0 if the variable is unknown.
    pub offset: u64,
    /// The current value; absent if it isn't in RAM or has more than 8 bytes.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "vmm::hex::option")]
    #[schemars(with = "Option<String>")]
    pub value: Option<u64>,
}

impl Spin {
    /// Determines what a vCPU is doing.
    pub fn analyse<M: PhysicalMemory + ?Sized>(seen: &Observation<M>) -> Self {
        let (registers, system) = (seen.registers, seen.system);
        let rip = instruction::linear(registers.rip, system);
        // The RIP of a halted vCPU is after its HLT, which may be the last instruction of a
        // function.
        let back = u64::from(seen.activity == Activity::Halted);
        let at = seen.inspector.frame(rip, back, system, seen.memory);
        if seen.activity != Activity::Running {
            let instruction = (back == 1).then(|| "hlt".to_owned());
            let reads = Vec::new();
            let activity = seen.activity;
            return Self { activity, at, instruction, spins: false, around: None, reads };
        }
        let code = code::Code::new(seen);
        let here = code.decode(rip);
        let found = here.as_ref().and_then(|_| code.find_loop(rip, seen.sampled));
        let accesses = match (&found, &here) {
            (Some(found), Some(here)) => operand::reads_of_loop(found, here, registers, system),
            (None, Some(here)) => instruction::memory_reads(here, registers, system),
            (_, None) => Vec::new(),
        };
        let mut reads: Vec<Read> = Vec::new();
        for (address, size) in accesses {
            if reads.iter().all(|read| (read.address, read.size) != (address, size)) {
                reads.push(Read::new(address, size, seen));
            }
        }
        let around = found.and_then(|instructions| {
            let end = instructions.last()?.next_ip();
            Some(Loop {
                start: instructions.first()?.ip(),
                end,
                instructions: instructions.iter().map(text).collect(),
            })
        });
        let instruction = here.as_ref().map(text);
        let spins = around.is_some() && !seen.sampled.is_empty();
        Self { activity: seen.activity, at, instruction, spins, around, reads }
    }
}

/// An instruction as `objdump -d` writes it.
fn text(instruction: &Instruction) -> String {
    disassemble::text(instruction, Numbers::Hexadecimal)
}

impl Read {
    fn new<M: PhysicalMemory + ?Sized>(address: u64, size: usize, seen: &Observation<M>) -> Self {
        let symbols = seen.inspector.symbols();
        let symbol = symbols.as_deref().and_then(|symbols| symbols.data(address));
        let value = (1..=8)
            .contains(&size)
            .then(|| paging::read_integer(seen.system, seen.memory, address, size).ok());
        Self {
            address,
            size,
            symbol: symbol.map(|(name, _)| name.to_owned()),
            offset: symbol.map_or(0, |(_, offset)| offset),
            value: value.flatten(),
        }
    }
}

impl fmt::Display for Read {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.symbol {
            Some(symbol) if self.offset == 0 => write!(f, "{symbol} at {:#x}", self.address)?,
            Some(symbol) => write!(f, "{symbol}+{:#x} at {:#x}", self.offset, self.address)?,
            None => write!(f, "{:#x}", self.address)?,
        }
        match self.size {
            1 => f.write_str(", 1 byte")?,
            size => write!(f, ", {size} bytes")?,
        }
        match self.value {
            Some(value) => write!(f, ", value {value:#x}"),
            None => f.write_str(", value unknown"),
        }
    }
}

impl fmt::Display for Spin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.activity {
            Activity::WaitForSipi => return f.write_str("never started"),
            Activity::Halted => return write!(f, "halted in {}", self.at),
            Activity::Running => {}
        }
        f.write_str(match self.around {
            Some(_) if self.spins => "spins in ",
            Some(_) => "is in a loop in ",
            None => "is in ",
        })?;
        write!(f, "{}", self.at)?;
        if let Some(instruction) = &self.instruction {
            write!(f, ": {instruction}")?;
        }
        for (index, read) in self.reads.iter().enumerate() {
            write!(f, "{} {read}", if index == 0 { "; reads" } else { " and" })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
