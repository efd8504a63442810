//! The hook of one vCPU: tells the others of its accesses, and is held behind some of them.

use std::sync::Arc;

use inspect::Inspector;
use inspect::linux::{self, Task};
use inspect::unwind::{CallFrame, Quality};
use vmm::hook::{self, Context, Hook, Points, Verdict};
use vmm::instruction;
use vmm::jitter::Draw;
use vmm::memory::Memory;
use vmm::registers::{Registers, SystemRegisters};

use super::Shared;
use super::race::Access;
use super::variables::TouchedVariable;

pub(super) struct VcpuCollider {
    vcpu: u32,
    draw: Draw,
    shared: Arc<Shared>,
}

impl VcpuCollider {
    pub(super) fn new(vcpu: u32, shared: Arc<Shared>) -> Self {
        let draw = Draw::new(shared.search.seed, vcpu.into());
        Self { vcpu, draw, shared }
    }
}

/// The vCPU's registers behind an access.
struct Behind {
    /// The linear address of the instruction, or of the one behind it if it was a plain write.
    rip: u64,
    registers: Registers,
    system: SystemRegisters,
}

impl Behind {
    /// `None` if the vCPU's registers can't be read.
    fn of(access: &hook::Access, context: &mut Context) -> Option<Self> {
        let (registers, system) =
            (context.cpu.registers().ok()?, context.cpu.system_registers().ok()?);
        Some(Self { rip: instruction::linear(access.rip, &system), registers, system })
    }

    /// The access, with the innermost frame only.
    fn access(&self, vcpu: u32, access: &hook::Access, has_values: bool) -> Access {
        let (address, quality) = (self.rip, Quality::Exact);
        Access {
            vcpu,
            address: access.address,
            size: access.size,
            write: access.write,
            locked: access.locked,
            value: has_values.then_some(access.value),
            stack: vec![CallFrame { address, quality, is_return_address: false }],
            task: None,
        }
    }

    /// The whole stack.
    fn stack(
        &self,
        access: &hook::Access,
        inspector: &Inspector,
        memory: &Memory,
    ) -> Vec<CallFrame> {
        let mut stack = inspector.unwind(&self.registers, &self.system, memory);
        if let Some(first) = stack.first_mut() {
            first.address = self.rip;
            let is_store = access.write && !access.locked;
            first.is_return_address = is_store && !self.is_repeated(access, memory);
            // The name is read now: a module may be gone when the race is reported.
            let back = u64::from(first.is_return_address);
            inspector.frame(self.rip, back, &self.system, memory);
        }
        stack
    }

    /// The task, if the guest is a Linux.
    fn task(&self, inspector: &Inspector, context: &mut Context) -> Option<Task> {
        let data = linux::data_of(context.cpu, &self.system).ok()?;
        inspector.task(&self.system, data, context.memory).ok()
    }

    /// Whether the variable is still where it was found: its module may have been unloaded since
    /// the last look, and its memory be used for other things.
    fn is_there(&self, touched: &TouchedVariable, inspector: &Inspector, memory: &Memory) -> bool {
        let Some((linear, physical, home)) = &touched.found else { return true };
        if linux::physical(linear, &self.system, memory).as_ref() != Ok(physical) {
            return false;
        }
        let Some(module) = &home.module else { return true };
        let kernel = inspector.kernel(&self.system, memory);
        let now = kernel.and_then(|it| it.module_at(linear.start, &self.system, memory));
        now.as_ref() == Some(module)
    }

    /// Whether a store is that of the repeated string instruction at RIP, which has not ended.
    fn is_repeated(&self, store: &hook::Access, memory: &Memory) -> bool {
        const PAGE: u64 = 0xfff;
        let next = instruction::at(self.rip, &self.system, memory);
        let is_string = next.is_some_and(|it| it.is_string_instruction() && it.has_rep_prefix());
        // Its destination has already moved on, or not yet.
        let apart = (self.registers.rdi & PAGE).abs_diff(store.address & PAGE);
        is_string && apart <= u64::from(store.size)
    }
}

impl Hook for VcpuCollider {
    fn points(&self) -> Points {
        if self.shared.search.sought.is_empty() {
            return Points::STOP;
        }
        Points::STOP | Points::ADDED_WATCH
    }

    fn stop(&mut self, context: &mut Context) {
        self.shared.state().stop(self.vcpu, context.now);
    }

    fn access(&mut self, context: &mut Context, access: &hook::Access) -> Verdict {
        let search = &self.shared.search;
        let mut touched = self.shared.variables.touched(access);
        if touched.is_empty() {
            return Verdict::Continue;
        }
        let numbers = |touched: &[TouchedVariable]| touched.iter().map(|it| it.number).collect();
        let behind = if access.exact { Behind::of(access, context) } else { None };
        let Some(behind) = behind else {
            let touched: Vec<_> = numbers(&touched);
            self.shared.state().skip(&touched);
            return Verdict::Continue;
        };
        touched.retain(|it| behind.is_there(it, &search.inspector, context.memory));
        if touched.is_empty() {
            return Verdict::Continue;
        }
        let touched: Vec<_> = numbers(&touched);
        let mut noted = behind.access(self.vcpu, access, search.has_values);
        let (now, draw) = (context.now, &mut self.draw);
        // The stack is unwound under the lock: the others must see the hold as soon as it is
        // decided.
        let mut state = self.shared.state();
        let chosen = |chances| draw.between(1, chances) == 1;
        let complete = |noted: &mut Access| {
            noted.stack = behind.stack(access, &search.inspector, context.memory);
            noted.task = behind.task(&search.inspector, context);
        };
        if !state.add(&touched, &mut noted, now, chosen, complete) {
            return Verdict::Continue;
        }
        let length = draw.time(search.hold);
        state.hold(touched, noted, now, length);
        Verdict::Hold(length)
    }
}
