//! What is known about the guest of one machine: the symbols that were given, and a Linux kernel
//! that was found in its memory.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use vmm::paging::PhysicalMemory;
use vmm::registers::{Registers, SystemRegisters};

use crate::learned::{Known, Learned};
use crate::linux::{Finder, Found, Kernel, Task};
use crate::stack::{Frame, Stack};
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
    /// What was at the addresses of stacks that are not in the kernel's own code.
    learned: Mutex<Learned>,
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
        let Some(kernel) = kernel.filter(|_| system.privilege() == 0) else {
            return unwinder().unwind(registers, system, memory);
        };
        let by_orc = kernel.unwind(registers, system, memory);
        let is_by_orc = by_orc.is_some();
        let frames = by_orc.unwrap_or_else(|| unwinder().unwind(registers, system, memory));
        self.learn(frames.iter().map(looked_up), &kernel, system, memory);
        if is_by_orc {
            self.remember(&frames, &kernel);
        }
        frames
    }

    /// Reads which functions of modules contain these addresses.
    fn learn<M: PhysicalMemory + ?Sized>(
        &self,
        addresses: impl Iterator<Item = u64>,
        kernel: &Kernel,
        system: &SystemRegisters,
        memory: &M,
    ) {
        let is_elsewhere = |address: &u64| address >> 63 == 1 && !kernel.has_code_at(*address);
        let addresses: Vec<u64> = addresses.filter(is_elsewhere).collect();
        if self.is_nameless || addresses.is_empty() {
            return;
        }
        let functions = kernel.functions_of_modules(&addresses, system, memory);
        let mut learned = lock(&self.learned);
        for (address, function) in addresses.into_iter().zip(functions) {
            learned.add(address, function);
        }
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

    /// The symbols with this name, of the Linux kernel that this vCPU runs and of the modules that
    /// are loaded now; with `module:name`, only those of this module. None is no error. Modules
    /// come and go: what is found holds as long as the module stays.
    pub fn named<M: PhysicalMemory + ?Sized>(
        &self,
        name: &str,
        system: &SystemRegisters,
        memory: &M,
    ) -> Result<Vec<Found>, &'static str> {
        let kernel = self.linux.kernel(system, memory);
        kernel.ok_or("no Linux kernel was found in memory")?.named(name, system, memory)
    }

    /// The kernel that this vCPU runs, or whose programs it runs.
    pub fn kernel<M: PhysicalMemory + ?Sized>(
        &self,
        system: &SystemRegisters,
        memory: &M,
    ) -> Option<Arc<Kernel>> {
        self.linux.kernel(system, memory)
    }

    /// The symbols that names come from: the given ones, or else those of the kernel that was
    /// found last.
    pub fn symbols(&self) -> Option<Arc<Symbols>> {
        let found = || self.linux.found().map(|kernel| Arc::clone(kernel.symbols()));
        if self.is_nameless { None } else { self.given.clone().or_else(found) }
    }

    /// The names of the frames of a stack that was unwound.
    pub fn name(&self, frames: &[CallFrame]) -> Stack {
        let symbols = self.symbols();
        let mut stack = Stack::of(frames, symbols.as_deref());
        for (frame, found) in stack.frames.iter_mut().zip(frames) {
            self.correct(frame, u64::from(found.is_return_address));
        }
        stack
    }

    /// The stack with these addresses, innermost first, with names.
    pub fn stack(&self, addresses: &[u64]) -> Stack {
        let symbols = self.symbols();
        let interrupted = lock(&self.interrupted);
        let frame = |(index, &address): (usize, &u64)| {
            let back = u64::from(index > 0 && !interrupted.contains(&address));
            let mut frame = Frame::new(address, back, symbols.as_deref());
            self.correct(&mut frame, back);
            frame
        };
        Stack { frames: addresses.iter().enumerate().map(frame).collect() }
    }

    /// The innermost frame of a vCPU. It is named after the code that is `back` bytes before it.
    pub fn frame<M: PhysicalMemory + ?Sized>(
        &self,
        address: u64,
        back: u64,
        system: &SystemRegisters,
        memory: &M,
    ) -> Frame {
        let kernel = self.linux.kernel(system, memory);
        if let Some(kernel) = kernel.filter(|_| system.privilege() == 0) {
            self.learn([address.wrapping_sub(back)].into_iter(), &kernel, system, memory);
        }
        let mut frame = Frame::new(address, back, self.symbols().as_deref());
        self.correct(&mut frame, back);
        frame
    }

    /// Names a frame that is in a module. Symbols that were given do not know modules, or only
    /// those that were loaded when they were listed.
    fn correct(&self, frame: &mut Frame, back: u64) {
        let looked_up = frame.address.wrapping_sub(back);
        let known = match lock(&self.learned).get(looked_up) {
            Some(known) if !self.is_nameless => known.clone(),
            _ => return,
        };
        let function = match known {
            Known::Function(function) => Some(function),
            Known::Nameless => return,
            Known::Changed => None,
        };
        *frame = Frame { quality: frame.quality, ..Frame::new(frame.address, back, None) };
        if let Some(function) = function {
            frame.function = Some(function.name.clone());
            frame.offset = frame.address.wrapping_sub(function.start);
            frame.module.clone_from(&function.module);
        }
    }

    fn remember(&self, frames: &[CallFrame], kernel: &Kernel) {
        let is_start = |address| match lock(&self.learned).get(address) {
            Some(Known::Function(function)) => function.start == address,
            _ => kernel.symbols().function(address).is_some_and(|(_, at)| at == 0),
        };
        let callers = frames.iter().skip(1);
        let starts = callers.filter(|frame| !frame.is_return_address && is_start(frame.address));
        for frame in starts {
            let mut interrupted = lock(&self.interrupted);
            if interrupted.len() < MAX_INTERRUPTED {
                interrupted.insert(frame.address);
            }
        }
    }
}

/// The address by which a frame is named: a return address follows the call.
fn looked_up(frame: &CallFrame) -> u64 {
    frame.address.wrapping_sub(u64::from(frame.is_return_address))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
