//! Disks: each has a thread for its file, and the supervisor carries jobs there and results back.
//!
//! A thread that waits for a slow file holds nothing but the file: no lock, and nothing of the
//! machine. So the run ends in time whatever the file does.

use std::cell::{Cell, RefCell};
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use devices::bus::Handle;
use devices::device::Wiring;
use devices::virtio::Job;
use event_manager::{EventOps, Events, MutEventSubscriber};
use vmm_sys_util::eventfd::EventFd;

use super::control::{Control, broken};
use super::listen::listen;
use crate::board::Board;
use crate::disk::{DiskFaults, Injected, Storage, perform};
use crate::error::{Error, Result};
use crate::kvm::KvmIrqchip;
use crate::virtio::{Disk, DiskDevice};

/// The maximum time that the end of a run waits for jobs that are under way.
const END_TIMEOUT: Duration = Duration::from_millis(400);

/// A job with its result.
type Done = (Job, io::Result<()>);

/// A disk whose thread runs.
pub(super) struct RunningDisk {
    name: String,
    device: Handle<DiskDevice>,
    bell: Arc<EventFd>,
    jobs: Sender<Job>,
    done: Receiver<Done>,
    /// Its result is what has happened to the file, if it is damaged.
    thread: JoinHandle<Option<String>>,
    /// Whether the thread has a job.
    busy: Cell<bool>,
    failures: RefCell<Failures>,
}

/// The jobs that the host could not do.
#[derive(Debug, Default)]
struct Failures {
    count: u64,
    first: Option<io::Error>,
}

impl RunningDisk {
    /// Starts the thread of the disk with this number, behind its faults.
    fn start(disk: Disk, number: u32, faults: Option<&DiskFaults>) -> Result<Self> {
        let Disk { name, device, storage, bell } = disk;
        let storage = match faults {
            Some(faults) => faults.wrap(number, storage),
            None => storage,
        };
        let (jobs, to_do) = channel();
        let (results, done) = channel();
        let ring = bell.clone();
        let work = move || work(storage, &to_do, &results, &ring);
        // Not a thread of the run's scope: nothing waits for it without a limit.
        let spawned = thread::Builder::new().name("disk".into()).spawn(work);
        let what = "a disk's thread can't be started";
        let thread = spawned.map_err(|source| Error::System { what, source })?;
        let (busy, failures) = (Cell::new(false), RefCell::default());
        Ok(Self { name, device, bell, jobs, done, thread, busy, failures })
    }

    /// Whether the guest may be waiting for the disk's file.
    pub(super) fn is_busy(&self) -> bool {
        self.busy.get()
    }

    fn note(&self, result: &io::Result<()>) {
        if let Err(error) = result
            && !Injected::is(error)
        {
            let mut failures = self.failures.borrow_mut();
            failures.count += 1;
            // The error itself stays with its job.
            failures.first.get_or_insert_with(|| io::Error::other(error.to_string()));
        }
    }

    /// Ends the thread, and reports what failed.
    fn close(self, until: Instant) {
        let Self { name, jobs, done, thread, failures, .. } = self;
        drop(jobs);
        loop {
            match done.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(_) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    // The thread's last act was to drop its sender.
                    if let Ok(Some(damage)) = thread.join() {
                        tracing::warn!("--disk {name}: {damage}");
                    }
                    break;
                }
                Err(RecvTimeoutError::Timeout) => {
                    tracing::warn!(
                        "--disk {name}: the host has not finished the last request; the file is in \
                         use until it has"
                    );
                    break;
                }
            }
        }
        if let Failures { count, first: Some(error) } = failures.into_inner() {
            tracing::warn!(
                "--disk {name}: requests that failed on the host: {count}, first: {error}"
            );
        }
    }
}

/// Starts the threads of all disks, behind their faults.
pub(super) fn start(disks: Vec<Disk>, faults: Option<&DiskFaults>) -> Result<Vec<RunningDisk>> {
    let start = |(number, disk)| RunningDisk::start(disk, number, faults);
    (0..).zip(disks).map(start).collect()
}

/// Closes all disks at the end of a run. Requests that are under way are dropped.
pub(super) fn close(disks: Vec<RunningDisk>, faults: Option<&DiskFaults>) {
    if let Some(faults) = faults {
        faults.end();
    }
    let until = Instant::now() + END_TIMEOUT;
    for disk in disks {
        disk.close(until);
    }
}

/// The thread of a disk: does its jobs until no more can come. Returns what has happened to the
/// file, if it is damaged.
fn work(
    mut storage: Box<dyn Storage>,
    to_do: &Receiver<Job>,
    results: &Sender<Done>,
    ring: &EventFd,
) -> Option<String> {
    while let Ok(mut job) = to_do.recv() {
        let result = perform(&mut *storage, &mut job.action);
        if results.send((job, result)).is_err() {
            return None;
        }
        // The write fails only when the counter is full, and then the bell is readable anyway.
        let _ = ring.write(1);
    }
    storage.damage()
}

/// Carries jobs from a device to its disk's thread, and results back.
pub(super) struct DiskCourier<'a> {
    control: &'a Control,
    board: &'a Board,
    irqchip: KvmIrqchip,
    disk: &'a RunningDisk,
}

impl<'a> DiskCourier<'a> {
    pub(super) fn new(
        control: &'a Control,
        board: &'a Board,
        irqchip: KvmIrqchip,
        disk: &'a RunningDisk,
    ) -> Self {
        Self { control, board, irqchip, disk }
    }

    /// Calls the device. It never waits, so its lock is held only for a moment.
    fn device<T>(&mut self, call: impl FnOnce(&mut DiskDevice, &mut Wiring) -> T) -> Option<T> {
        let mut wiring = Wiring { clock: self.control, controller: &mut self.irqchip };
        self.board.bus().with(self.disk.device, |device| call(device, &mut wiring))
    }
}

impl MutEventSubscriber for DiskCourier<'_> {
    fn process(&mut self, _: Events, _: &mut EventOps) {
        let disk = self.disk;
        let _ = disk.bell.read();
        if let Ok((job, result)) = disk.done.try_recv() {
            disk.note(&result);
            disk.busy.set(false);
            self.device(|device, wiring| device.finish(&job, &result, wiring));
        }
        if let Some(job) = self.device(DiskDevice::next_job).flatten() {
            disk.busy.set(true);
            if disk.jobs.send(job).is_err() {
                self.control.fail(broken(io::Error::other("a disk's thread has ended")));
            }
        }
    }

    fn init(&mut self, ops: &mut EventOps) {
        listen(self.control, ops, &*self.disk.bell);
    }
}

#[cfg(test)]
#[path = "disk_tests.rs"]
mod tests;
