//! The hooks of one vCPU, called by the points that they asked for.

use std::iter::repeat;
use std::time::Duration;

use crate::choice::Choice;
use crate::error::{Error, Result};
use crate::exit::{Entry, Exit};
use crate::hook::{Access, ApicEvent, Attach, Context, Hook, MsrAccess, Points, Verdict, Watch};
use crate::memory::Memory;

/// Calls each hook at its points, in the order in which they were attached.
pub(crate) struct HookSet {
    hooks: Vec<Box<dyn Hook>>,
    /// The points that each hook asked for, and their union: testing a point calls no hook.
    asked: Vec<Points>,
    points: Points,
    /// What each hook watches.
    watches: Vec<Vec<Watch>>,
    /// What is watched only since the machine runs.
    added: Vec<Watch>,
    /// The MSRs whose accesses each hook wants.
    msrs: Vec<Vec<u32>>,
}

impl HookSet {
    /// The hooks for a vCPU of a machine with this memory and with data watchpoints for
    /// `watchpoints`. Fails if something that they watch is in neither.
    pub(crate) fn attach(
        hooks: &[&dyn Attach],
        vcpu: u32,
        vcpus: u32,
        memory: &Memory,
        watchpoints: &[Watch],
    ) -> Result<Self> {
        let watches: Vec<_> = hooks.iter().map(|hook| hook.watches()).collect();
        let unseen = |watch: &&Watch| {
            !memory.is_all_trapped(&watch.physical) && !watchpoints.contains(watch)
        };
        if let Some(Watch { physical: range, .. }) = watches.iter().flatten().find(unseen) {
            let value = format!("{:#x}..{:#x}", range.start, range.end);
            let problem = "the machine was made without it: give it the hooks' watches".into();
            return Err(Error::Config { setting: "watch of guest-physical", value, problem });
        }
        let set = Self::new(hooks.iter().map(|hook| hook.attach(vcpu, vcpus)));
        let msrs = hooks.iter().map(|hook| hook.msrs()).collect();
        Ok(Self { watches, msrs, ..set })
    }

    pub(crate) fn new(hooks: impl Iterator<Item = Box<dyn Hook>>) -> Self {
        let hooks: Vec<_> = hooks.collect();
        let asked: Vec<_> = hooks.iter().map(|hook| hook.points()).collect();
        let points = asked.iter().copied().collect();
        Self { hooks, asked, points, watches: Vec::new(), added: Vec::new(), msrs: Vec::new() }
    }

    /// Whether a hook asked for this point. If no hook did, the point costs this one test.
    pub(crate) fn wants(&self, point: Points) -> bool {
        self.points.intersects(point)
    }

    pub(crate) fn start(&mut self, context: &mut Context) {
        self.at(Points::START).for_each(|hook| hook.start(context));
    }

    pub(crate) fn stop(&mut self, context: &mut Context) {
        self.at(Points::STOP).for_each(|hook| hook.stop(context));
    }

    /// Returns how long to hold the vCPU: the sum of what the hooks ask for. So do the other
    /// methods that return a duration.
    pub(crate) fn exit(&mut self, context: &mut Context, exit: &Exit) -> Duration {
        all(self.at(Points::EXIT).map(|hook| hook.exit(context, exit)))
    }

    pub(crate) fn entry(&mut self, context: &mut Context, entry: &Entry) {
        self.at(Points::ENTRY).for_each(|hook| hook.entry(context, entry));
    }

    /// The addresses of all hooks' breakpoints.
    pub(crate) fn breakpoints(&self) -> impl Iterator<Item = u64> + Clone {
        self.hooks.iter().flat_map(|hook| hook.breakpoints()).copied()
    }

    /// Calls the hooks that have a breakpoint at this address, and returns how long to hold the
    /// vCPU.
    pub(crate) fn breakpoint(&mut self, context: &mut Context, address: u64) -> Duration {
        let wanted = self.at(Points::BREAKPOINT);
        let wanted = wanted.filter(|hook| hook.breakpoints().contains(&address));
        all(wanted.map(|hook| hook.breakpoint(context, address)))
    }

    /// Whether a hook watches memory.
    pub(crate) fn watch(&self) -> bool {
        let wants_added = self.wants(Points::ADDED_WATCH);
        wants_added || self.watches.iter().any(|watches| !watches.is_empty())
    }

    /// Sets what is watched only since the machine runs.
    pub(crate) fn set_added(&mut self, watches: Vec<Watch>) {
        self.added = watches;
    }

    /// Calls the hooks that watch the accessed memory, and returns how long to hold the vCPU.
    pub(crate) fn access(&mut self, context: &mut Context, access: &Access) -> Duration {
        let touched = |watches: &[Watch]| {
            watches.iter().any(|watch| {
                let kind = if access.write { watch.stores } else { watch.loads };
                kind && access.touches(&watch.physical)
            })
        };
        let is_added = touched(&self.added);
        // A set without hooks of a machine has no lists of watches either.
        let own = self.watches.iter().map(|watches| touched(watches)).chain(repeat(false));
        let hooks = self.hooks.iter_mut().zip(&self.asked).zip(own);
        let told = hooks.filter(|((_, asked), is_own)| {
            *is_own || is_added && asked.intersects(Points::ADDED_WATCH)
        });
        all(told.map(|((hook, _), _)| hook.access(context, access)))
    }

    /// The MSRs whose accesses the hooks want.
    pub(crate) fn msrs(&self) -> impl Iterator<Item = u32> {
        self.msrs.iter().flatten().copied()
    }

    /// Calls the hooks that asked for this MSR, and returns how long to hold the vCPU.
    pub(crate) fn msr(&mut self, context: &mut Context, access: &MsrAccess) -> Duration {
        let wanted = self.hooks.iter_mut().zip(&self.msrs);
        let wanted = wanted.filter(|(_, msrs)| msrs.contains(&access.index));
        all(wanted.map(|(hook, _)| hook.msr(context, access)))
    }

    /// Returns how long to hold the vCPU.
    pub(crate) fn apic(&mut self, context: &mut Context, event: &ApicEvent) -> Duration {
        all(self.at(Points::APIC).map(|hook| hook.apic(context, event)))
    }

    pub(crate) fn held(&mut self, context: &mut Context, time: Duration) {
        self.at(Points::HOLD).for_each(|hook| hook.held(context, time));
    }

    pub(crate) fn choice(&mut self, context: &mut Context, choice: Choice) {
        self.at(Points::CHOICE).for_each(|hook| hook.choice(context, choice));
    }

    pub(crate) fn hang(&mut self, context: &mut Context, proven: bool) {
        self.at(Points::HANG).for_each(|hook| hook.hang(context, proven));
    }

    /// The earliest tick that a hook asks for.
    pub(crate) fn next_tick(&self) -> Option<Duration> {
        self.hooks.iter().filter_map(|hook| hook.next_tick()).min()
    }

    /// Tells all hooks what became of an injection that one of them has asked for.
    pub(crate) fn injected(&mut self, context: &mut Context, fault: usize, done: bool) {
        self.hooks.iter_mut().for_each(|hook| hook.injected(context, fault, done));
    }

    /// Calls every hook whose tick is due, and returns how long to hold the vCPU.
    pub(crate) fn tick(&mut self, context: &mut Context) -> Duration {
        let now = context.now;
        let due = |hook: &&mut Box<dyn Hook>| hook.next_tick().is_some_and(|due| due <= now);
        all(self.hooks.iter_mut().filter(due).map(|hook| hook.tick(context)))
    }

    fn at(&mut self, point: Points) -> impl Iterator<Item = &mut Box<dyn Hook>> {
        let asked = self.hooks.iter_mut().zip(&self.asked);
        asked.filter(move |(_, asked)| asked.intersects(point)).map(|(hook, _)| hook)
    }
}

/// The sum of the holds in these verdicts, saturating.
fn all(verdicts: impl Iterator<Item = Verdict>) -> Duration {
    let times = verdicts.map(|verdict| match verdict {
        Verdict::Continue => Duration::ZERO,
        Verdict::Hold(time) => time,
    });
    times.fold(Duration::ZERO, Duration::saturating_add)
}

#[cfg(test)]
#[path = "set_tests.rs"]
mod tests;
