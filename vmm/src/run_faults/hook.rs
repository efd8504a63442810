//! The faults on one vCPU.

use std::sync::Arc;
use std::time::Duration;

use devices::control::MARK_PORT;
use tracing::debug;

use super::RunFault;
use super::effect::{Effect, flip};
use crate::exit::Exit;
use crate::fault::{FaultKind, When};
use crate::hook::{Context, FOR_GOOD, Hook, MsrAccess, Points, Verdict};
use crate::registers::Activity;

/// How often a vCPU that is held from its start looks whether the guest has started it.
const LOOK: Duration = Duration::from_millis(5);

/// A vCPU that is held from its start.
struct HeldStart {
    fault: usize,
    /// When to look next whether the guest has started it.
    next: Duration,
    /// When the hold ends.
    end: Duration,
}

/// Lets faults strike at one vCPU.
pub(super) struct FaultHook {
    vcpu: u32,
    faults: Vec<Arc<RunFault>>,
    /// For each fault: when the strike was due that is being made.
    pending: Vec<Option<Duration>>,
    /// The fault that holds this vCPU from its start, if the guest has not started it yet.
    holds_start: Option<HeldStart>,
    /// The addresses of the symbols that faults wait for.
    symbols: Vec<u64>,
}

impl FaultHook {
    pub(super) fn new(vcpu: u32, faults: Vec<Arc<RunFault>>) -> Self {
        let pending = vec![None; faults.len()];
        let symbols = faults.iter().filter_map(|fault| fault.spec.at_address).collect();
        Self { vcpu, faults, pending, holds_start: None, symbols }
    }

    /// Lets a fault strike that was due at this time.
    fn strike(&mut self, number: usize, due: Duration, context: &mut Context) -> Verdict {
        let fault = &self.faults[number];
        let mut timing = fault.timing();
        if fault.spec.probability.is_some_and(|p| !timing.chance(p.get())) {
            fault.count(false);
            timing.go_on(due, context.now, false);
            return Verdict::Continue;
        }
        let can_strike = context.started || fault.spec.kind.is_from_start();
        let effect = if can_strike { Effect::of(&fault.spec) } else { None };
        let (struck, verdict) = match (effect, context.actions.as_deref_mut()) {
            (Some(Effect::Inject(injection)), Some(actions)) => {
                timing.pend();
                self.pending[number] = Some(due);
                actions.inject(number, injection);
                return Verdict::Continue;
            }
            (Some(Effect::Hold(time)), Some(_)) => (true, Verdict::Hold(time)),
            (Some(Effect::Flip), Some(_)) => {
                let bit = fault.spec.bit.unwrap_or_else(|| timing.draw_bit());
                (flip(&fault.spec, bit, context), Verdict::Continue)
            }
            _ => (false, Verdict::Continue),
        };
        if struck {
            debug!(vcpu = self.vcpu, at = ?context.now, fault = %fault.spec, "struck");
            fault.count(true);
            timing.go_on(due, context.now, true);
        } else {
            timing.retry(context.now);
        }
        verdict
    }

    /// Has the vCPU at which a fault strikes next look at the time.
    fn wake(&self, number: usize, context: &mut Context) {
        let target = self.faults[number].timing().target();
        if let (Some(actions), Some(target)) = (context.actions.as_deref_mut(), target) {
            actions.wake(target);
        }
    }

    /// Counts the fault that holds this vCPU from its start as soon as the guest starts it. If the
    /// guest does so only when the hold is over, the fault has not struck.
    fn look_at_start(&mut self, context: &Context, started: bool) {
        let now = context.now;
        let Some(held) = self.holds_start.take_if(|held| held.next <= now) else { return };
        if started {
            self.faults[held.fault].count(true);
        } else if now < held.end {
            self.holds_start = Some(HeldStart { next: held.end.min(now + LOOK), ..held });
        }
    }
}

impl Hook for FaultHook {
    fn points(&self) -> Points {
        let marks = self.faults.iter().any(|fault| matches!(fault.spec.at, Some(When::Mark(_))));
        let ticks = Points::TICK | Points::START | Points::STOP;
        let exits = if marks { Points::EXIT } else { Points::empty() };
        let stops = if self.symbols.is_empty() { Points::empty() } else { Points::BREAKPOINT };
        ticks | exits | stops
    }

    fn start(&mut self, context: &mut Context) {
        for number in 0..self.faults.len() {
            let fault = self.faults[number].clone();
            if !fault.spec.kind.is_from_start() || fault.timing().next_at(self.vcpu).is_none() {
                continue;
            }
            if fault.spec.kind != FaultKind::VcpuStart {
                self.strike(number, Duration::ZERO, context);
                continue;
            }
            fault.timing().pend();
            let time = fault.spec.time.unwrap_or(FOR_GOOD);
            let end = context.now.saturating_add(time);
            self.holds_start = Some(HeldStart { fault: number, next: context.now, end });
            if let Some(actions) = context.actions.as_deref_mut() {
                actions.hold(time);
            }
        }
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

    fn breakpoints(&self) -> &[u64] {
        &self.symbols
    }

    fn breakpoint(&mut self, context: &mut Context, address: u64) -> Verdict {
        let mut hold = Duration::ZERO;
        for number in 0..self.faults.len() {
            let fault = &self.faults[number];
            let is_own = fault.spec.at_address == Some(address);
            if is_own && fault.timing().executes_symbol(self.vcpu, fault.spec.nth) {
                if let Verdict::Hold(time) = self.strike(number, context.now, context) {
                    hold = hold.max(time);
                }
                self.wake(number, context);
            }
        }
        let faults = &self.faults;
        self.symbols.retain(|symbol| {
            faults.iter().any(|fault| {
                fault.spec.at_address == Some(*symbol) && fault.timing().awaits_symbol()
            })
        });
        if hold.is_zero() { Verdict::Continue } else { Verdict::Hold(hold) }
    }

    fn msr(&mut self, context: &mut Context, access: &MsrAccess) -> Verdict {
        for fault in &self.faults {
            let Some(struck) = fault.strikes_msr(self.vcpu, access) else { continue };
            debug!(vcpu = self.vcpu, at = ?context.now, fault = %fault.spec, "struck");
            if let Some(actions) = context.actions.as_deref_mut() {
                actions.msr.get_or_insert(struck);
            }
        }
        Verdict::Continue
    }

    fn next_tick(&self) -> Option<Duration> {
        let due = self.faults.iter().filter_map(|fault| fault.timing().next_at(self.vcpu));
        due.chain(self.holds_start.as_ref().map(|held| held.next)).min()
    }

    fn tick(&mut self, context: &mut Context) -> Verdict {
        self.look_at_start(context, context.started);
        let mut hold = Duration::ZERO;
        for number in 0..self.faults.len() {
            let due = self.faults[number].timing().next_at(self.vcpu);
            if let Some(due) = due.filter(|due| *due <= context.now) {
                if let Verdict::Hold(time) = self.strike(number, due, context) {
                    hold = hold.max(time);
                }
                self.wake(number, context);
            }
        }
        if hold.is_zero() { Verdict::Continue } else { Verdict::Hold(hold) }
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

    fn stop(&mut self, context: &mut Context) {
        let activity = context.cpu.activity().unwrap_or(Activity::WaitForSipi);
        let next = self.holds_start.as_ref().map_or(context.now, |held| held.next);
        let now = context.now.max(next);
        let context = Context { now, actions: None, cpu: &mut *context.cpu, ..*context };
        self.look_at_start(&context, activity != Activity::WaitForSipi);
    }
}
