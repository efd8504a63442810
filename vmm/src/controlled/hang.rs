//! Proving a hang.
//!
//! When every vCPU waits, sleeps or was never started, and no timer is armed, each waiting vCPU goes
//! round its loop once, and then once more. If the whole machine, registers and every page written,
//! is the same after the second round as after the first, it can never do anything else.

use std::collections::BTreeMap;

use super::ControlledMachine;
use super::choice::Choice;
use crate::cpu::Cpu;
use crate::error::Result;
use crate::memory::PAGE_SIZE;
use crate::registers::{Registers, SystemRegisters};

/// What must come back: the registers of all vCPUs and the pages that a round writes.
#[derive(PartialEq)]
struct Picture {
    registers: Vec<(Registers, SystemRegisters)>,
    pages: BTreeMap<u64, Vec<u8>>,
}

impl ControlledMachine {
    /// True if the machine can never do anything else. If not, some vCPU is ready again.
    pub(super) fn prove_hang(&mut self) -> Result<bool> {
        self.take_dirty(|_| ())?;
        let Some(first) = self.round()? else { return Ok(false) };
        let Some(second) = self.round()? else { return Ok(false) };
        if first == second {
            return Ok(true);
        }
        // Private state moves on: these vCPUs only looked as if they waited. They have a budget
        // (`idle.rs`).
        for seat in &mut self.seats {
            seat.wake();
        }
        Ok(false)
    }

    /// Lets every waiting vCPU go round once. `None` if one did something else.
    fn round(&mut self) -> Result<Option<Picture>> {
        for vcpu in 0..self.seats.len() as u32 {
            if self.seats[vcpu as usize].state.waits() && !self.lap(vcpu)? {
                return Ok(None);
            }
        }
        let mut picture = Picture { registers: Vec::new(), pages: BTreeMap::new() };
        for seat in &mut self.seats {
            picture.registers.push((seat.cpu.registers()?, seat.cpu.system_registers()?));
        }
        let mut written = Vec::new();
        self.take_dirty(|address| written.push(address))?;
        for address in written {
            let mut page = vec![0; PAGE_SIZE as usize];
            self.memory.read(address, &mut page)?;
            picture.pages.insert(address, page);
        }
        Ok(Some(picture))
    }

    /// Lets one vCPU go until it stands where it stood, with the same registers.
    fn lap(&mut self, vcpu: u32) -> Result<bool> {
        let start = self.seats[vcpu as usize].cpu.registers()?;
        for _ in 0..self.granularity.longest_round() {
            if self.take(Choice::Step(vcpu))?.is_some() {
                return Ok(false);
            }
            let seat = &mut self.seats[vcpu as usize];
            if !seat.state.waits() {
                return Ok(false);
            }
            if seat.cpu.registers()? == start {
                return Ok(true);
            }
        }
        // A round too long to be compared: it counts as one that doesn't repeat itself.
        self.seats[vcpu as usize].wake();
        Ok(false)
    }
}
