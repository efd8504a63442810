//! Lets the replay run as gdb asks.

use experiments::timeline::{Poll, Stop, TimelineError, WatchKind, Why};
use gdbstub::common::{Signal, Tid};
use gdbstub::target::ext::base::multithread::{
    MultiThreadRangeStepping, MultiThreadRangeSteppingOps, MultiThreadResume,
    MultiThreadSchedulerLocking, MultiThreadSchedulerLockingOps, MultiThreadSingleStep,
    MultiThreadSingleStepOps,
};
use gdbstub::target::ext::base::reverse_exec::{
    ReplayLogPosition, ReverseCont, ReverseContOps, ReverseStep, ReverseStepOps,
};
use gdbstub::target::ext::breakpoints::WatchKind as GdbKind;

use super::action::{Action, Kind};
use super::connection::Connection;
use super::session::{Debuggee, Reason};
use super::target::{Debugged, tid, vcpu};
use crate::tell;

impl Debuggee for Debugged<'_> {
    fn go(&mut self, connection: &Connection) -> Result<Option<Reason>, TimelineError> {
        self.move_on(&mut || connection.has_input())
    }

    fn interrupt(&mut self) -> Result<Reason, TimelineError> {
        let tid = tid(self.timeline.vcpu());
        Ok(Reason::SignalWithThread { tid, signal: Signal::SIGINT })
    }
}

impl Debugged<'_> {
    /// Does what gdb asked for. `None` if `poll` interrupted it.
    fn move_on(&mut self, poll: Poll) -> Result<Option<Reason>, TimelineError> {
        let moved = match (self.next_point.take(), self.action.clone()) {
            (Some(point), _) => self.timeline.go_to(point),
            (None, Action::Continue) => self.timeline.go_on(poll),
            (None, Action::Step(vcpu, range)) => self.timeline.step(vcpu, range.as_ref(), poll),
            (None, Action::Back) => self.timeline.go_back(poll),
            (None, Action::StepBack(vcpu)) => self.timeline.step_back(vcpu),
        };
        let stop = match moved {
            Ok(stop) => stop,
            Err(error @ TimelineError::TooLong { .. }) => {
                tell::user(&format!("jitterbug: {error}: `monitor point N` goes behind them"));
                let Stop { vcpu, .. } = self.timeline.stay()?;
                Stop { vcpu, why: Why::Step }
            }
            Err(error) => return Err(error),
        };
        self.look()?;
        self.stopped = stop.vcpu;
        let rip = self.timeline.standing(stop.vcpu)?.registers.rip;
        Ok(self.reason(&stop, rip))
    }

    fn reason(&self, stop: &Stop, rip: u64) -> Option<Reason> {
        let tid = tid(stop.vcpu);
        Some(match &stop.why {
            Why::Interrupted => return None,
            Why::Step => trapped(tid),
            Why::Breakpoint => {
                let is_software = self.breakpoints.contains(&(Kind::Software, rip));
                let is_hardware = self.breakpoints.contains(&(Kind::Hardware, rip));
                if is_hardware && !is_software {
                    Reason::HwBreak(tid)
                } else {
                    Reason::SwBreak(tid)
                }
            }
            Why::Watchpoint(watchpoint) => {
                let kind = match watchpoint.kind {
                    WatchKind::Write => GdbKind::Write,
                    WatchKind::Read => GdbKind::Read,
                    WatchKind::Access => GdbKind::ReadWrite,
                };
                Reason::Watch { tid, kind, addr: watchpoint.address }
            }
            Why::Begin => Reason::ReplayLog { tid: Some(tid), pos: ReplayLogPosition::Begin },
            Why::End => Reason::ReplayLog { tid: Some(tid), pos: ReplayLogPosition::End },
            Why::Unreachable(address) => {
                tell::user(&format!(
                    "jitterbug: vCPU {} comes to {address:#x} after this scheduling point, in a \
                     handler, where single steps don't stop on this host",
                    stop.vcpu
                ));
                trapped(tid)
            }
        })
    }
}

impl Debugged<'_> {
    /// The vCPU that is a thread; for a thread that there is not, the one that runs.
    fn vcpu_of(&self, tid: Tid) -> u32 {
        let vcpu = vcpu(tid);
        if vcpu < self.timeline.vcpus() { vcpu } else { self.timeline.vcpu() }
    }
}

/// A stop without a reason of its own.
pub(super) fn trapped(tid: Tid) -> Reason {
    Reason::SignalWithThread { tid, signal: Signal::SIGTRAP }
}

impl MultiThreadResume for Debugged<'_> {
    fn resume(&mut self) -> Result<(), TimelineError> {
        Ok(())
    }

    fn clear_resume_actions(&mut self) -> Result<(), TimelineError> {
        self.action = Action::Continue;
        Ok(())
    }

    fn set_resume_action_continue(
        &mut self,
        _: Tid,
        _: Option<Signal>,
    ) -> Result<(), TimelineError> {
        Ok(())
    }

    fn support_single_step(&mut self) -> Option<MultiThreadSingleStepOps<'_, Self>> {
        Some(self)
    }

    fn support_range_step(&mut self) -> Option<MultiThreadRangeSteppingOps<'_, Self>> {
        Some(self)
    }

    fn support_reverse_step(&mut self) -> Option<ReverseStepOps<'_, Tid, Self>> {
        Some(self)
    }

    fn support_reverse_cont(&mut self) -> Option<ReverseContOps<'_, Tid, Self>> {
        Some(self)
    }

    fn support_scheduler_locking(&mut self) -> Option<MultiThreadSchedulerLockingOps<'_, Self>> {
        Some(self)
    }
}

impl MultiThreadSingleStep for Debugged<'_> {
    fn set_resume_action_step(&mut self, tid: Tid, _: Option<Signal>) -> Result<(), TimelineError> {
        self.action = Action::Step(self.vcpu_of(tid), None);
        Ok(())
    }
}

impl MultiThreadRangeStepping for Debugged<'_> {
    fn set_resume_action_range_step(
        &mut self,
        tid: Tid,
        start: u64,
        end: u64,
    ) -> Result<(), TimelineError> {
        self.action = Action::Step(self.vcpu_of(tid), Some(start..end));
        Ok(())
    }
}

impl MultiThreadSchedulerLocking for Debugged<'_> {
    /// gdb wants the other vCPUs to stand still, for example while it steps over a breakpoint. In
    /// a replay the schedule decides who runs.
    fn set_resume_action_scheduler_lock(&mut self) -> Result<(), TimelineError> {
        Ok(())
    }
}

impl ReverseCont<Tid> for Debugged<'_> {
    fn reverse_cont(&mut self) -> Result<(), TimelineError> {
        self.action = Action::Back;
        Ok(())
    }
}

impl ReverseStep<Tid> for Debugged<'_> {
    fn reverse_step(&mut self, tid: Tid) -> Result<(), TimelineError> {
        // gdb names no thread here, for which gdbstub takes the first one.
        let first = tid == Tid::MIN;
        self.action = Action::StepBack(if first { self.stopped } else { self.vcpu_of(tid) });
        Ok(())
    }
}
