//! A rendezvous barrier: all vCPUs leave the guest at once, so that the machine can be dumped or
//! looked at as a whole.
//!
//! The thread that wants this kicks the vCPUs. Each vCPU arrives with its registers and waits. When
//! the last has arrived, a separate thread does the work, and then all vCPUs continue. No lock is
//! held meanwhile: a run whose dumps can't be written ends nevertheless, and reports that they are
//! missing.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::Builder;
use std::time::{Duration, Instant};

use super::added_watches::AddedWatches;
use super::outcome::VcpuState;
use super::status::Stopped;
use crate::dump;
use crate::error::{Error, Result};
use crate::memory::Memory;

/// The interval at which waiting vCPUs check whether the run has ended.
const POLL_INTERVAL: Duration = Duration::from_millis(20);
/// The maximum time that the end of a run waits for a dump that is being written.
const DUMP_END_TIMEOUT: Duration = Duration::from_millis(300);

/// Work on the stopped machine, which is not a hook's dump.
pub(super) type Look = Box<dyn FnOnce(&Stopped) + Send>;

/// A requested dump.
#[derive(Clone)]
struct Wanted {
    path: PathBuf,
    /// The vCPU whose page tables translate guest-virtual addresses in the dump.
    vcpu: u32,
}

#[derive(Default)]
struct Meeting {
    wanted: Vec<Wanted>,
    looks: Vec<Look>,
    present: Vec<Option<VcpuState>>,
    /// The number of completed rendezvous.
    round: u64,
    /// Whether a thread is at work, and the dumps that it has not written yet.
    is_at_work: bool,
    writing: VecDeque<Wanted>,
    written: Vec<PathBuf>,
    error: Option<Error>,
}

/// What the separate thread does at one rendezvous.
type Job = Box<dyn FnOnce() + Send>;

/// The rendezvous barrier of a machine's vCPUs.
pub(super) struct Barrier {
    shared: Arc<Shared>,
    /// Its end ends the thread that does the work.
    jobs: Sender<Job>,
}

#[derive(Default)]
struct Shared {
    is_called: AtomicBool,
    meeting: Mutex<Meeting>,
    over: Condvar,
    added: AddedWatches,
}

impl Barrier {
    /// Creates a barrier for this number of vCPUs, and its thread: a vCPU's thread may start none
    /// once its system calls are filtered, and open no file to write to.
    pub(super) fn new(vcpus: u32) -> Result<Self> {
        let (jobs, to_do) = channel::<Job>();
        let thread = Builder::new().name("stopped".into());
        let what = "the thread that looks at a stopped machine can't be started";
        thread
            .spawn(move || to_do.iter().for_each(|job| job()))
            .map_err(|source| Error::System { what, source })?;
        let shared = Arc::<Shared>::default();
        shared.lock().present = vec![None; vcpus as usize];
        Ok(Self { shared, jobs })
    }

    /// The watches that are added during a rendezvous.
    pub(super) fn added(&self) -> &AddedWatches {
        &self.shared.added
    }

    /// Requests a dump, for which all vCPUs have to arrive. The caller has to kick them.
    pub(super) fn call(&self, vcpu: u32, path: PathBuf) {
        self.shared.lock().wanted.push(Wanted { path, vcpu });
        self.shared.is_called.store(true, Ordering::SeqCst);
    }

    /// Requests this work, for which all vCPUs have to arrive. The caller has to kick them.
    pub(super) fn call_for(&self, look: Look) {
        self.shared.lock().looks.push(look);
        self.shared.is_called.store(true, Ordering::SeqCst);
    }

    /// Whether the vCPUs are to arrive.
    pub(super) fn is_called(&self) -> bool {
        self.shared.is_called.load(Ordering::SeqCst)
    }

    /// Called by a vCPU that arrives: waits until the work is done or the run ends.
    pub(super) fn rendezvous(
        &self,
        vcpu: u32,
        state: &VcpuState,
        memory: &Arc<Memory>,
        is_over: impl Fn() -> bool,
    ) -> Result<()> {
        let mut meeting = self.shared.lock();
        if !meeting.is_at_work {
            if meeting.wanted.is_empty() && meeting.looks.is_empty() {
                return Ok(());
            }
            if let Some(place) = meeting.present.get_mut(vcpu as usize) {
                *place = Some(*state);
            }
            let states: Option<Vec<VcpuState>> = meeting.present.iter().copied().collect();
            if let Some(states) = states {
                let wanted = std::mem::take(&mut meeting.wanted);
                let looks = std::mem::take(&mut meeting.looks);
                meeting.is_at_work = true;
                meeting.writing.extend(wanted.iter().cloned());
                self.work(wanted, looks, states, memory.clone())?;
            }
        }
        let round = meeting.round;
        while meeting.round == round && !is_over() {
            let waited = self.shared.over.wait_timeout(meeting, POLL_INTERVAL);
            meeting = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        meeting.error.take().map_or(Ok(()), Err)
    }

    /// Has the work done by the thread for it, for which no other thread has to wait.
    fn work(
        &self,
        wanted: Vec<Wanted>,
        looks: Vec<Look>,
        states: Vec<VcpuState>,
        memory: Arc<Memory>,
    ) -> Result<()> {
        let shared = self.shared.clone();
        let work = move || {
            let _ending = EndOnDrop(&shared);
            let stopped = Stopped { vcpus: &states, memory: &memory, added: &shared.added };
            for look in looks {
                look(&stopped);
            }
            let vcpus: Vec<_> =
                states.iter().map(|state| (state.registers, state.system)).collect();
            for Wanted { path, vcpu } in wanted {
                let written = dump::write(&path, &vcpus, vcpu, &memory);
                let mut meeting = shared.lock();
                match written {
                    Ok(path) => meeting.written.push(path),
                    Err(error) => drop(meeting.error.get_or_insert(error)),
                }
                meeting.writing.pop_front();
            }
        };
        self.jobs.send(Box::new(work)).map_err(|_| Error::System {
            what: "the stopped machine can't be looked at",
            source: io::Error::other("its thread has panicked"),
        })
    }

    /// The files that were written, and those that were not, or not completely. Fails if a file
    /// could not be written.
    pub(super) fn dumps(&self) -> Result<(Vec<PathBuf>, Vec<PathBuf>)> {
        let end = Instant::now() + DUMP_END_TIMEOUT;
        let mut meeting = self.shared.lock();
        while meeting.is_at_work && Instant::now() < end {
            let waited = self.shared.over.wait_timeout(meeting, POLL_INTERVAL);
            meeting = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        if let Some(error) = meeting.error.take() {
            return Err(error);
        }
        let unfinished = meeting.writing.iter().chain(&meeting.wanted);
        let missed = unfinished.map(|wanted| wanted.path.clone()).collect();
        Ok((std::mem::take(&mut meeting.written), missed))
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, Meeting> {
        self.meeting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the rendezvous: all work is done, and the vCPUs continue. Work that was requested
    /// meanwhile is for the next rendezvous, for which the vCPUs have been kicked.
    fn end(&self) {
        let mut meeting = self.lock();
        meeting.is_at_work = false;
        meeting.present.fill(None);
        meeting.round += 1;
        let is_called = !(meeting.wanted.is_empty() && meeting.looks.is_empty());
        self.is_called.store(is_called, Ordering::SeqCst);
        self.over.notify_all();
    }
}

/// Ends the rendezvous however the work ends: no vCPU may wait for ever.
struct EndOnDrop<'a>(&'a Shared);

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}
