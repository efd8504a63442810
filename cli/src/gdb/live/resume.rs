//! Lets the machine go on as gdb asks.

use gdbstub::common::{Signal, Tid};
use gdbstub::target::ext::base::multithread::{
    MultiThreadRangeStepping, MultiThreadRangeSteppingOps, MultiThreadResume,
    MultiThreadSchedulerLocking, MultiThreadSchedulerLockingOps, MultiThreadSingleStep,
    MultiThreadSingleStepOps,
};
use vmm::end::End;
use vmm::parallel::{Event, NotRunning, Standstill, Why};
use vmm::registers::Activity;

use super::asked::Action;
use super::target::Live;
use crate::gdb::action::Kind;
use crate::gdb::connection::Connection;
use crate::gdb::resume::trapped;
use crate::gdb::session::{Debuggee, Reason};
use crate::gdb::target::{tid, vcpu};
use crate::tell;

impl Debuggee for Live<'_> {
    fn go(&mut self, connection: &Connection) -> Result<Option<Reason>, NotRunning> {
        if let Some(reason) = self.begin() {
            return Ok(Some(reason));
        }
        loop {
            if self.is_held_meanwhile() {
                self.debugger.stop();
                self.range = None;
                return match self.look() {
                    Ok(()) => Ok(Some(stays(self.stopped))),
                    Err(error) => self.ended_meanwhile(error).map(Some),
                };
            }
            match self.debugger.next_event() {
                Some(Event::Ended(end)) => return Ok(Some(ended(end.as_ref()))),
                Some(Event::Stopped { vcpu, why }) => {
                    if let Err(error) = self.look() {
                        return self.ended_meanwhile(error).map(Some);
                    }
                    self.stopped = vcpu;
                    if why != Why::Step || !self.steps_on(vcpu) {
                        return Ok(Some(self.reason(vcpu, why)));
                    }
                }
                None => connection.wait_beside(self.debugger.fd()),
            }
            if connection.has_input() {
                return Ok(None);
            }
        }
    }

    fn interrupt(&mut self) -> Result<Reason, NotRunning> {
        self.debugger.stop();
        self.range = None;
        if let Err(error) = self.look() {
            return self.ended_meanwhile(error);
        }
        Ok(Reason::SignalWithThread { tid: tid(self.stopped), signal: Signal::SIGINT })
    }
}

impl Live<'_> {
    /// How the run ended while its vCPUs were to stop.
    fn ended_meanwhile(&self, error: NotRunning) -> Result<Reason, NotRunning> {
        match self.debugger.next_event() {
            Some(Event::Ended(end)) => Ok(ended(end.as_ref())),
            _ => Err(error),
        }
    }

    /// The vCPU that is a thread; for a thread that there is not, the one that stopped last.
    fn vcpu_of(&self, tid: Tid) -> u32 {
        let vcpu = vcpu(tid);
        if (vcpu as usize) < self.vcpus.len() { vcpu } else { self.stopped }
    }

    /// Begins what gdb asked for. Returns why that is not possible.
    fn begin(&mut self) -> Option<Reason> {
        let action = self.action.take()?;
        self.others.clear();
        let others = self.debugger.other_standstills();
        if !others.is_empty() {
            tell::user(&format!(
                "jitterbug: gdb: the machine stays where it is: {}: `monitor resume` ends that",
                who(&others)
            ));
            let stepped = match action {
                Action::Continue => self.stopped,
                Action::Step(vcpu, _) => vcpu,
            };
            return Some(stays(stepped));
        }
        self.is_stepping = matches!(action, Action::Step(..));
        match action {
            Action::Continue => self.debugger.go(),
            Action::Step(vcpu, range) => {
                self.range = range.map(|range| (vcpu, range));
                if let Err(refused) = self.debugger.step(vcpu, self.rip(vcpu)) {
                    tell::user(&format!("jitterbug: gdb: {refused}"));
                    return Some(stays(vcpu));
                }
            }
        }
        None
    }

    /// Tells the user if something else keeps the machine still, which gdb has let go on. Returns
    /// whether gdb's step can't end because of that.
    fn is_held_meanwhile(&mut self) -> bool {
        let others = self.debugger.other_standstills();
        if others == self.others {
            return false;
        }
        self.others = others;
        if self.others.is_empty() {
            return false;
        }
        let who = who(&self.others);
        tell::user(&if self.is_stepping {
            format!("jitterbug: gdb: the step has ended: {who}: `monitor resume` ends that")
        } else {
            format!(
                "jitterbug: gdb: the machine stands still: {who}: `resume` of `jitterbug ctl` ends \
                 that, or Ctrl-C in gdb and `monitor resume`"
            )
        });
        self.is_stepping
    }

    /// Begins the next step of the vCPU if it has not left the range.
    fn steps_on(&mut self, stopped: u32) -> bool {
        let rip = self.rip(stopped);
        let range = self.range.as_ref();
        let stays = range.is_some_and(|(vcpu, range)| *vcpu == stopped && range.contains(&rip));
        stays && self.debugger.step(stopped, rip).is_ok()
    }

    /// RIP of a vCPU as gdb sees it; 0 if there is no such vCPU.
    fn rip(&self, vcpu: u32) -> u64 {
        self.vcpus.get(vcpu as usize).map_or(0, |state| state.registers.rip)
    }

    fn reason(&self, vcpu: u32, why: Why) -> Reason {
        let tid = tid(vcpu);
        match why {
            Why::Step => trapped(tid),
            Why::Asleep => {
                let halted = self
                    .vcpus
                    .get(vcpu as usize)
                    .is_some_and(|state| state.activity == Activity::Halted);
                let why = if halted {
                    "it sleeps in HLT, and a step lets no interrupt wake it"
                } else {
                    "it was never started"
                };
                tell::user(&format!("jitterbug: gdb: vCPU {vcpu} makes no step: {why}"));
                stays(vcpu)
            }
            Why::Raises { vector, handler } => {
                let at = handler.map_or(String::new(), |at| format!(", which begins at {at:#x}"));
                tell::user(&format!(
                    "jitterbug: gdb: vCPU {vcpu} makes no step: its instruction calls the handler \
                     of vector {vector}{at}, in which this host can't stop a step: set a breakpoint \
                     there, delete one that is here, and `continue`"
                ));
                stays(vcpu)
            }
            Why::Breakpoint(address) => {
                let has = |kind| self.set.breakpoints.contains(&(kind, address));
                if has(Kind::Hardware) && !has(Kind::Software) {
                    Reason::HwBreak(tid)
                } else {
                    Reason::SwBreak(tid)
                }
            }
            Why::Watchpoint(breakpoint) => match self.set.watch_of(&breakpoint) {
                Some(watch) => Reason::Watch { tid, kind: watch.kind, addr: watch.address },
                None => trapped(tid),
            },
        }
    }
}

/// What gdb is told if this vCPU stays where it is: gdb steps on behind a trap, but not behind
/// another signal.
fn stays(vcpu: u32) -> Reason {
    Reason::SignalWithThread { tid: tid(vcpu), signal: Signal::SIGSTOP }
}

/// Who keeps the machine still, beside gdb.
pub(super) fn who(others: &[Standstill]) -> String {
    let who = others.iter().map(|reason| match reason {
        Standstill::Paused => "`ctl` has paused it",
        Standstill::Suspended => "a script has suspended it",
        Standstill::Debugged => "gdb has stopped it",
    });
    who.collect::<Vec<_>>().join(", and ")
}

/// What gdb is told of the end of a run.
fn ended(end: Option<&End>) -> Reason {
    let (exited, terminated) = (Reason::Exited, Reason::Terminated);
    // gdb shows 8 bits; a failure must not look like a success.
    let status = |code: u32| match code as u8 {
        0 if code != 0 => u8::MAX,
        code => code,
    };
    match end {
        Some(End::Guest { code } | End::Stopped { code, .. }) => exited(status(*code)),
        Some(End::Interrupted) => terminated(Signal::SIGINT),
        Some(End::TimeLimit | End::Missed) => terminated(Signal::SIGALRM),
        Some(end) if end.is_failure() => terminated(Signal::SIGABRT),
        Some(_) => exited(0),
        None => terminated(Signal::SIGKILL),
    }
}

impl MultiThreadResume for Live<'_> {
    fn resume(&mut self) -> Result<(), NotRunning> {
        Ok(())
    }

    fn clear_resume_actions(&mut self) -> Result<(), NotRunning> {
        (self.action, self.range) = (Some(Action::Continue), None);
        Ok(())
    }

    fn set_resume_action_continue(&mut self, _: Tid, _: Option<Signal>) -> Result<(), NotRunning> {
        Ok(())
    }

    fn support_single_step(&mut self) -> Option<MultiThreadSingleStepOps<'_, Self>> {
        Some(self)
    }

    fn support_range_step(&mut self) -> Option<MultiThreadRangeSteppingOps<'_, Self>> {
        Some(self)
    }

    fn support_scheduler_locking(&mut self) -> Option<MultiThreadSchedulerLockingOps<'_, Self>> {
        Some(self)
    }
}

impl MultiThreadSingleStep for Live<'_> {
    fn set_resume_action_step(&mut self, tid: Tid, _: Option<Signal>) -> Result<(), NotRunning> {
        self.action = Some(Action::Step(self.vcpu_of(tid), None));
        Ok(())
    }
}

impl MultiThreadRangeStepping for Live<'_> {
    fn set_resume_action_range_step(
        &mut self,
        tid: Tid,
        start: u64,
        end: u64,
    ) -> Result<(), NotRunning> {
        self.action = Some(Action::Step(self.vcpu_of(tid), Some(start..end)));
        Ok(())
    }
}

impl MultiThreadSchedulerLocking for Live<'_> {
    /// The other vCPUs stand still during a step anyway.
    fn set_resume_action_scheduler_lock(&mut self) -> Result<(), NotRunning> {
        Ok(())
    }
}

#[cfg(test)]
#[path = "resume_tests.rs"]
mod tests;
