//! Faults of a disk: requests that fail, that are late, or that are reported as done and are not.
//!
//! They strike between the device and the disk's file, on the disk's own thread, so whatever the
//! guest's driver does can be hit. What is struck is a part of a request: the device divides
//! requests into parts of at most 256 KiB.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use devices::virtio::SECTOR;
use rand::{RngExt as _, SeedableRng};
use rand_chacha::ChaCha12Rng;

use super::Storage;
use crate::fault::{DiskOperation, FaultKind, FaultSpec};

/// How often a thread that delays a request looks whether the run has ended.
const LOOK: Duration = Duration::from_millis(10);

/// The faults of the disks of one run, and how often each has struck.
#[derive(Debug)]
pub struct DiskFaults {
    seed: u64,
    faults: Vec<Arc<Fault>>,
    ended: Arc<AtomicBool>,
}

#[derive(Debug)]
struct Fault {
    spec: FaultSpec,
    matched: AtomicU64,
    struck: AtomicU64,
}

impl DiskFaults {
    /// These faults; those that are not of disks are ignored. The seed is for those that strike
    /// with a probability, and for how much of a write is done.
    pub fn new(faults: &[FaultSpec], seed: u64) -> Self {
        let fault = |spec: &FaultSpec| {
            let (matched, struck) = (AtomicU64::new(0), AtomicU64::new(0));
            Arc::new(Fault { spec: spec.clone(), matched, struck })
        };
        let faults = faults.iter().filter(|spec| spec.kind.is_of_disk()).map(fault).collect();
        Self { seed, faults, ended: Arc::default() }
    }

    /// For each fault: how many requests have matched it, and how many it has struck.
    pub fn counts(&self) -> Vec<(u64, u64)> {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        self.faults.iter().map(|fault| (load(&fault.matched), load(&fault.struck))).collect()
    }

    /// Puts the faults of a disk before its contents.
    pub(crate) fn wrap(&self, disk: u32, inner: Box<dyn Storage>) -> Box<dyn Storage> {
        let own = |fault: &&Arc<Fault>| fault.spec.disk.is_none_or(|wanted| wanted == disk);
        let faults: Vec<_> = self.faults.iter().filter(own).cloned().collect();
        if faults.is_empty() {
            return inner;
        }
        let mut generator = ChaCha12Rng::seed_from_u64(self.seed);
        generator.set_stream(disk.into());
        Box::new(Faulty { inner, faults, generator, ended: self.ended.clone() })
    }

    /// Ends delays that are under way: the run is over.
    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }
}

/// The error of a request that a fault has struck. Nothing is wrong with the host.
#[derive(Debug)]
pub(crate) struct Injected;

impl Injected {
    /// Whether a request failed because of a fault.
    pub(crate) fn is(error: &io::Error) -> bool {
        matches!(error.get_ref(), Some(inner) if inner.is::<Self>())
    }
}

impl fmt::Display for Injected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an injected fault")
    }
}

impl std::error::Error for Injected {}

/// The contents of a disk, behind its faults.
struct Faulty {
    inner: Box<dyn Storage>,
    faults: Vec<Arc<Fault>>,
    generator: ChaCha12Rng,
    ended: Arc<AtomicBool>,
}

/// What happens to a request.
enum Fate {
    /// It is done.
    Done,
    /// It fails.
    Fails,
    /// Only this number of its bytes is done.
    Part(usize),
}

impl Faulty {
    /// Lets faults strike a request, and returns what happens to it.
    fn strike(&mut self, operation: DiskOperation, offset: u64, length: usize) -> Fate {
        let mut fate = Fate::Done;
        for fault in self.faults.clone() {
            if !fault.strikes(operation, offset, length as u64, &mut self.generator) {
                continue;
            }
            match fault.spec.kind {
                FaultKind::DiskError | FaultKind::DiskFull => return Fate::Fails,
                FaultKind::DiskLost => fate = Fate::Part(0),
                FaultKind::DiskTorn => {
                    let sectors = length as u64 / SECTOR;
                    let done = self.generator.random_range(0..sectors.max(1)) * SECTOR;
                    fate = Fate::Part(done as usize);
                }
                _ => self.wait(fault.spec.time.unwrap_or_default()),
            }
        }
        fate
    }

    /// Waits, but not beyond the end of the run.
    fn wait(&self, time: Duration) {
        let until = Instant::now() + time;
        while !self.ended.load(Ordering::Relaxed) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            thread::sleep(left.min(LOOK));
        }
    }
}

impl Fault {
    /// Whether the fault strikes this request, which is counted.
    fn strikes(
        &self,
        operation: DiskOperation,
        offset: u64,
        length: u64,
        generator: &mut ChaCha12Rng,
    ) -> bool {
        let Self { spec, matched, struck } = self;
        let possible = match spec.kind {
            // A sector is written whole or not at all.
            FaultKind::DiskFull => operation == DiskOperation::Write,
            FaultKind::DiskTorn => operation == DiskOperation::Write && length > SECTOR,
            FaultKind::DiskLost => operation != DiskOperation::Read,
            _ => true,
        };
        let in_range = spec.sector.is_none_or(|sector| {
            let at = sector.saturating_mul(SECTOR);
            at >= offset && at - offset < length
        });
        let wanted = spec.operation.is_none_or(|wanted| wanted == operation);
        if !(possible && in_range && wanted) {
            return false;
        }
        // All disks may share the fault, and each has a thread.
        let number = matched.fetch_add(1, Ordering::Relaxed) + 1;
        let is_full = spec.kind == FaultKind::DiskFull;
        let hits = spec.nth.is_none_or(|nth| nth == number || is_full && nth < number)
            && spec.probability.is_none_or(|p| generator.random_bool(p.get()));
        let limit = u64::from(spec.times);
        hits && struck
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| {
                (count < limit).then_some(count + 1)
            })
            .is_ok()
    }
}

impl Storage for Faulty {
    fn read(&mut self, offset: u64, data: &mut [u8]) -> io::Result<()> {
        match self.strike(DiskOperation::Read, offset, data.len()) {
            Fate::Fails => Err(io::Error::other(Injected)),
            _ => self.inner.read(offset, data),
        }
    }

    fn write(&mut self, offset: u64, data: &[u8]) -> io::Result<()> {
        match self.strike(DiskOperation::Write, offset, data.len()) {
            Fate::Done => self.inner.write(offset, data),
            Fate::Fails => Err(io::Error::other(Injected)),
            Fate::Part(0) => Ok(()),
            Fate::Part(done) => self.inner.write(offset, &data[..done]),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self.strike(DiskOperation::Flush, 0, 0) {
            Fate::Done => self.inner.flush(),
            Fate::Fails => Err(io::Error::other(Injected)),
            Fate::Part(_) => Ok(()),
        }
    }

    fn damage(&self) -> Option<String> {
        self.inner.damage()
    }
}

#[cfg(test)]
#[path = "faulty_tests.rs"]
mod tests;
