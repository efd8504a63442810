//! All that is seen of a stopped vCPU: its call stack, and what it does.

use vmm::paging::PhysicalMemory;
use vmm::parallel::VcpuState;
use vmm::registers::Activity;

use crate::inspector::Inspector;
use crate::spin::{Observation, Spin};
use crate::stack::Stack;

/// What a stopped vCPU shows.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Its call stack.
    pub stack: Stack,
    /// What it does.
    pub spin: Spin,
}

impl Seen {
    /// Looks at a vCPU that was seen at the RIPs `sampled` before; `None` if it was never started.
    pub fn of<M: PhysicalMemory + ?Sized>(
        state: &VcpuState,
        sampled: &[u64],
        memory: &M,
        inspector: &Inspector,
    ) -> Option<Self> {
        let VcpuState { activity, registers, system } = state;
        if *activity == Activity::WaitForSipi {
            return None;
        }
        let frames = inspector.unwind(registers, system, memory);
        let stack = inspector.name(&frames);
        let activity = *activity;
        let spin =
            Spin::analyse(&Observation { registers, system, activity, sampled, memory, inspector });
        Some(Self { stack, spin })
    }
}
