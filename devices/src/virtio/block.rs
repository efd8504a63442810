//! The block device (5.2): a disk.
//!
//! The device decides what the driver's requests mean, but it does no I/O. It hands out one [`Job`]
//! at a time, which is done without any lock, and takes the result. The data of a job is a copy, at
//! most [`CHUNK`] bytes, so a request of any size needs little memory; and a job whose device is
//! reset meanwhile changes no guest memory.

use std::io;

use virtio_bindings::virtio_blk as spec;
use virtio_bindings::virtio_ids::VIRTIO_ID_BLOCK;

use super::mmio::{DeviceType, Mmio};
use super::queues::Chain;
use super::ram::Ram;
use super::request::{HEADER, Operation, parse};
use super::transport::Transport;
use crate::device::Wiring;

pub use super::request::SECTOR;

/// The most bytes of a job.
const CHUNK: u64 = 256 << 10;
/// The requests that the queue can hold.
const QUEUE_SIZE: u16 = 256;
/// The most requests that are answered at once because they need no job.
const MOST_ANSWERS: u16 = QUEUE_SIZE;
/// The bytes of the disk's name (5.2.6).
const NAME_BYTES: usize = spec::VIRTIO_BLK_ID_BYTES as usize;
/// The most pieces of a request's data: the header and the status have descriptors, too.
const MOST_SEGMENTS: u32 = QUEUE_SIZE as u32 - 2;

/// What is to be done with the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// To fill `data` from the byte at `offset`.
    Read {
        /// The offset in bytes.
        offset: u64,
        /// The data.
        data: Vec<u8>,
    },
    /// To write `data` at the byte at `offset`.
    Write {
        /// The offset in bytes.
        offset: u64,
        /// The data.
        data: Vec<u8>,
        /// Whether the data must be durable afterwards: the driver will not flush (5.2.6.2).
        durable: bool,
    },
    /// To make all that was written durable.
    Flush,
}

/// A part of a request that needs the disk.
#[derive(Debug)]
pub struct Job {
    /// What is to be done.
    pub action: Action,
    /// The request to which it belongs.
    chain: Chain,
}

/// A request that takes one job or more.
#[derive(Clone, Debug)]
pub struct Request {
    chain: Chain,
    operation: Operation,
    /// The bytes of data that are done.
    done: u64,
}

/// A disk, as its device type sees it.
pub struct Block {
    size: u64,
    read_only: bool,
    name: [u8; NAME_BYTES],
    config: Vec<u8>,
    wake: Box<dyn Fn() + Send>,
    request: Option<Request>,
    /// Whether a job has been handed out whose result has not come.
    busy: bool,
}

impl Block {
    /// A disk of `size` bytes, which is a multiple of [`SECTOR`], with a name of which 20 bytes are
    /// used. `wake` is called when [`Mmio::next_job`] may have a job; it must not wait, and must
    /// not call the device.
    pub fn new(size: u64, read_only: bool, name: &str, wake: impl Fn() + Send + 'static) -> Self {
        let mut bytes = [0; NAME_BYTES];
        bytes.iter_mut().zip(name.bytes()).for_each(|(byte, value)| *byte = value);
        // The fields up to `blk_size` (5.2.4): the capacity in sectors, the maximum size of a
        // segment and the geometry, which have no feature here, and between them the maximum number
        // of segments.
        let mut config = (size / SECTOR).to_le_bytes().to_vec();
        config.extend(0u32.to_le_bytes());
        config.extend(MOST_SEGMENTS.to_le_bytes());
        config.extend([0; 4]);
        config.extend((SECTOR as u32).to_le_bytes());
        let (wake, request, busy) = (Box::new(wake), None, false);
        Self { size, read_only, name: bytes, config, wake, request, busy }
    }

    /// The next job of the request that is under way, or the answer that ends the request.
    fn part<R: Ram>(&self, transport: &Transport<R>) -> Option<Result<Job, Answer>> {
        let Request { chain, operation, done } = self.request.as_ref()?;
        let chunk = |length: u64| (length - done).min(CHUNK) as usize;
        let action = match *operation {
            Operation::Flush => Action::Flush,
            Operation::Read { offset, length } if *done < length => {
                Action::Read { offset: offset + done, data: vec![0; chunk(length)] }
            }
            Operation::Write { .. } if self.read_only => return Some(Err(Answer::Failed)),
            Operation::Write { offset, length } if *done < length => {
                let mut data = vec![0; chunk(length)];
                if !transport.read(chain, HEADER + done, &mut data) {
                    return Some(Err(Answer::Failed));
                }
                let durable = !transport.has_feature(spec::VIRTIO_BLK_F_FLUSH);
                Action::Write { offset: offset + done, data, durable }
            }
            Operation::Read { .. } | Operation::Write { .. } => {
                return Some(Err(Answer::Done));
            }
            Operation::Name => return Some(Err(Answer::Name)),
            Operation::Unknown => return Some(Err(Answer::Unknown)),
            Operation::OutOfRange => return Some(Err(Answer::Failed)),
        };
        Some(Ok(Job { action, chain: chain.clone() }))
    }

    /// Ends the request that is under way.
    fn answer<R: Ram>(&mut self, answer: Answer, transport: &mut Transport<R>) {
        let Some(Request { chain, mut done, operation }) = self.request.take() else { return };
        let room = chain.writable.len() - 1;
        let mut status = match answer {
            Answer::Done | Answer::Name => spec::VIRTIO_BLK_S_OK,
            Answer::Failed => spec::VIRTIO_BLK_S_IOERR,
            Answer::Unknown => spec::VIRTIO_BLK_S_UNSUPP,
        };
        if matches!(operation, Operation::Write { .. }) {
            done = 0;
        }
        if matches!(answer, Answer::Name) {
            let length = room.min(NAME_BYTES as u64) as usize;
            if transport.write(&chain, 0, &self.name[..length]) {
                done = length as u64;
            } else {
                status = spec::VIRTIO_BLK_S_IOERR;
            }
        }
        if transport.write(&chain, room, &[status as u8]) {
            // The bytes from the beginning on that were written (2.7.8.2).
            let written = if done == room { room + 1 } else { done };
            transport.push(&chain, u32::try_from(written).unwrap_or(u32::MAX));
        } else {
            transport.needs_reset();
        }
    }
}

/// How a request ends.
#[derive(Clone, Copy)]
enum Answer {
    Done,
    Name,
    Failed,
    Unknown,
}

impl DeviceType for Block {
    const ID: u32 = VIRTIO_ID_BLOCK;
    const QUEUES: &'static [u16] = &[QUEUE_SIZE];

    type UnderWay = Option<Request>;

    fn features(&self) -> u64 {
        let read_only = if self.read_only { 1 << spec::VIRTIO_BLK_F_RO } else { 0 };
        let rest = [spec::VIRTIO_BLK_F_SEG_MAX, spec::VIRTIO_BLK_F_BLK_SIZE];
        rest.iter().fold(read_only | 1 << spec::VIRTIO_BLK_F_FLUSH, |all, bit| all | 1 << bit)
    }

    fn config(&self) -> &[u8] {
        &self.config
    }

    fn notified<R: Ram>(&mut self, _queue: usize, _transport: &mut Transport<R>) {
        (self.wake)();
    }

    fn reset(&mut self) {
        self.request = None;
    }

    fn under_way(&self) -> Self::UnderWay {
        self.request.clone()
    }

    // A job of the request that has been handed out is done once more: its result is not the
    // device's any longer.
    fn resume<R: Ram>(&mut self, under_way: &Self::UnderWay, transport: &Transport<R>) {
        let revive =
            |request: &Request| Request { chain: transport.revive(&request.chain), ..*request };
        self.request = under_way.as_ref().map(revive);
        (self.wake)();
    }
}

impl<R: Ram> Mmio<Block, R> {
    /// The next job, or `None` if there is none now. The result of the one before must have come.
    /// Requests that need no job are answered.
    pub fn next_job(&mut self, wiring: &mut Wiring) -> Option<Job> {
        let job = (!self.kind.busy).then(|| self.find_job()).flatten();
        self.kind.busy |= job.is_some();
        self.settle(wiring);
        job
    }

    fn find_job(&mut self) -> Option<Job> {
        let Self { kind, transport, .. } = self;
        for _ in 0..MOST_ANSWERS {
            if kind.request.as_ref().is_some_and(|request| !transport.has(&request.chain)) {
                kind.request = None;
            }
            if kind.request.is_none() {
                let chain = transport.pop(0)?;
                let Some(operation) = parse(&chain, transport, kind.size) else {
                    transport.needs_reset();
                    return None;
                };
                kind.request = Some(Request { chain, operation, done: 0 });
            }
            match kind.part(transport)? {
                Ok(job) => return Some(job),
                Err(answer) => kind.answer(answer, transport),
            }
        }
        // There may be more requests; the lock must not be held for all of them.
        (kind.wake)();
        None
    }

    /// Takes the result of the last job. What was read becomes visible to the guest, unless it has
    /// reset the device.
    pub fn finish(&mut self, job: &Job, result: &io::Result<()>, wiring: &mut Wiring) {
        let Self { kind, transport, .. } = self;
        kind.busy = false;
        // After a reset, the request that is under way is not the job's.
        let is_its = |request: &Request| request.chain == job.chain && transport.has(&job.chain);
        if let Some(request) = kind.request.as_mut().filter(|request| is_its(request)) {
            let done = request.done;
            let stored = match &job.action {
                Action::Read { data, .. } if result.is_ok() => {
                    transport.write(&job.chain, done, data)
                }
                _ => result.is_ok(),
            };
            match &job.action {
                _ if !stored => kind.answer(Answer::Failed, transport),
                Action::Flush => kind.answer(Answer::Done, transport),
                Action::Read { data, .. } | Action::Write { data, .. } => {
                    request.done += data.len() as u64;
                    if request.done == request.operation.length() {
                        kind.answer(Answer::Done, transport);
                    }
                }
            }
        }
        self.settle(wiring);
    }

    /// Whether a job has been handed out whose result has not come.
    pub fn is_busy(&self) -> bool {
        self.kind.busy
    }
}

#[cfg(test)]
#[path = "block_tests.rs"]
mod tests;
