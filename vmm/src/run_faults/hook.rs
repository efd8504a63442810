//! The faults on one vCPU.

use std::sync::Arc;
use std::time::Duration;

use devices::control::MARK_PORT;
use tracing::debug;

use super::RunFault;
use crate::exit::Exit;
use crate::fault::{FaultKind, Injection};
use crate::hook::{Context, Hook, Points, Verdict};

/// Lets faults strike at one vCPU.
pub(super) struct FaultHook {
    vcpu: u32,
    faults: Vec<Arc<RunFault>>,
    /// For each fault: when the strike was due that is being made.
    pending: Vec<Option<Duration>>,
}

impl FaultHook {
    pub(super) fn new(vcpu: u32, faults: Vec<Arc<RunFault>>) -> Self {
        let pending = vec![None; faults.len()];
        Self { vcpu, faults, pending }
    }

    /// Lets a fault strike that was due at this time.
    fn strike(&mut self, number: usize, due: Duration, context: &mut Context) {
        let fault = &self.faults[number];
        let mut timing = fault.timing();
        if fault.spec.probability.is_some_and(|p| !timing.chance(p.get())) {
            fault.count(false);
            return timing.go_on(due, context.now, false);
        }
        let injection = match (fault.spec.kind, fault.spec.vector) {
            (FaultKind::IrqSpurious, Some(vector)) => Injection::Interrupt { vector },
            (FaultKind::Nmi, _) => Injection::Nmi,
            _ => return timing.pend(),
        };
        let Some(actions) = context.actions.as_deref_mut().filter(|_| context.started) else {
            return timing.retry(context.now);
        };
        timing.pend();
        self.pending[number] = Some(due);
        actions.inject(number, injection);
    }

    /// Has the vCPU at which a fault strikes next look at the time, if it is another one.
    fn wake(&self, number: usize, context: &mut Context) {
        let target = self.faults[number].timing().target();
        if let (Some(actions), Some(target)) = (context.actions.as_deref_mut(), target)
            && target != self.vcpu
        {
            actions.wake(target);
        }
    }
}

impl Hook for FaultHook {
    fn points(&self) -> Points {
        let marks = self.faults.iter().any(|fault| fault.waits_for_mark());
        if marks { Points::TICK | Points::EXIT } else { Points::TICK }
    }

    fn exit(&mut self, context: &mut Context, exit: &Exit) -> Verdict {
        if matches!(exit, Exit::PortWrite { port: MARK_PORT, .. }) {
            for number in 0..self.faults.len() {
                self.faults[number].timing().mark(context.now);
                self.wake(number, context);
            }
        }
        Verdict::Continue
    }

    fn next_tick(&self) -> Option<Duration> {
        self.faults.iter().filter_map(|fault| fault.timing().next_at(self.vcpu)).min()
    }

    fn tick(&mut self, context: &mut Context) -> Verdict {
        for number in 0..self.faults.len() {
            let due = self.faults[number].timing().next_at(self.vcpu);
            if let Some(due) = due.filter(|due| *due <= context.now) {
                self.strike(number, due, context);
                self.wake(number, context);
            }
        }
        Verdict::Continue
    }

    fn injected(&mut self, context: &mut Context, number: usize, done: bool) {
        let pending = self.pending.get_mut(number).and_then(Option::take);
        let Some(due) = pending else { return };
        let fault = &self.faults[number];
        if done {
            debug!(vcpu = self.vcpu, at = ?context.now, fault = %fault.spec, "struck");
            fault.count(true);
            fault.timing().go_on(due, context.now, true);
        } else {
            fault.timing().retry(context.now);
        }
        self.wake(number, context);
    }
}
