//! Hooks in a controlled machine.
//!
//! They see virtual time and are called in the order of the run's choices, so what a hook does is a
//! function of those choices, too: a replay calls it the same way again. A hook's own state is no
//! part of a snapshot.

use std::time::Duration;

use super::ControlledMachine;
use super::choice::Choice;
use super::seat::State;
use crate::exit::{Entry, Exit};
use crate::hook::{Attach, Context, HookSet, Points};

impl ControlledMachine {
    /// Attaches hooks to every vCPU, in this order, and calls those that want to know of the start.
    /// They take the place of those that were attached before.
    pub fn attach(&mut self, hooks: &[&dyn Attach]) {
        let vcpus = self.seats.len() as u32;
        let attached = |vcpu| HookSet::new(hooks.iter().map(|hook| hook.attach(vcpu, vcpus)));
        self.hooks = (0..vcpus).map(attached).collect();
        self.at_all(Points::START, HookSet::start);
    }

    /// Calls the hooks that want to know of the end, and lets go of all.
    pub fn detach(&mut self) {
        self.at_all(Points::STOP, HookSet::stop);
        self.hooks.clear();
    }

    /// A choice has been made.
    pub(super) fn hook_choice(&mut self, choice: Choice) {
        self.at(choice.vcpu(), Points::CHOICE, |hooks, context| hooks.choice(context, choice));
    }

    /// An exit's turn has come.
    pub(super) fn hook_exit(&mut self, vcpu: u32, exit: &Exit) {
        let held = self.at(vcpu, Points::EXIT, |hooks, context| hooks.exit(context, exit));
        if let Some(time) = held.filter(|time| !time.is_zero()) {
            self.hold(vcpu, time);
        }
    }

    /// A vCPU goes on with this answer.
    pub(super) fn hook_entry(&mut self, vcpu: u32, entry: &Entry) {
        self.at(vcpu, Points::ENTRY, |hooks, context| hooks.entry(context, entry));
    }

    /// The machine hangs.
    pub(super) fn hook_hang(&mut self, proven: bool) {
        self.at_all(Points::HANG, |hooks, context| hooks.hang(context, proven));
    }

    /// Time has passed: calls the ticks that have come due, each at its own time.
    pub(super) fn hook_ticks(&mut self) {
        for vcpu in 0..self.hooks.len() as u32 {
            let now = Duration::from_nanos(self.platform.now());
            while let Some(due) = self.hooks[vcpu as usize].next_tick().filter(|due| *due <= now) {
                let time = self.call(vcpu, due, HookSet::tick);
                if !time.is_zero() {
                    self.hold(vcpu, time);
                }
            }
        }
    }

    /// When the first vCPU that a hook holds may go on, in virtual nanoseconds; `None` if none is
    /// held.
    pub(super) fn next_release(&self) -> Option<u64> {
        let now = self.platform.now();
        self.seats.iter().map(|seat| seat.held_until).filter(|until| *until > now).min()
    }

    fn hold(&mut self, vcpu: u32, time: Duration) {
        let until = self.platform.now().saturating_add(time.as_nanos() as u64);
        let seat = &mut self.seats[vcpu as usize];
        seat.held_until = seat.held_until.max(until);
        seat.touched = true;
    }

    /// Calls a vCPU's hooks if any of them is interested in this point.
    fn at<T>(
        &mut self,
        vcpu: u32,
        point: Points,
        call: impl FnOnce(&mut HookSet, &mut Context) -> T,
    ) -> Option<T> {
        let wanted = self.hooks.get(vcpu as usize).is_some_and(|hooks| hooks.wants(point));
        let now = Duration::from_nanos(self.platform.now());
        wanted.then(|| self.call(vcpu, now, call))
    }

    fn at_all(&mut self, point: Points, mut call: impl FnMut(&mut HookSet, &mut Context)) {
        for vcpu in 0..self.hooks.len() as u32 {
            self.at(vcpu, point, &mut call);
        }
    }

    fn call<T>(
        &mut self,
        vcpu: u32,
        now: Duration,
        call: impl FnOnce(&mut HookSet, &mut Context) -> T,
    ) -> T {
        let vcpus = self.seats.len() as u32;
        let seat = &mut self.seats[vcpu as usize];
        let mut context = Context {
            vcpu,
            vcpus,
            started: seat.state != State::WaitForSipi,
            held: seat.held_until > self.platform.now(),
            cpu: &mut seat.cpu,
            memory: &self.memory,
            now,
            point: Some(self.points),
        };
        call(&mut self.hooks[vcpu as usize], &mut context)
    }
}

#[cfg(test)]
#[path = "hooks_tests.rs"]
mod tests;
