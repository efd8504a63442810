//! What the vCPUs of a controlled machine wait for.

use super::attention::Attention;
use super::writers::Store;
use crate::exit::Bytes;
use crate::registers::{Registers, SystemRegisters};

/// What a vCPU waits for.
#[derive(Clone, Debug)]
pub enum Waits {
    /// A SIPI: it was never started.
    ForSipi,
    /// An interrupt: it sleeps, and no interrupt is pending.
    ForInterrupt,
    /// A change of one of these values, which it reads repeatedly.
    ForChange(Vec<Awaited>),
    /// It loops, changes only its own state, and reads these values.
    Loop(Vec<Awaited>),
    /// Time to pass: it reads a clock repeatedly, and these values.
    ForTime(Vec<Awaited>),
    /// It is in an endless loop that reads nothing.
    Endless,
    /// Nothing: it could run on.
    Not,
}

/// A value that a vCPU waits to see changed.
#[derive(Clone, Debug)]
pub struct Awaited {
    /// The guest-physical address.
    pub address: u64,
    /// The value that the vCPU reads there.
    pub value: Bytes,
    /// The last store to this address in this run.
    pub writer: Option<Store>,
}

/// One line of the table of waiting vCPUs.
#[derive(Clone, Debug)]
pub struct Waiter {
    /// The vCPU.
    pub vcpu: u32,
    /// What it waits for.
    pub waits: Waits,
    /// Its interrupt state.
    pub attention: Attention,
    /// Its general-purpose registers.
    pub registers: Registers,
    /// Its system registers.
    pub system: SystemRegisters,
}
