//! All vCPUs out of the guest at once, so that the machine can be dumped as a whole.
//!
//! Whoever wants a dump kicks the others. Each comes with its registers and waits; the last to come
//! writes the files, and all go on. Nobody holds a lock of another kind meanwhile, so none can be
//! missing for longer than its hooks take.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::outcome::VcpuState;
use crate::dump;
use crate::error::Result;
use crate::memory::Memory;

/// How often those who wait look whether the run has ended.
const LOOK: Duration = Duration::from_millis(20);

/// A dump that somebody wants.
struct Wanted {
    path: PathBuf,
    /// Whose page tables say where guest-virtual addresses are.
    vcpu: u32,
}

#[derive(Default)]
struct Meeting {
    wanted: Vec<Wanted>,
    present: Vec<Option<VcpuState>>,
    /// How many have been held.
    round: u64,
    written: Vec<PathBuf>,
}

/// Where the vCPUs of a machine meet.
#[derive(Default)]
pub(super) struct Gathering {
    is_called: AtomicBool,
    meeting: Mutex<Meeting>,
    over: Condvar,
}

impl Gathering {
    /// For so many vCPUs.
    pub(super) fn new(vcpus: u32) -> Self {
        let meeting = Meeting { present: vec![None; vcpus as usize], ..Meeting::default() };
        Self { meeting: Mutex::new(meeting), ..Self::default() }
    }

    /// Calls all vCPUs together for a dump. They have to be kicked.
    pub(super) fn call(&self, vcpu: u32, path: PathBuf) {
        self.lock().wanted.push(Wanted { path, vcpu });
        self.is_called.store(true, Ordering::SeqCst);
    }

    /// Whether this vCPU is to come.
    pub(super) fn is_called(&self) -> bool {
        self.is_called.load(Ordering::SeqCst)
    }

    /// A vCPU comes, and stays until the dumps are written or the run ends.
    pub(super) fn attend(
        &self,
        vcpu: u32,
        state: &VcpuState,
        memory: &Memory,
        is_over: impl Fn() -> bool,
    ) -> Result<()> {
        let mut meeting = self.lock();
        if meeting.wanted.is_empty() {
            return Ok(());
        }
        if let Some(place) = meeting.present.get_mut(vcpu as usize) {
            *place = Some(*state);
        }
        let states: Option<Vec<VcpuState>> = meeting.present.iter().copied().collect();
        if let Some(states) = states {
            let result = meeting.write(&states, memory);
            meeting.present.fill(None);
            meeting.round += 1;
            self.is_called.store(false, Ordering::SeqCst);
            self.over.notify_all();
            return result;
        }
        let round = meeting.round;
        while meeting.round == round && !is_over() {
            let waited = self.over.wait_timeout(meeting, LOOK);
            meeting = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        Ok(())
    }

    /// The files that were written, and those that were not.
    pub(super) fn into_dumps(self) -> (Vec<PathBuf>, Vec<PathBuf>) {
        let meeting = self.meeting.into_inner().unwrap_or_else(PoisonError::into_inner);
        (meeting.written, meeting.wanted.into_iter().map(|wanted| wanted.path).collect())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Meeting> {
        self.meeting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Meeting {
    fn write(&mut self, states: &[VcpuState], memory: &Memory) -> Result<()> {
        let vcpus: Vec<_> = states.iter().map(|state| (state.registers, state.system)).collect();
        for Wanted { path, vcpu } in std::mem::take(&mut self.wanted) {
            self.written.push(dump::write(&path, &vcpus, vcpu, memory)?);
        }
        Ok(())
    }
}
