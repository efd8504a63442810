//! The hook of one vCPU: tells the others of its accesses, and is held behind some of them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use inspect::Inspector;
use vmm::hook::{self, Context, Hook, Points, Verdict};
use vmm::instruction;
use vmm::jitter::{self, Draw};
use vmm::registers::{Registers, SystemRegisters};

use super::Variable;
use super::race::Access;
use super::state::State;

pub(super) struct VcpuCollider {
    vcpu: u32,
    variables: Arc<[Variable]>,
    hold: jitter::Range,
    draw: Draw,
    has_values: bool,
    inspector: Arc<Inspector>,
    state: Arc<Mutex<State>>,
}

impl VcpuCollider {
    pub(super) fn new(
        vcpu: u32,
        variables: Arc<[Variable]>,
        hold: jitter::Range,
        seed: u64,
        has_values: bool,
        inspector: Arc<Inspector>,
        state: Arc<Mutex<State>>,
    ) -> Self {
        let draw = Draw::new(seed, vcpu.into());
        Self { vcpu, variables, hold, draw, has_values, inspector, state }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The access with its stack; `None` if the vCPU's registers can't be read.
    fn access(&self, context: &mut Context, access: &hook::Access) -> Option<Access> {
        let (registers, system) =
            (context.cpu.registers().ok()?, context.cpu.system_registers().ok()?);
        let mut stack = self.inspector.unwind(&registers, &system, context.memory);
        let rip = instruction::linear(access.rip, &system);
        let is_store = access.write && !access.locked;
        if let Some(first) = stack.first_mut() {
            first.address = rip;
            first.is_return_address =
                is_store && !is_repeated(access, rip, &registers, &system, context);
        }
        Some(Access {
            vcpu: self.vcpu,
            address: access.address,
            size: access.size,
            write: access.write,
            locked: access.locked,
            value: self.has_values.then_some(access.value),
            stack,
        })
    }
}

/// Whether a store is that of the repeated string instruction at RIP, which has not ended.
fn is_repeated(
    store: &hook::Access,
    rip: u64,
    registers: &Registers,
    system: &SystemRegisters,
    context: &Context,
) -> bool {
    const PAGE: u64 = 0xfff;
    let next = instruction::at(rip, system, context.memory);
    let is_string = next.is_some_and(|it| it.is_string_instruction() && it.has_rep_prefix());
    // Its destination has already moved on, or not yet.
    let apart = (registers.rdi & PAGE).abs_diff(store.address & PAGE);
    is_string && apart <= u64::from(store.size)
}

impl Hook for VcpuCollider {
    fn points(&self) -> Points {
        Points::STOP
    }

    fn stop(&mut self, context: &mut Context) {
        self.state().stop(self.vcpu, context.now);
    }

    fn access(&mut self, context: &mut Context, access: &hook::Access) -> Verdict {
        let Some(variable) = self.variables.iter().position(|it| access.touches(&it.physical))
        else {
            return Verdict::Continue;
        };
        if !access.exact {
            self.state().skip();
            return Verdict::Continue;
        }
        let Some(access) = VcpuCollider::access(self, context, access) else {
            self.state().skip();
            return Verdict::Continue;
        };
        let (state, now) = (self.state.clone(), context.now);
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        let draw = &mut self.draw;
        if !state.add(variable, &access, now, |chances| draw.between(1, chances) == 1) {
            return Verdict::Continue;
        }
        let length = draw.time(self.hold);
        state.hold(variable, access, now, length);
        Verdict::Hold(length)
    }
}
