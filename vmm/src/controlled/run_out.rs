//! Running a loop out before it is called a hang.
//!
//! A loop that counts may give up after more turns than anybody wants to make choices for. When nobody
//! else can get on and the hang budget is spent, such a loop goes on at the guest's own speed: what the
//! vCPUs share becomes readable without an exit, so the vCPU runs until it stores there, accesses a
//! device or sleeps. Nobody else runs meanwhile, so nothing is missed. A loop that goes on for
//! a second of processor time is left where it was before, and the verdict is a hang,
//! by budget.

use std::time::Duration;

use super::ControlledMachine;
use super::granularity::Granularity;
use super::outcome::Ending;
use super::vcpu_context::State;
use crate::choice::Choice;
use crate::error::Result;
use crate::exit::Exit;
use crate::kvm::slots::{Slot, Stores};

/// How many stores that change nothing a loop may do on the way: a spin lock's XCHG.
const MAX_STORES: u32 = 100_000;

/// The processor time that each loop gets before one of them gets all.
const FIRST_TIME_LIMIT: Duration = Duration::from_millis(100);
/// All of it.
const TIME_LIMIT: Duration = Duration::from_secs(1);

/// What became of a loop.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum RunOut {
    /// It goes on for longer than it was given.
    GoesOn,
    /// It has come to its end; if the run did, this is how.
    Left(Option<Ending>),
}

impl ControlledMachine {
    /// Whether loops are run out before they are called a hang by budget; they are unless told otherwise.
    /// Without, a search among runs that hang is faster, and says *hang* of some that would give up.
    pub fn set_run_out(&mut self, run_out: bool) {
        self.runs_out = run_out;
    }

    /// Lets these vCPUs go on at the guest's own speed, one after the other, until one leaves its loop.
    /// Each is given a little time first: one that goes on for long shall not keep the others waiting.
    pub(super) fn run_out(&mut self, vcpus: &[u32]) -> Result<RunOut> {
        let possible = self.granularity == Granularity::Watch && self.host.has_read_only_slots();
        if !self.runs_out || !possible {
            return Ok(RunOut::GoesOn);
        }
        for time in [FIRST_TIME_LIMIT, TIME_LIMIT] {
            for vcpu in vcpus {
                if let Some(timer) = &mut self.runaway {
                    timer.set_limit(Some(time));
                }
                let left = self.run_one_out(*vcpu);
                if let Some(timer) = &mut self.runaway {
                    timer.set_limit(None);
                }
                if let left @ RunOut::Left(_) = left? {
                    return Ok(left);
                }
            }
        }
        Ok(RunOut::GoesOn)
    }

    fn run_one_out(&mut self, vcpu: u32) -> Result<RunOut> {
        // Not once for all of them: a vCPU that was put back is only before its load again when it was
        // saved or has run, and the load must not meet the slots.
        let before = self.save()?;
        let progress = self.progress.count();
        // Hooks would be called as often as the host had time for.
        let hooks = std::mem::take(&mut self.hooks);
        let mut slots = Vec::new();
        let shown = self.show_watched(&mut slots);
        let left = shown.and_then(|()| self.go_at_full_speed(vcpu, progress));
        self.hooks = hooks;
        for slot in &slots {
            self.vm.remove_slot(slot)?;
        }
        let left = left?;
        if left == RunOut::GoesOn {
            self.restore(&before)?;
        }
        Ok(left)
    }

    fn go_at_full_speed(&mut self, vcpu: u32, progress: u64) -> Result<RunOut> {
        for _ in 0..MAX_STORES {
            match self.take(Choice::Step(vcpu))? {
                Some(Ending::Runaway { .. }) => return Ok(RunOut::GoesOn),
                Some(ending) => return Ok(RunOut::Left(Some(ending))),
                None => {}
            }
            let ctx = &mut self.vcpus[vcpu as usize];
            match &ctx.state {
                // It has read what its store depends on without an exit, maybe in the same locked
                // instruction: nobody may come in between.
                State::Access(exit @ Exit::MmioWrite { address, .. })
                    if self.memory.is_trapped(*address) =>
                {
                    let exit = exit.clone();
                    ctx.state = State::Ready;
                    if let Err(ending) = self.perform(vcpu, &exit)? {
                        return Ok(RunOut::Left(Some(ending)));
                    }
                }
                _ => return Ok(RunOut::Left(None)),
            }
            if self.progress.count() != progress {
                return Ok(RunOut::Left(None));
            }
        }
        Ok(RunOut::GoesOn)
    }

    /// Gives the guest slots for what is watched, whose stores still exit. They are listed even if one
    /// can't be added.
    fn show_watched(&self, shown: &mut Vec<Slot>) -> Result<()> {
        for range in self.memory.trapped() {
            let end = shown.last().map_or(0, |slot| slot.address + slot.size);
            let start = range.start.max(end);
            if start >= range.end {
                continue;
            }
            let number = self.vm.free_slot() + shown.len() as u32;
            let size = range.end - start;
            let slot = Slot { number, address: start, source: start, size, stores: Stores::Exit };
            self.vm.add_slot(&slot)?;
            shown.push(slot);
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "run_out_tests.rs"]
mod tests;
