//! What is known about the guest of one machine: the symbols that were given, and a Linux kernel
//! that was found in its memory.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use vmm::paging::PhysicalMemory;
use vmm::registers::{Registers, SystemRegisters};

use crate::linux::{Finder, Kernel, Task};
use crate::stack::Stack;
use crate::symbols::Symbols;
use crate::unwind::{CallFrame, Unwinder as _, unwinder};

/// The most addresses of interrupted instructions that are remembered.
const MAX_INTERRUPTED: usize = 4096;

/// Unwinds and names the stacks of one machine. The vCPUs' threads and the writer of their output
/// can share it. A kernel is sought in memory when the first stack of a vCPU that runs one is
/// unwound.
#[derive(Debug, Default)]
pub struct Inspector {
    given: Option<Arc<Symbols>>,
    is_nameless: bool,
    linux: Finder,
    /// Addresses in stacks that are not behind a call, where that makes a difference: at the start
    /// of a function. The text of a script's stack does not tell.
    interrupted: Mutex<BTreeSet<u64>>,
}

impl From<Option<Arc<Symbols>>> for Inspector {
    /// Names are those of the given symbols; if there are none, those of a Linux kernel.
    fn from(given: Option<Arc<Symbols>>) -> Self {
        Self { given, ..Self::default() }
    }
}

impl Inspector {
    /// With `is_nameless`, nothing gets a name, not even after a kernel was found.
    pub fn new(given: Option<Arc<Symbols>>, is_nameless: bool) -> Self {
        Self { is_nameless, ..Self::from(given) }
    }

    /// The frames of a stopped vCPU's stack, innermost first. A Linux kernel's are unwound by ORC
    /// if it has the tables, and end where these end or a program was interrupted; other stacks
    /// are unwound along frame pointers.
    pub fn unwind<M: PhysicalMemory + ?Sized>(
        &self,
        registers: &Registers,
        system: &SystemRegisters,
        memory: &M,
    ) -> Vec<CallFrame> {
        let kernel = self.linux.kernel(system, memory);
        let in_kernel = kernel.filter(|_| system.privilege() == 0);
        if let Some(kernel) = in_kernel
            && let Some(frames) = kernel.unwind(registers, system, memory)
        {
            self.remember(&frames, &kernel);
            return frames;
        }
        unwinder().unwind(registers, system, memory)
    }

    /// The task that a vCPU runs, or why it can't be told. `data` is the address of the kernel's
    /// data for this vCPU: the base of GS in kernel mode.
    pub fn task<M: PhysicalMemory + ?Sized>(
        &self,
        system: &SystemRegisters,
        data: u64,
        memory: &M,
    ) -> Result<Task, &'static str> {
        let kernel = self.linux.kernel(system, memory);
        kernel.ok_or("no Linux kernel was found in memory")?.task(system, data, memory)
    }

    /// The symbols that names come from: the given ones, or else those of the kernel that was
    /// found last.
    pub fn symbols(&self) -> Option<Arc<Symbols>> {
        let found = || self.linux.found().map(|kernel| Arc::clone(kernel.symbols()));
        if self.is_nameless { None } else { self.given.clone().or_else(found) }
    }

    /// Whether names can only come from a kernel that was not found yet.
    pub fn has_no_symbols(&self) -> bool {
        !self.is_nameless && self.symbols().is_none()
    }

    /// Seeks the kernel that this vCPU runs, if there is one.
    pub fn seek<M: PhysicalMemory + ?Sized>(&self, system: &SystemRegisters, memory: &M) {
        self.linux.kernel(system, memory);
    }

    /// The stack with these addresses, innermost first, with names.
    pub fn stack(&self, addresses: &[u64]) -> Stack {
        let interrupted = self.interrupted.lock().unwrap_or_else(PoisonError::into_inner);
        let is_return_address = |address| !interrupted.contains(&address);
        Stack::with(addresses, self.symbols().as_deref(), is_return_address)
    }

    fn remember(&self, frames: &[CallFrame], kernel: &Kernel) {
        let is_start = |address| kernel.symbols().function(address).is_some_and(|(_, at)| at == 0);
        let callers = frames.iter().skip(1);
        let starts = callers.filter(|frame| !frame.is_return_address && is_start(frame.address));
        for frame in starts {
            let mut interrupted = self.interrupted.lock().unwrap_or_else(PoisonError::into_inner);
            if interrupted.len() < MAX_INTERRUPTED {
                interrupted.insert(frame.address);
            }
        }
    }
}
