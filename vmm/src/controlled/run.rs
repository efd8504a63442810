//! The run loop of the controlled scheduler: it lists what can happen, lets the chooser decide, and
//! does it.

use super::ControlledMachine;
use super::attention::Attention;
use super::granularity::Granularity;
use super::hang::Proof;
use super::outcome::{Awaited, Waiter, Waits};
use super::runaway::RunawayTimer;
use super::vcpu_context::{State, VcpuContext};
use super::writers::Writers;
use crate::choice::{Choice, Chooser, Point};
use crate::cpu::Cpu;
use crate::end::{End, HangEvidence};
use crate::error::{Error, Result};
use crate::exit::Bytes;

impl ControlledMachine {
    /// Runs until the guest ends or fails, or until `budget` scheduling points have passed.
    pub fn run(&mut self, chooser: &mut dyn Chooser, budget: u64) -> Result<End> {
        Ok(self.go_on(chooser, budget, false)?.unwrap_or(End::Budget))
    }

    /// Runs until the guest marks the place for a snapshot, and returns `None` then. Something else
    /// may end the run before.
    pub fn run_to_mark(&mut self, chooser: &mut dyn Chooser, budget: u64) -> Result<Option<End>> {
        self.marked = false;
        let ending = self.go_on(chooser, budget, true)?;
        Ok(if self.marked { None } else { Some(ending.unwrap_or(End::Budget)) })
    }

    fn go_on(
        &mut self,
        chooser: &mut dyn Chooser,
        budget: u64,
        to_mark: bool,
    ) -> Result<Option<End>> {
        let ending = self.choose_on(chooser, budget, to_mark)?;
        if ending.as_ref().is_some_and(End::is_failure) {
            self.check_faults_of_ring_3()?;
        }
        // An action of the hooks that were called last may have failed.
        self.broken.take().map_or(Ok(ending), Err)
    }

    fn choose_on(
        &mut self,
        chooser: &mut dyn Chooser,
        budget: u64,
        to_mark: bool,
    ) -> Result<Option<End>> {
        self.cancel.check()?;
        RunawayTimer::begin(&mut self.runaway)?;
        let (mut enabled, mut faults) = (Vec::new(), Vec::new());
        while self.points < budget && !(to_mark && self.marked) {
            if let Some(error) = self.broken.take() {
                return Err(error);
            }
            if let Some(met) = self.met.take() {
                return Ok(Some(End::Met(met)));
            }
            let before = self.points;
            if let Some(ending) = self.spend_hang_budget(budget)? {
                return Ok(Some(ending));
            }
            if self.points != before {
                continue;
            }
            self.look_at_endless_loops()?;
            self.list_enabled(&mut enabled);
            if let Some(next) = self.next_event(&enabled) {
                if self.pass_time(next)? {
                    return Ok(Some(self.hang(false)));
                }
                continue;
            }
            if enabled.is_empty() {
                if self.quiet_passes && self.is_quiet()? {
                    return Ok(Some(self.quiet()));
                }
                match self.prove_hang()? {
                    Proof::Hang => return Ok(Some(self.hang(true))),
                    Proof::Ended(ending) => return Ok(Some(ending)),
                    Proof::GoesOn => {}
                }
                continue;
            }
            self.list_faults(&enabled, &mut faults);
            let rip = match self.last {
                Some(vcpu) => self.vcpus[vcpu as usize].cpu.registers()?.rip,
                None => 0,
            };
            let point = Point {
                number: self.points,
                enabled: &enabled,
                faults: &faults,
                last: self.last,
                rip,
                hash: self.hash.value(),
            };
            let choice = chooser.choose(&point);
            if !point.offers(choice) {
                return Err(self.impossible(choice, &enabled));
            }
            self.walk_is_chosen();
            if let Some(ending) = self.take(choice)? {
                return Ok(Some(ending));
            }
        }
        Ok(None)
    }

    /// Ends a run that hangs: proven, or by budget.
    pub(super) fn hang(&mut self, proven: bool) -> End {
        self.hook_hang(proven);
        End::Hang(if proven { HangEvidence::Proof } else { HangEvidence::Budget })
    }

    /// Ends a run whose guest idles.
    fn quiet(&self) -> End {
        let unstarted = |(_, ctx): &(u32, &VcpuContext)| ctx.state == State::WaitForSipi;
        let unstarted = (0..).zip(&self.vcpus).filter(unstarted);
        End::Quiet { unstarted: unstarted.map(|(vcpu, _)| vcpu).collect() }
    }

    pub(super) fn list_enabled(&mut self, enabled: &mut Vec<Choice>) {
        enabled.clear();
        let now = self.platform.now();
        for (vcpu, (ctx, lapic)) in
            (0..).zip(self.vcpus.iter_mut().zip(&self.platform.apics.lapics))
        {
            if ctx.held_until > now {
                continue;
            }
            if ctx.is_ready() && ctx.tracker.looks_again() <= now {
                enabled.push(Choice::Step(vcpu));
            }
            let awake = ctx.state != State::WaitForSipi;
            let takes_interrupts = match self.granularity {
                // What KVM said at the latest exit may be older than what the vCPU takes.
                Granularity::Watch => ctx.shadow.taken.is_none() && ctx.cpu.takes_interrupts(),
                Granularity::Instruction => ctx.interruptible,
            };
            if awake && lapic.pending().is_some() && takes_interrupts {
                enabled.push(Choice::Interrupt(vcpu));
            }
        }
    }

    /// The error for a choice that is not enabled.
    fn impossible(&self, choice: Choice, enabled: &[Choice]) -> Error {
        let ctx = self.vcpus.get(choice.vcpu() as usize);
        let reason = match (choice, ctx.map(|ctx| &ctx.state)) {
            (_, None) => format!("of {} vCPUs", self.vcpus.len()),
            (Choice::Interrupt(_), _) => "none is pending, or it can't be taken here".into(),
            (Choice::Fault(_, number), _) if !self.faults.has(number) => {
                "the machine has no such fault".into()
            }
            (Choice::Fault(..), _) => "it can't strike here".into(),
            (_, Some(State::WaitForSipi)) => "it is not started".into(),
            (_, Some(State::Halted)) => "it sleeps".into(),
            (_, Some(State::Endless(_))) => "it is in an endless loop".into(),
            (_, Some(State::Ready | State::Access(_))) => "it waits for time to pass".into(),
            _ => "it waits for a value to change".into(),
        };
        let possible: Vec<_> = enabled.iter().map(Choice::to_string).collect();
        Error::Config {
            setting: "schedule: point",
            value: self.points.to_string(),
            problem: format!("not {choice} ({reason}): possible are {}", possible.join(", ")),
        }
    }

    /// What each vCPU waits for.
    pub fn waiters(&mut self) -> Result<Vec<Waiter>> {
        let progress: Vec<_> =
            (0..self.vcpus.len() as u32).map(|vcpu| self.lacks_progress(vcpu)).collect();
        let mut waiters = Vec::new();
        for (vcpu, ctx) in (0..).zip(&mut self.vcpus) {
            let waits = match &ctx.state {
                State::WaitForSipi => Waits::ForSipi,
                State::Halted => Waits::ForInterrupt,
                State::Waiting(_) | State::Spinning => Waits::ForChange(reads(ctx, &self.writers)),
                State::Endless(reads) if reads.is_empty() => Waits::Endless,
                State::Endless(reads) => Waits::ForChange(awaited(
                    reads.iter().map(|(at, value)| (*at, value)),
                    &self.writers,
                )),
                State::Ready | State::Access(_) if ctx.tracker.reads_clock() => {
                    Waits::ForTime(reads(ctx, &self.writers))
                }
                State::Ready | State::Access(_) if progress[vcpu as usize] => {
                    Waits::Loop(reads(ctx, &self.writers))
                }
                State::Ready | State::Access(_) => Waits::Not,
            };
            let (registers, system) = (ctx.cpu.registers()?, ctx.cpu.system_registers()?);
            let attention = Attention::default();
            waiters.push(Waiter { vcpu, waits, attention, registers, system });
        }
        for waiter in &mut waiters {
            waiter.attention = self.attention(waiter.vcpu)?;
        }
        Ok(waiters)
    }
}

/// What a vCPU has read since it last made progress, and the last stores there.
fn reads(ctx: &VcpuContext, writers: &Writers) -> Vec<Awaited> {
    awaited(ctx.tracker.reads(), writers)
}

fn awaited<'a>(reads: impl Iterator<Item = (u64, &'a Bytes)>, writers: &Writers) -> Vec<Awaited> {
    let awaited = |(address, value): (u64, &Bytes)| Awaited {
        address,
        value: value.clone(),
        writer: writers.last(address, value.len()).cloned(),
    };
    reads.map(awaited).collect()
}
