//! What threads outside the run ask of it: to pause, to stop for a look, to tell its status.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Control;
use crate::end::End;
use crate::parallel::barrier::Look;
use crate::parallel::debugging::Why;
use crate::parallel::pauses::Pauser;
use crate::parallel::status::{RunStatus, Standstill};

impl Control {
    /// Keeps all vCPUs out of the guest from now on, because the user wants it. Returns false if
    /// they are paused already.
    pub(in crate::parallel) fn pause(&self) -> bool {
        let changed = self.pauses.pause(Pauser::Remote, self.now());
        self.standstill_has_changed();
        changed
    }

    /// Ends the pause and the suspension of a run. Returns which of the two there were.
    pub(in crate::parallel) fn resume_all(&self) -> Vec<Standstill> {
        let was_paused = self.pauses.end_pause(Pauser::Remote, self.now());
        let was_suspended = self.pauses.end_suspension();
        self.standstill_has_changed();
        let paused = was_paused.then_some(Standstill::Paused);
        paused.into_iter().chain(was_suspended.then_some(Standstill::Suspended)).collect()
    }

    /// Has the vCPUs and a debugger look at whether they are to stand still.
    pub(in crate::parallel) fn standstill_has_changed(&self) {
        self.debugging.wake();
        self.kick_all();
    }

    /// Why the vCPUs don't run at present; empty if they do.
    pub(in crate::parallel) fn standstills(&self) -> Vec<Standstill> {
        let reasons = [
            (self.pauses.is_paused_by(Pauser::Debugger), Standstill::Debugged),
            (self.pauses.is_paused_by(Pauser::Remote), Standstill::Paused),
            (self.pauses.is_suspended(), Standstill::Suspended),
        ];
        reasons.into_iter().filter_map(|(holds, reason)| holds.then_some(reason)).collect()
    }

    /// The time since the machine started, without the time in which the user had it paused.
    pub(in crate::parallel) fn unpaused_time(&self) -> Duration {
        let now = self.now();
        now.saturating_sub(self.pauses.paused_time(now))
    }

    /// The status of the run.
    pub(in crate::parallel) fn status(&self) -> RunStatus {
        let time = self.now();
        let standstills = self.standstills();
        let exits = self.slots.iter().map(|slot| slot.activity.load(Ordering::Relaxed)).collect();
        let (paused, hung) = (self.pauses.paused_time(time), self.found_hang.get().is_some());
        RunStatus { time, paused, standstills, hung, exits }
    }

    /// Waits for the watchdog to find a hang, has it examined, and ends the run. Returns at once
    /// when the run ends without a hang.
    pub(in crate::parallel) fn examine_hang(&self, examine: &(dyn Fn(&End) + Sync)) {
        /// However the examination ends, the run has to end with it.
        struct EndOnDrop<'a>(&'a Control, End);
        impl Drop for EndOnDrop<'_> {
            fn drop(&mut self) {
                self.0.end(self.1.clone());
            }
        }
        if let Some(verdict) = self.found_hang.wait() {
            let _end = EndOnDrop(self, verdict.clone());
            examine(&verdict);
        }
    }

    /// Keeps all vCPUs out of the guest from now on, for a debugger. A step that is being made
    /// ends.
    pub(in crate::parallel) fn stop_for_debugger(&self) {
        self.debugging.stop(|| self.pause_for_debugger());
        self.kick_all();
    }

    fn pause_for_debugger(&self) {
        self.pauses.pause(Pauser::Debugger, self.now());
    }

    fn unpause_for_debugger(&self) {
        self.pauses.end_pause(Pauser::Debugger, self.now());
    }

    /// Called by a vCPU that has stopped for a debugger: stops the others, too, if the debugger
    /// still wants to know of it.
    pub(in crate::parallel) fn stopped_for_debugger(&self, vcpu: u32, why: Why) {
        if self.debugging.report(vcpu, why, || self.pause_for_debugger()) {
            self.kick_all();
        }
    }

    /// Lets the vCPUs go on that were stopped for a debugger, unless it has to be told of a stop
    /// first.
    pub(in crate::parallel) fn go_on_for_debugger(&self) {
        if self.debugging.go_on(|| self.unpause_for_debugger()) {
            self.kick_all();
        }
    }

    /// Lets the vCPUs go on without a debugger: what it wanted is forgotten.
    pub(in crate::parallel) fn forget_debugger(&self) {
        self.debugging.forget(|| self.unpause_for_debugger());
        self.kick_all();
    }

    /// Lets this vCPU execute an instruction.
    pub(in crate::parallel) fn step_for_debugger(&self, vcpu: u32, shown: u64) {
        self.debugging.begin_step(vcpu, shown);
        self.slot(vcpu).kick();
    }

    /// Has `look` called when all vCPUs have arrived at the barrier. It is dropped if the run ends
    /// before that.
    pub(in crate::parallel) fn when_stopped(&self, look: Look) {
        self.barrier.call_for(look);
        self.kick_all();
    }
}
