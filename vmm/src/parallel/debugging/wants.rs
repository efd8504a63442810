//! What a debugger wants of the vCPUs, and the stops that it has not been told of yet.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use nix::sys::eventfd::{EfdFlags, EventFd};

use super::{Event, Means, Why};
use crate::end::End;
use crate::error::{Error, Result};
use crate::guest_debug::Breakpoint;
use crate::registers::Register;

/// No vCPU makes a step.
const NOBODY: u32 = u32::MAX;

/// Shared by the debugger's thread and those of the vCPUs.
pub(in crate::parallel) struct Wants {
    /// `None` if the run is not for a debugger.
    means: OnceLock<Arc<Means>>,
    state: Mutex<State>,
    /// Counts the changes of breakpoints and watchpoints.
    changes: AtomicU64,
    /// The vCPU that makes a step, so that it can be asked for without the lock.
    stepping: AtomicU32,
    event: EventFd,
}

#[derive(Default)]
struct State {
    breakpoints: Vec<u64>,
    watchpoints: Vec<Breakpoint>,
    /// The stops that the debugger has not been told of, in their order.
    stops: VecDeque<(u32, Why)>,
    /// RIP as the debugger has seen it before the step.
    shown: u64,
    /// The vCPU whose step the debugger waits for: stops of the others wait.
    awaited: Option<u32>,
    registers: Vec<(u32, Register, u64)>,
    /// [`Event::Ended`], once the run has ended.
    ended: Option<Event>,
}

impl State {
    /// Whether the debugger wants to know of this stop.
    fn is_wanted(&self, vcpu: u32, why: &Why) -> bool {
        match why {
            Why::Breakpoint(address) => self.breakpoints.contains(address),
            Why::Watchpoint(watchpoint) => self.watchpoints.contains(watchpoint),
            Why::Step | Why::Asleep | Why::Raises { .. } => self.awaited == Some(vcpu),
        }
    }

    /// Forgets the ends of steps, and the stops of this vCPU.
    fn forget_steps(&mut self, and_of: Option<u32>) {
        self.stops.retain(|(vcpu, why)| !why.ends_step() && Some(*vcpu) != and_of);
        self.awaited = None;
    }
}

impl Wants {
    pub(in crate::parallel) fn new() -> Result<Self> {
        let flags = EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC;
        let event = EventFd::from_flags(flags).map_err(|errno| Error::System {
            what: "an eventfd can't be made",
            source: errno.into(),
        })?;
        Ok(Self {
            means: OnceLock::new(),
            state: Mutex::default(),
            changes: AtomicU64::new(0),
            stepping: AtomicU32::new(NOBODY),
            event,
        })
    }

    /// Makes the run one for a debugger.
    pub(in crate::parallel) fn enable(&self, means: Means) {
        let _ = self.means.set(Arc::new(means));
    }

    pub(in crate::parallel) fn means(&self) -> Option<&Arc<Means>> {
        self.means.get()
    }

    pub(in crate::parallel) fn fd(&self) -> &EventFd {
        &self.event
    }

    /// Makes the eventfd readable: something that the debugger looks at may have changed.
    pub(in crate::parallel) fn wake(&self) {
        if self.means().is_some() {
            self.tell();
        }
    }

    /// The next event. The eventfd is readable again if there may be another one.
    pub(in crate::parallel) fn next_event(&self) -> Option<Event> {
        let _ = self.event.read();
        let mut state = self.lock();
        if let Some(ended) = &state.ended {
            self.tell();
            return Some(ended.clone());
        }
        let is_next = |vcpu: u32| state.awaited.is_none_or(|awaited| awaited == vcpu);
        let next = state.stops.iter().position(|(vcpu, _)| is_next(*vcpu))?;
        state.awaited = None;
        state.stops.remove(next).map(|(vcpu, why)| Event::Stopped { vcpu, why })
    }

    pub(in crate::parallel) fn set(&self, breakpoints: &[u64], watchpoints: &[Breakpoint]) {
        self.put(&mut self.lock(), breakpoints, watchpoints);
    }

    fn put(&self, state: &mut State, breakpoints: &[u64], watchpoints: &[Breakpoint]) {
        state.breakpoints = breakpoints.to_vec();
        state.watchpoints = watchpoints.to_vec();
        self.changes.fetch_add(1, Ordering::Release);
    }

    pub(in crate::parallel) fn set_registers(&self, vcpu: u32, values: Vec<(Register, u64)>) {
        let values = values.into_iter().map(|(register, value)| (vcpu, register, value));
        self.lock().registers.extend(values);
    }

    /// Removes everything that the debugger wanted, except for registers that it has set, and has
    /// `end_pause` called before a vCPU can report another stop. A step that is being made ends
    /// unreported.
    pub(in crate::parallel) fn forget(&self, end_pause: impl FnOnce()) {
        let mut state = self.lock();
        self.stepping.store(NOBODY, Ordering::SeqCst);
        self.put(&mut state, &[], &[]);
        state.stops.clear();
        state.awaited = None;
        end_pause();
    }

    /// The number of changes, and the breakpoints and watchpoints, if the number is another one.
    pub(in crate::parallel) fn changed(
        &self,
        since: u64,
    ) -> Option<(u64, Vec<u64>, Vec<Breakpoint>)> {
        if self.changes.load(Ordering::Acquire) == since {
            return None;
        }
        let state = self.lock();
        let now = self.changes.load(Ordering::Acquire);
        Some((now, state.breakpoints.clone(), state.watchpoints.clone()))
    }

    /// Takes the register values that the debugger has set on a vCPU.
    pub(in crate::parallel) fn take_registers(&self, vcpu: u32) -> Vec<(Register, u64)> {
        let mut state = self.lock();
        let (own, others) = state.registers.drain(..).partition(|(of, ..)| *of == vcpu);
        state.registers = others;
        let own: Vec<(u32, Register, u64)> = own;
        own.into_iter().map(|(_, register, value)| (register, value)).collect()
    }

    /// Whether this vCPU makes a step while the others stand still.
    pub(in crate::parallel) fn steps(&self, vcpu: u32) -> bool {
        self.stepping.load(Ordering::SeqCst) == vcpu
    }

    /// RIP as the debugger has seen it before the step of this vCPU, if it makes one.
    pub(in crate::parallel) fn step_from(&self, vcpu: u32) -> Option<u64> {
        self.steps(vcpu).then(|| self.lock().shown)
    }

    /// Lets a vCPU make a step, whose end is the next event. What stopped it before is not told any
    /// more; what has stopped others is told after the step.
    pub(in crate::parallel) fn begin_step(&self, vcpu: u32, shown: u64) {
        let mut state = self.lock();
        state.forget_steps(Some(vcpu));
        (state.shown, state.awaited) = (shown, Some(vcpu));
        self.stepping.store(vcpu, Ordering::SeqCst);
    }

    /// Has `pause` called. No vCPU makes a step any more, and the debugger waits for none.
    pub(in crate::parallel) fn stop(&self, pause: impl FnOnce()) {
        let mut state = self.lock();
        self.stepping.store(NOBODY, Ordering::SeqCst);
        state.forget_steps(None);
        pause();
    }

    /// Adds a stop and has `pause` called, unless the debugger does not want to know of the stop
    /// any more, because it has gone on or left since the vCPU left the guest. Returns whether it
    /// wants to. The lock is held meanwhile: a machine is never paused without a stop to tell of.
    pub(in crate::parallel) fn report(&self, vcpu: u32, why: Why, pause: impl FnOnce()) -> bool {
        let mut state = self.lock();
        let is_wanted = state.is_wanted(vcpu, &why);
        if is_wanted {
            if self.steps(vcpu) {
                self.stepping.store(NOBODY, Ordering::SeqCst);
            }
            pause();
            state.stops.push_back((vcpu, why));
            self.tell();
        }
        is_wanted
    }

    /// Has `end_pause` called, unless a stop has to be told of before the vCPUs go on. Forgets
    /// those that the debugger does not want to know of any more. Returns whether the vCPUs go on.
    pub(in crate::parallel) fn go_on(&self, end_pause: impl FnOnce()) -> bool {
        let mut state = self.lock();
        self.stepping.store(NOBODY, Ordering::SeqCst);
        state.awaited = None;
        let stops = std::mem::take(&mut state.stops);
        let wanted = stops.into_iter().filter(|(vcpu, why)| state.is_wanted(*vcpu, why)).collect();
        state.stops = wanted;
        let goes_on = state.stops.is_empty();
        if goes_on {
            end_pause();
        } else {
            self.tell();
        }
        goes_on
    }

    /// Called when the run has ended; `None` because of an error. The first call counts.
    pub(in crate::parallel) fn run_is_over(&self, end: Option<End>) {
        self.lock().ended.get_or_insert(Event::Ended(end));
        self.tell();
    }

    fn tell(&self) {
        // A write fails only when the counter is full, and then it is readable anyway.
        let _ = self.event.write(1);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
