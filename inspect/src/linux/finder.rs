//! Seeks the kernel when it is first needed, and remembers it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use vmm::paging::{Mode, PhysicalMemory};
use vmm::registers::SystemRegisters;

use super::Kernel;
use super::kallsyms::IMAGE_END;
use super::view::View;

/// The vector of the page fault.
const PAGE_FAULT: u64 = 14;
/// The start of the addresses where the image can be (`__START_KERNEL_map`).
const IMAGE_START: u64 = 0xffff_ffff_8000_0000;
/// After a search without a result, the next one for the same handler comes at least this much
/// later: a kernel without symbols must not cost a search for each stack.
const PAUSE: Duration = Duration::from_secs(10);

/// The Linux kernel of one machine. It can be shared by the vCPUs' threads.
#[derive(Debug, Default)]
pub struct Finder(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    found: Option<Arc<Kernel>>,
    /// The handler of the latest search without a result, and when it was.
    missed: Option<(u64, Instant)>,
}

impl Finder {
    /// The kernel that this vCPU runs, or whose programs it runs. The first call that meets a
    /// kernel reads its symbols, which takes tens of milliseconds; `None` if there is none, or if
    /// its symbols can't be read.
    pub fn kernel<M: PhysicalMemory + ?Sized>(
        &self,
        system: &SystemRegisters,
        memory: &M,
    ) -> Option<Arc<Kernel>> {
        let view = View::new(system, memory);
        let handler = handler(system, &view)?;
        // Another vCPU that needs the kernel waits for the search, so that its stack has names.
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_known = |kernel: &&Arc<Kernel>| kernel.handler == handler;
        if let Some(kernel) = state.found.as_ref().filter(is_known) {
            return Some(Arc::clone(kernel));
        }
        if state.missed.is_some_and(|(missed, at)| missed == handler && at.elapsed() < PAUSE) {
            return None;
        }
        let start = Instant::now();
        let isolated = || Kernel::find(&view.isolated()?, handler);
        let found = Kernel::find(&view, handler).or_else(isolated).map(Arc::new);
        let took = start.elapsed();
        match &found {
            None => {
                state.missed = Some((handler, Instant::now()));
                tracing::info!(
                    "a kernel with a page-fault handler at {handler:#x}, but without symbols in \
                     memory; the search took {took:?}"
                );
            }
            Some(kernel) => {
                state.found = Some(Arc::clone(kernel));
                tracing::info!(
                    "the guest's kernel and its symbols were found in memory in {took:?}; stacks \
                     are unwound by {}",
                    match kernel.orc_problem() {
                        None => "ORC".into(),
                        Some(problem) => format!("frame pointers, because {problem}"),
                    }
                );
            }
        }
        found
    }

    /// The kernel that was found last.
    pub fn found(&self) -> Option<Arc<Kernel>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).found.clone()
    }
}

/// The page-fault handler, if it is where a Linux kernel's is.
fn handler<M: PhysicalMemory + ?Sized>(
    system: &SystemRegisters,
    view: &View<'_, M>,
) -> Option<u64> {
    if !matches!(Mode::of(system), Mode::Long { .. }) {
        return None;
    }
    // A gate of 16 bytes: bits 15 to 0 of the address, the selector, flags with the present bit in
    // bit 47, bits 31 to 16 of the address; then bits 63 to 32 (Intel SDM vol. 3, 6.14.1).
    let gate = system.idt.base.checked_add(PAGE_FAULT * 16)?;
    let low = view.word(gate)?;
    let high = view.half(gate + 8)?;
    let address = u64::from(high) << 32 | (low >> 32 & 0xffff_0000) | low & 0xffff;
    let is_present = low >> 47 & 1 == 1;
    (is_present && (IMAGE_START..IMAGE_END).contains(&address)).then_some(address)
}

#[cfg(test)]
#[path = "finder_tests.rs"]
mod tests;
