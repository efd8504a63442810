//! Runs a loop at full speed before it counts as a hang.
//!
//! A loop that counts may give up after more iterations than are feasible with a choice for each.
//! When no other vCPU can make progress and the hang budget is spent, such a loop continues at the
//! guest's own speed: shared memory becomes readable without an exit, so the vCPU runs until it
//! stores there, accesses a device or sleeps. No other vCPU runs meanwhile, so no interleaving is
//! lost. A loop that does not end within a second of processor time is restored to its earlier
//! state, and the verdict is a hang by budget.

use std::time::Duration;

use super::ControlledMachine;
use super::granularity::Granularity;
use super::vcpu_context::State;
use crate::choice::Choice;
use crate::end::End;
use crate::error::Result;
use crate::exit::Exit;
use crate::kvm::slots::{Slot, Stores};

/// The maximum number of stores by which a loop changes nothing, like the XCHG of a spin lock.
const MAX_STORES: u32 = 100_000;

/// The processor time for each loop in the first pass over all loops.
const FIRST_TIME_LIMIT: Duration = Duration::from_millis(100);
/// The processor time for each loop in the second pass.
const TIME_LIMIT: Duration = Duration::from_secs(1);

/// The result of running a loop at full speed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum RunOut {
    /// The loop did not end in the given time.
    GoesOn,
    /// The loop has ended. If the run ended with it, this is how.
    Left(Option<End>),
}

impl ControlledMachine {
    /// Sets whether loops run at full speed before they count as a hang by budget; the default is
    /// yes. Without this, a search with many hanging runs is faster, but reports *hang* also for
    /// loops that would give up.
    pub fn set_run_out(&mut self, run_out: bool) {
        self.runs_out = run_out;
    }

    /// Lets these vCPUs continue at the guest's own speed, one after the other, until one leaves
    /// its loop. Each vCPU first gets a short time, so that a long loop does not delay the others.
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
        // The machine is saved for each vCPU: a restored vCPU is re-executed to its load only when
        // it is saved or run, and this must happen before the slots are added.
        let before = self.save()?;
        let progress = self.progress.count();
        // Hooks would be called a number of times that depends on the host's speed.
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
                Some(End::Runaway { .. }) => return Ok(RunOut::GoesOn),
                Some(ending) => return Ok(RunOut::Left(Some(ending))),
                None => {}
            }
            let ctx = &mut self.vcpus[vcpu as usize];
            match &ctx.state {
                // The loop may have read, without an exit, what its store depends on, perhaps in
                // the same locked instruction: no other vCPU may run in between.
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

    /// Adds slots for the trapped memory, in which stores still exit. `shown` lists the added slots
    /// even if this fails.
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
