//! The hooks of one vCPU, by the points that they asked for.

use std::time::Duration;

use crate::controlled::Choice;
use crate::exit::{Entry, Exit};
use crate::hook::{Context, Hook, Points, Verdict};

/// Calls each hook at its points, in the order in which they were attached.
pub(crate) struct HookSet {
    hooks: Vec<Box<dyn Hook>>,
    points: Points,
}

impl HookSet {
    pub(crate) fn new(hooks: impl Iterator<Item = Box<dyn Hook>>) -> Self {
        let hooks: Vec<_> = hooks.collect();
        let points = hooks.iter().fold(Points::empty(), |all, hook| all | hook.points());
        Self { hooks, points }
    }

    /// Whether anybody is there at this point. What this says no to costs one test.
    pub(crate) fn wants(&self, point: Points) -> bool {
        self.points.intersects(point)
    }

    pub(crate) fn start(&mut self, context: &mut Context) {
        self.at(Points::START).for_each(|hook| hook.start(context));
    }

    pub(crate) fn stop(&mut self, context: &mut Context) {
        self.at(Points::STOP).for_each(|hook| hook.stop(context));
    }

    /// How long to hold the vCPU: the sum of what the hooks want.
    pub(crate) fn exit(&mut self, context: &mut Context, exit: &Exit) -> Duration {
        self.at(Points::EXIT).map(|hook| length(hook.exit(context, exit))).sum()
    }

    pub(crate) fn entry(&mut self, context: &mut Context, entry: &Entry) {
        self.at(Points::ENTRY).for_each(|hook| hook.entry(context, entry));
    }

    pub(crate) fn choice(&mut self, context: &mut Context, choice: Choice) {
        self.at(Points::CHOICE).for_each(|hook| hook.choice(context, choice));
    }

    pub(crate) fn hang(&mut self, context: &mut Context, proven: bool) {
        self.at(Points::HANG).for_each(|hook| hook.hang(context, proven));
    }

    /// The earliest tick that anybody wants.
    pub(crate) fn next_tick(&self) -> Option<Duration> {
        self.hooks.iter().filter_map(|hook| hook.next_tick()).min()
    }

    /// Calls every hook whose tick is due, and says how long to hold the vCPU.
    pub(crate) fn tick(&mut self, context: &mut Context) -> Duration {
        let now = context.now;
        self.hooks
            .iter_mut()
            .filter(|hook| hook.next_tick().is_some_and(|due| due <= now))
            .map(|hook| length(hook.tick(context)))
            .sum()
    }

    fn at(&mut self, point: Points) -> impl Iterator<Item = &mut Box<dyn Hook>> {
        self.hooks.iter_mut().filter(move |hook| hook.points().intersects(point))
    }
}

fn length(verdict: Verdict) -> Duration {
    match verdict {
        Verdict::Continue => Duration::ZERO,
        Verdict::Hold(time) => time,
    }
}
