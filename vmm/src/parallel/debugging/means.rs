//! What a host and a run have left for a debugger.

use std::sync::Arc;

use crate::breakpoints::Int3s;
use crate::error::Result;
use crate::guest_debug::{Breakpoint, SLOTS};
use crate::kvm::DebugCapabilities;
use crate::memory::Memory;

/// Why a debugger can't have what it asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// This host can't stop a vCPU at an instruction.
    #[error("this host can't stop vCPUs at instructions (`jitterbug doctor`: single-step)")]
    NoSteps,
    /// There is no such vCPU.
    #[error("there is no vCPU {0}")]
    NoVcpu(u32),
    /// Data watchpoints don't work on this host.
    #[error("data watchpoints don't work on this host (`jitterbug doctor`: watch-write)")]
    NoWatchpoints,
    /// The processor has too few debug registers.
    #[error(
        "{wanted} debug registers are needed, of which the processor has {SLOTS}; {others} of them \
         are for scripts and --fail-at; int3 is of no use at these addresses or on this host"
    )]
    TooMany {
        /// The number that the debugger and others want.
        wanted: usize,
        /// How many of them others than the debugger want.
        others: usize,
    },
}

/// What a debugger can use.
pub(in crate::parallel) struct Means {
    /// `None` if vCPUs can't be stopped at instructions.
    pub(in crate::parallel) stopping: Option<DebugCapabilities>,
    /// Whether data watchpoints work.
    pub(in crate::parallel) has_watchpoints: bool,
    /// The INT3s of the machine, if it can have them.
    pub(in crate::parallel) int3s: Option<Arc<Int3s>>,
    /// The breakpoints of hooks, and the number of their watchpoints.
    pub(in crate::parallel) breakpoints: Vec<u64>,
    pub(in crate::parallel) watchpoints: usize,
    pub(in crate::parallel) memory: Arc<Memory>,
}

impl Means {
    pub(in crate::parallel) fn can_step(&self) -> Result<(), Refused> {
        self.stopping.map(drop).ok_or(Refused::NoSteps)
    }

    /// Fails if a vCPU can't have these beside the breakpoints and watchpoints of hooks.
    pub(in crate::parallel) fn check(
        &self,
        breakpoints: &[u64],
        watchpoints: &[Breakpoint],
    ) -> Result<(), Refused> {
        if !watchpoints.is_empty() && !self.has_watchpoints {
            return Err(Refused::NoWatchpoints);
        }
        if breakpoints.is_empty() && watchpoints.is_empty() {
            return Ok(());
        }
        let stopping = self.stopping.ok_or(Refused::NoSteps)?;
        let hooks = self.registers_for(&self.breakpoints);
        let others = self.watchpoints + hooks;
        let slots = stopping.breakpoint_slots();
        // Where all breakpoints are found by single steps, any number is. The debugger's own
        // watchpoints must not lead to that: they are refused.
        let by_steps = slots == 0 || hooks > slots.saturating_sub(self.watchpoints);
        let needed = if by_steps { 0 } else { self.registers_for(breakpoints) };
        let wanted = others + needed + watchpoints.len();
        let used = if by_steps { wanted - hooks } else { wanted };
        if used <= SLOTS { Ok(()) } else { Err(Refused::TooMany { wanted, others }) }
    }

    /// The number of these breakpoints that an INT3 can't be used for.
    fn registers_for(&self, breakpoints: &[u64]) -> usize {
        let by_int3 = |address: &&u64| {
            let int3s = self.int3s.as_ref().filter(|int3s| !int3s.gate.is_given_up());
            int3s.is_some_and(|int3s| int3s.can_replace(**address, &self.memory))
        };
        let mut others: Vec<_> = breakpoints.iter().filter(|address| !by_int3(address)).collect();
        others.sort_unstable();
        others.dedup();
        others.len()
    }

    /// Writes guest-physical memory, below the INT3s.
    pub(in crate::parallel) fn write(&self, address: u64, data: &[u8]) -> Result<()> {
        self.memory.write(address, data)?;
        if let Some(int3s) = &self.int3s {
            int3s.code_has_changed();
        }
        Ok(())
    }
}
