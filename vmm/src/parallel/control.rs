//! The state that the vCPU threads and their supervisor share.

mod requests;

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::Thread;
use std::time::{Duration, Instant};

use devices::device::Clock;
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

use super::barrier::Barrier;
use super::debugging::Wants;
use super::found_hang::FoundHang;
use super::outcome::{Outcome, VcpuReport, VcpuState};
use super::pauses::Pauses;
use crate::breakpoints::Kick;
use crate::end::End;
use crate::error::{Error, Result};
use crate::kvm::kick::{Kicker, Receiving};
use crate::memory::Memory;
use crate::registers::Activity;
use crate::trapped;
use crate::watchdog::{Sample, Track};

/// The part that belongs to one vCPU.
#[derive(Default)]
struct Slot {
    kicker: Kicker,
    thread: OnceLock<Thread>,
    /// Whether the supervisor has requested a sample of the vCPU's state.
    sample_wanted: AtomicBool,
    /// Whether a hook has sent the vCPU an NMI.
    nmi: AtomicBool,
    /// The number of exits that the guest caused so far: they show that it is alive.
    activity: AtomicU64,
    track: Mutex<Track>,
}

impl Slot {
    // A held vCPU sleeps outside the guest, where the signal alone doesn't wake it.
    fn kick(&self) {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
        self.kicker.kick();
    }
}

/// Shared by all threads of a run.
pub(super) struct Control {
    start: Instant,
    slots: Arc<[Slot]>,
    over: AtomicBool,
    pauses: Pauses,
    barrier: Barrier,
    found_hang: FoundHang,
    debugging: Wants,
    /// The first reason, and when it came. An error if jitterbug or the host failed.
    end: Mutex<Option<(Result<End>, Duration)>>,
    ended: EventFd,
    /// The time of the latest activity that the watchdog saw, in nanoseconds.
    alive: AtomicU64,
}

/// Why a failure may be that of a watched page and not the guest's.
fn failure_of_watching(vcpus: &[VcpuReport], memory: &Memory) -> Option<Error> {
    if !memory.has_trapped_pages() {
        return None;
    }
    vcpus.iter().find_map(|report| {
        let VcpuState { activity, registers, system } = report.state.as_ref()?;
        let is_started = *activity != Activity::WaitForSipi;
        is_started.then(|| trapped::behind_a_failure(report.vcpu, registers, system, memory))?
    })
}

impl Control {
    pub(super) fn new(vcpus: u32) -> Result<Self> {
        let ended = EventFd::new(EFD_NONBLOCK)
            .map_err(|source| Error::System { what: "an eventfd can't be made", source })?;
        Ok(Self {
            start: Instant::now(),
            slots: (0..vcpus).map(|_| Slot::default()).collect(),
            over: AtomicBool::new(false),
            pauses: Pauses::default(),
            barrier: Barrier::new(vcpus)?,
            found_hang: FoundHang::default(),
            debugging: Wants::new()?,
            end: Mutex::new(None),
            ended,
            alive: AtomicU64::new(0),
        })
    }

    /// The number of vCPUs.
    pub(super) fn vcpus(&self) -> u32 {
        self.slots.len() as u32
    }

    /// The time since the machine started.
    pub(super) fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// Makes the calling thread the one that runs this vCPU and receives its kicks, until the guard
    /// is dropped.
    pub(super) fn take_vcpu(&self, vcpu: u32) -> Result<Receiving<'_>> {
        let slot = self.slot(vcpu);
        let _ = slot.thread.set(std::thread::current());
        slot.kicker.receive()
    }

    /// Ends the run, unless it has already ended: the first reason counts.
    pub(super) fn end(&self, end: End) {
        self.end_with(Ok(end));
    }

    /// Ends the run because jitterbug or the host failed, unless it has already ended.
    pub(super) fn fail(&self, error: Error) {
        self.end_with(Err(error));
    }

    /// The first reason counts. As an exception, an unsupported access to a trapped page replaces a
    /// hang or a time limit, because it explains them.
    ///
    /// Once a hang has been found, whatever ends the run is only the last act of a guest that hung.
    fn end_with(&self, end: Result<End>) {
        let (end, when) = match (end, self.found_hang.get()) {
            (Ok(_), Some((verdict, when))) => (Ok(verdict), when),
            (end, _) => (end, self.now()),
        };
        {
            let mut first = self.end.lock().unwrap_or_else(PoisonError::into_inner);
            let explained = matches!(end, Err(Error::Trapped { .. }))
                && matches!(*first, Some((Ok(End::Hang(_) | End::TimeLimit | End::Missed), _)));
            if first.is_some() && !explained {
                return;
            }
            self.debugging.run_is_over(end.as_ref().ok().cloned());
            *first = Some((end, when));
        }
        self.over.store(true, Ordering::SeqCst);
        // An eventfd's write fails only when its counter is full, and then it is readable anyway.
        let _ = self.ended.write(1);
        self.found_hang.run_is_over();
        self.kick_all();
    }

    fn kick_all(&self) {
        for slot in &*self.slots {
            slot.kick();
        }
    }

    /// A function that kicks one vCPU out of the guest.
    pub(super) fn kick(&self) -> Kick {
        let slots = self.slots.clone();
        Arc::new(move |vcpu| slots[vcpu as usize].kicker.kick())
    }

    /// Keeps all vCPUs out of the guest from now on, because a hook wants it.
    pub(super) fn suspend(&self) {
        self.pauses.suspend();
        self.standstill_has_changed();
    }

    /// Ends the suspension by a hook.
    pub(super) fn resume(&self) {
        if self.pauses.end_suspension() {
            tracing::info!("the suspension of the run has ended");
            self.standstill_has_changed();
        }
    }

    /// Whether the vCPUs are to stay out of the guest, all or all but one that makes a step.
    pub(super) fn is_suspended(&self) -> bool {
        self.pauses.hold_vcpu(false)
    }

    /// Whether this vCPU is to stay out of the guest.
    pub(super) fn holds(&self, vcpu: u32) -> bool {
        self.pauses.hold_vcpu(self.debugging.steps(vcpu))
    }

    /// What a debugger wants.
    pub(super) fn debugging(&self) -> &Wants {
        &self.debugging
    }

    /// What is known of a hang while the run has not ended yet.
    pub(super) fn found_hang(&self) -> &FoundHang {
        &self.found_hang
    }

    /// Requests a dump, for which all vCPUs have to arrive at the barrier.
    pub(super) fn want_dump(&self, vcpu: u32, path: PathBuf) {
        self.barrier.call(vcpu, path);
        self.kick_all();
    }

    /// The barrier for dumps.
    pub(super) fn barrier(&self) -> &Barrier {
        &self.barrier
    }

    /// Sends NMIs to vCPUs: bit n stands for vCPU n.
    pub(super) fn send_nmis(&self, targets: u64) {
        for (vcpu, slot) in self.slots.iter().enumerate().filter(|(n, _)| targets >> n & 1 != 0) {
            tracing::debug!(vcpu, "NMI from a hook");
            slot.nmi.store(true, Ordering::SeqCst);
            slot.kick();
        }
    }

    /// Kicks vCPUs, so that they look at when their ticks are due: bit n stands for vCPU n.
    pub(super) fn wake(&self, targets: u64) {
        for (_, slot) in self.slots.iter().enumerate().filter(|(n, _)| targets >> n & 1 != 0) {
            slot.kick();
        }
    }

    /// Whether an NMI has been sent to this vCPU; clears the request.
    pub(super) fn take_nmi(&self, vcpu: u32) -> bool {
        self.slot(vcpu).nmi.swap(false, Ordering::SeqCst)
    }

    /// Whether the run has ended.
    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }

    /// Whether the run was ended from outside.
    pub(super) fn is_cut_short(&self) -> bool {
        let end = self.end.lock().unwrap_or_else(PoisonError::into_inner);
        matches!(*end, Some((Ok(End::TimeLimit | End::Missed | End::Interrupted), _)))
    }

    /// Whether the run ended with a success.
    pub(super) fn is_success(&self) -> bool {
        let end = self.end.lock().unwrap_or_else(PoisonError::into_inner);
        matches!(&*end, Some((Ok(end), _)) if end.is_success())
    }

    /// An eventfd that is readable once the run has ended.
    pub(super) fn ended(&self) -> &EventFd {
        &self.ended
    }

    /// Sets the number of exits that the guest has caused on this vCPU.
    pub(super) fn set_activity(&self, vcpu: u32, exits: u64) {
        self.slot(vcpu).activity.store(exits, Ordering::Relaxed);
    }

    /// The number of exits that the guest has caused on all vCPUs.
    pub(super) fn activity(&self) -> u64 {
        self.slots.iter().map(|slot| slot.activity.load(Ordering::Relaxed)).sum()
    }

    /// Records the time of the latest activity.
    pub(super) fn set_alive(&self, when: Duration) {
        self.alive.store(when.as_nanos() as u64, Ordering::Relaxed);
    }

    /// Requests a sample of every vCPU's state.
    pub(super) fn request_samples(&self) {
        for slot in &*self.slots {
            slot.sample_wanted.store(true, Ordering::SeqCst);
        }
        self.kick_all();
    }

    /// Whether a sample of this vCPU is requested; clears the request.
    pub(super) fn take_sample_request(&self, vcpu: u32) -> bool {
        self.slot(vcpu).sample_wanted.swap(false, Ordering::SeqCst)
    }

    /// Adds a sample of this vCPU.
    pub(super) fn put_sample(&self, vcpu: u32, sample: &Sample) {
        self.track(vcpu).add(sample);
    }

    /// The samples of each vCPU since the last call of [`Self::clear_samples`].
    pub(super) fn tracks(&self) -> Vec<Track> {
        (0..self.slots.len() as u32).map(|vcpu| self.track(vcpu).clone()).collect()
    }

    pub(super) fn clear_samples(&self) {
        for vcpu in 0..self.slots.len() as u32 {
            *self.track(vcpu) = Track::default();
        }
    }

    /// The outcome of the run, when all threads have ended.
    pub(super) fn outcome(
        &self,
        mut vcpus: Vec<VcpuReport>,
        memory: Arc<Memory>,
    ) -> Result<Outcome> {
        for report in &mut vcpus {
            report.sampled_rips = self.track(report.vcpu).rips().to_vec();
        }
        let alive = Duration::from_nanos(self.alive.load(Ordering::Relaxed));
        let (dumps, missed_dumps) = self.barrier.dumps()?;
        match self.end.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some((Err(error), _)) => Err(error),
            Some((Ok(end), elapsed)) => {
                if end.is_failure()
                    && let Some(error) = failure_of_watching(&vcpus, &memory)
                {
                    return Err(error);
                }
                Ok(Outcome { end, elapsed, alive, vcpus, memory, dumps, missed_dumps })
            }
            None => Err(broken_thread()),
        }
    }

    fn slot(&self, vcpu: u32) -> &Slot {
        &self.slots[vcpu as usize]
    }

    fn track(&self, vcpu: u32) -> std::sync::MutexGuard<'_, Track> {
        self.slot(vcpu).track.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for Control {
    fn now(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }
}

/// The error of a run whose supervisor fails.
pub(super) fn broken(source: io::Error) -> Error {
    Error::System { what: "the run can't be watched", source }
}

/// The error for a thread that ended without a reason.
pub(super) fn broken_thread() -> Error {
    Error::System {
        what: "a vCPU's thread broke",
        source: std::io::Error::other("this is a bug in jitterbug: please report it"),
    }
}
