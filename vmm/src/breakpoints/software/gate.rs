//! All vCPUs execute the same INT3s. They stay in memory, where only the guest sees them. To
//! execute the instruction below one of them, a vCPU has to be alone in the guest, without this
//! INT3: any other vCPU could pass the place unseen.
//!
//! A vCPU that stays in the guest is kicked when another has to be alone, and comes back to the
//! gate.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Place;
use super::code::Code;
use crate::error::Result;
use crate::memory::Memory;

/// How long a vCPU waits for others before it kicks them again.
const PATIENCE: Duration = Duration::from_millis(10);
/// How long the vCPUs run together, at least, between two times when one of them is alone: one that
/// comes to an INT3 again and again must not keep the others from running.
const TOGETHER: Duration = Duration::from_micros(100);

/// Kicks a vCPU out of the guest.
pub(crate) type Kick = Arc<dyn Fn(u32) + Send + Sync>;

/// The INT3s of a machine, and who is in its guest.
#[derive(Default)]
pub(crate) struct Gate {
    /// `None` if one thread runs all vCPUs, one after the other.
    kick: Option<Kick>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// The instructions that vCPUs want replaced, by guest-physical address.
    wanted: BTreeMap<u64, Wanted>,
    /// The vCPUs in the guest, without one that is alone.
    inside: BTreeSet<u32>,
    /// The vCPU that is alone in the guest, or waits for that.
    alone: Option<u32>,
    /// When a vCPU was last alone.
    left: Option<Instant>,
    given_up: bool,
    /// Whether all INT3s are in memory.
    present: bool,
}

#[derive(Clone, Copy, Debug)]
struct Wanted {
    linear: u64,
    /// The number of vCPUs that want it.
    by: u32,
    /// Whether an instruction still begins there.
    fits: bool,
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").finish_non_exhaustive()
    }
}

impl Gate {
    /// A gate for vCPUs with a thread each.
    pub(crate) fn kicking(kick: Kick) -> Self {
        Self { kick: Some(kick), ..Self::default() }
    }

    /// Whether several threads run vCPUs.
    pub(super) fn is_shared(&self) -> bool {
        self.kick.is_some()
    }

    /// Whether no INT3 is used any more.
    pub(crate) fn is_given_up(&self) -> bool {
        self.lock().given_up
    }

    /// Removes all INT3s for good: every vCPU uses other means from now on.
    pub(super) fn give_up(&self, vcpu: u32, memory: &Memory) -> Result<()> {
        let mut state = self.claim(vcpu);
        let removed = state.remove(memory);
        state.given_up = true;
        state.wanted.clear();
        self.release(state);
        removed
    }

    /// Whether a vCPU wants the instruction at this guest-physical address replaced.
    pub(super) fn has(&self, at: u64) -> bool {
        self.lock().wanted.contains_key(&at)
    }

    /// Replaces the instructions that a vCPU wants.
    pub(super) fn want(&self, before: &[Place], now: &[Place], memory: &Memory) -> Result<()> {
        let mut state = self.lock();
        for Place { linear, at, .. } in now {
            let wanted = Wanted { linear: *linear, by: 0, fits: true };
            let wanted = state.wanted.entry(*at).or_insert(wanted);
            (wanted.by, wanted.fits) = (wanted.by + 1, true);
            if state.present {
                memory.insert_int3(*at)?;
            }
        }
        for Place { at, .. } in before {
            let Some(wanted) = state.wanted.get_mut(at) else { continue };
            wanted.by -= 1;
            if wanted.by == 0 {
                state.wanted.remove(at);
                memory.remove_int3(*at)?;
            }
        }
        Ok(())
    }

    /// Forgets what vCPUs wanted.
    pub(crate) fn reset(&self, memory: &Memory) -> Result<()> {
        let mut state = self.lock();
        let removed = state.remove(memory);
        state.wanted.clear();
        removed
    }

    /// Takes all INT3s out of memory until a vCPU comes to the gate again. Call this before a vCPU
    /// enters the guest in another way.
    pub(super) fn clear(&self, memory: &Memory) -> Result<()> {
        self.lock().remove(memory)
    }

    /// Runs a vCPU together with others.
    pub(super) fn together<T>(
        &self,
        vcpu: u32,
        memory: &Memory,
        run: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let mut state = self.lock();
        while let Some(alone) = state.alone {
            state = self.wait(state, alone);
        }
        state.insert(memory)?;
        state.inside.insert(vcpu);
        drop(state);
        let result = run();
        self.lock().inside.remove(&vcpu);
        self.notify();
        result
    }

    /// Runs a vCPU while no other is in the guest, without the INT3 at this guest-physical address.
    pub(super) fn alone<T>(
        &self,
        vcpu: u32,
        memory: &Memory,
        without: u64,
        run: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let mut state = self.claim(vcpu);
        let removed = state.insert(memory).and_then(|()| memory.remove_int3(without));
        drop(state);
        let result = removed.and_then(|()| run());
        let state = self.lock();
        // It may not be wanted any more.
        let stays = state.present && state.wanted.get(&without).is_some_and(|wanted| wanted.fits);
        let inserted = if stays { memory.insert_int3(without) } else { Ok(()) };
        self.release(state);
        inserted.and(result)
    }

    /// Performs a store of the guest to its code while no vCPU is in the guest.
    pub(super) fn store(
        &self,
        vcpu: u32,
        memory: &Memory,
        (at, data): (u64, &[u8]),
        code: &Code,
    ) -> Result<()> {
        let mut state = self.claim(vcpu);
        let written = state.remove(memory).and_then(|()| memory.write(at, data));
        for (at, wanted) in &mut state.wanted {
            wanted.fits = code.instruction(wanted.linear, memory) == Some(*at);
        }
        code.changed();
        self.release(state);
        written
    }

    /// Waits until no vCPU is in the guest, and keeps it so.
    fn claim(&self, vcpu: u32) -> MutexGuard<'_, State> {
        let mut state = self.lock();
        loop {
            let early = state.left.map(|left| TOGETHER.saturating_sub(left.elapsed()));
            match (early.filter(|time| !time.is_zero() && self.is_shared()), state.alone) {
                (Some(time), _) => state = self.wait_for(state, time).0,
                (None, Some(alone)) => state = self.wait(state, alone),
                (None, None) => break,
            }
        }
        state.alone = Some(vcpu);
        while !state.inside.is_empty() {
            state.inside.iter().for_each(|vcpu| self.kick(*vcpu));
            state = self.wait_for(state, PATIENCE).0;
        }
        state
    }

    fn release(&self, mut state: MutexGuard<'_, State>) {
        (state.alone, state.left) = (None, Some(Instant::now()));
        drop(state);
        self.notify();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the vCPU that is alone. It is kicked if that takes long: it may be in a handler.
    fn wait<'s>(&self, state: MutexGuard<'s, State>, alone: u32) -> MutexGuard<'s, State> {
        let (state, timed_out) = self.wait_for(state, PATIENCE);
        if timed_out {
            self.kick(alone);
        }
        state
    }

    fn wait_for<'s>(
        &self,
        state: MutexGuard<'s, State>,
        time: Duration,
    ) -> (MutexGuard<'s, State>, bool) {
        let waited = self.changed.wait_timeout(state, time);
        let (state, result) = waited.unwrap_or_else(PoisonError::into_inner);
        (state, result.timed_out())
    }

    /// Wakes those who wait, if there can be any: it is a call of the kernel.
    fn notify(&self) {
        if self.is_shared() {
            self.changed.notify_all();
        }
    }

    fn kick(&self, vcpu: u32) {
        if let Some(kick) = &self.kick {
            kick(vcpu);
        }
    }
}

impl State {
    fn insert(&mut self, memory: &Memory) -> Result<()> {
        if !std::mem::replace(&mut self.present, true) {
            let fitting = self.wanted.iter().filter(|(_, wanted)| wanted.fits);
            fitting.map(|(at, _)| *at).try_for_each(|at| memory.insert_int3(at))?;
        }
        Ok(())
    }

    fn remove(&mut self, memory: &Memory) -> Result<()> {
        self.present = false;
        self.wanted.keys().try_for_each(|at| memory.remove_int3(*at))
    }
}

#[cfg(test)]
#[path = "gate_tests.rs"]
mod tests;
