use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use proptest::prelude::*;

use super::super::testing::*;
use super::*;
use crate::device::Device as _;
use crate::testing::wired;

const SECTORS: u64 = 16;
const SIZE: u64 = SECTORS * SECTOR;
const DATA: u64 = BUFFERS + 0x1000;
const STATUS: u64 = BUFFERS + 0x800;
const RING_FEATURES: u64 = !(1 << 29);

const IN: u32 = 0;
const OUT: u32 = 1;
const FLUSH: u32 = 4;
const GET_ID: u32 = 8;

type Disk = Driver<Block>;

fn disk(read_only: bool) -> (Disk, Arc<AtomicU32>) {
    let woken = Arc::new(AtomicU32::new(0));
    let count = woken.clone();
    let wake = move || {
        count.fetch_add(1, Ordering::Relaxed);
    };
    (Driver::ready(Block::new(SIZE, read_only, "a disk with a name that is long", wake)), woken)
}

fn read_only_disk() -> (Disk, Arc<AtomicU32>) {
    disk(true)
}

/// Offers a request with this much data, in two buffers.
fn request(disk: &mut Disk, kind: u32, sector: u64, length: u32, flags: u16) {
    disk.put(BUFFERS, &[&kind.to_le_bytes()[..], &[0; 4], &sector.to_le_bytes()].concat());
    disk.put(STATUS, &[0xee]);
    let half = length / 2;
    let data = [(DATA, half, flags), (DATA + u64::from(half), length - half, flags)];
    let data = if length > 0 { &data[..] } else { &[] };
    let all = [&[(BUFFERS, 16, 0)], data, &[(STATUS, 1, WRITE)]].concat();
    disk.chain(0, &all);
    disk.offer(0);
    disk.notify();
}

fn next(disk: &mut Disk) -> Option<Job> {
    wired(&mut disk.lines, |wiring| disk.device.next_job(wiring))
}

fn finish(disk: &mut Disk, job: &Job, result: &io::Result<()>) {
    wired(&mut disk.lines, |wiring| disk.device.finish(job, result, wiring));
}

fn status(disk: &Disk) -> u8 {
    disk.bytes(STATUS, 1)[0]
}

/// A request that is answered without a job.
fn answered(disk: &mut Disk) -> (u8, u32) {
    assert!(next(disk).is_none());
    assert_eq!((disk.used(), disk.pulses()), (1, 1));
    (status(disk), disk.last_used().1)
}

#[test]
fn the_configuration_tells_the_size() {
    let (mut disk, _) = disk(false);
    assert_eq!(disk.get(0x008), 2);
    assert_eq!((disk.get(0x100), disk.get(0x104)), (SECTORS as u32, 0));
    assert_eq!((disk.get(0x10c), disk.get(0x114)), (254, 512));
    let (ro, flush, segments, block_size) = (1 << 5, 1 << 9, 1 << 2, 1 << 6);
    assert_eq!(disk.features() & 0xffff, flush | segments | block_size);
    let (mut other, _) = read_only_disk();
    assert_eq!(other.features() & 0xffff, ro | flush | segments | block_size);
}

#[test]
fn a_sector_is_read() {
    let (mut disk, woken) = disk(false);
    request(&mut disk, IN, 3, 1024, WRITE);
    assert_eq!(woken.load(Ordering::Relaxed), 1);
    let mut job = next(&mut disk).unwrap();
    assert!(disk.device.is_busy() && next(&mut disk).is_none());
    let Action::Read { offset: 1536, data } = &mut job.action else { panic!("{job:?}") };
    data.copy_from_slice(&[7; 1024]);
    assert_eq!((disk.used(), disk.pulses()), (0, 0));
    finish(&mut disk, &job, &Ok(()));
    assert!(!disk.device.is_busy());
    assert_eq!((status(&disk), disk.last_used(), disk.pulses()), (0, (0, 1025), 1));
    assert_eq!(disk.bytes(DATA, 1024), [7; 1024]);
}

#[test]
fn a_sector_is_written_and_flushed() {
    let (mut disk, _) = disk(false);
    disk.put(DATA, &[9; 512]);
    request(&mut disk, OUT, 15, 512, 0);
    let job = next(&mut disk).unwrap();
    let written = Action::Write { offset: 15 * 512, data: vec![9; 512], durable: false };
    assert_eq!(job.action, written);
    finish(&mut disk, &job, &Ok(()));
    assert_eq!((status(&disk), disk.last_used(), disk.pulses()), (0, (0, 1), 1));
    request(&mut disk, FLUSH, 0, 0, 0);
    let job = next(&mut disk).unwrap();
    assert_eq!(job.action, Action::Flush);
    assert_eq!(disk.used(), 1);
    finish(&mut disk, &job, &Ok(()));
    assert_eq!((status(&disk), disk.last_used()), (0, (0, 1)));
}

#[test]
fn without_flushes_each_write_is_durable() {
    let (mut disk, _) = disk(false);
    disk.start(RING_FEATURES & !(1 << 9));
    request(&mut disk, OUT, 0, 512, 0);
    let job = next(&mut disk).unwrap();
    assert!(matches!(job.action, Action::Write { durable: true, .. }));
}

#[test]
fn a_long_request_takes_several_jobs() {
    let chunk = CHUNK as u32;
    let mut disk = Driver::ready(Block::new(1 << 20, false, "", || {}));
    request(&mut disk, IN, 0, 2 * chunk + 1024, WRITE);
    let mut offsets = Vec::new();
    while let Some(mut job) = next(&mut disk) {
        let Action::Read { offset, data } = &mut job.action else { panic!("{job:?}") };
        data.fill(offsets.len() as u8 + 1);
        offsets.push((*offset, data.len()));
        finish(&mut disk, &job, &Ok(()));
    }
    let length = CHUNK as usize;
    assert_eq!(offsets, [(0, length), (CHUNK, length), (2 * CHUNK, 1024)]);
    assert_eq!(disk.bytes(DATA + CHUNK - 1, 2), [1, 2]);
    assert_eq!((status(&disk), disk.last_used().1), (0, 2 * chunk + 1025));
}

#[test]
fn the_name_is_cut() {
    let (mut disk, _) = disk(false);
    request(&mut disk, GET_ID, 0, 20, WRITE);
    assert_eq!(answered(&mut disk), (0, 21));
    assert_eq!(disk.bytes(DATA, 20), b"a disk with a name t");
}

#[test]
fn bad_ranges_fail() {
    for (kind, sector, length) in [
        (IN, SECTORS, 512),
        (IN, SECTORS - 1, 1024),
        (IN, u64::MAX, 512),
        (IN, 1 << 55, 512),
        (IN, 0, 511),
        (OUT, SECTORS, 512),
        (OUT, 0, 513),
        (OUT, u64::MAX / 512, 512),
    ] {
        let (mut disk, _) = disk(false);
        let flags = if kind == IN { WRITE } else { 0 };
        request(&mut disk, kind, sector, length, flags);
        assert_eq!(answered(&mut disk).0, 1, "{kind} {sector} {length}");
    }
}

#[test]
fn unknown_requests_are_unsupported() {
    for kind in [2, 3, 11, 13, 0x8000_0000, u32::MAX] {
        let (mut disk, _) = disk(false);
        request(&mut disk, kind, 0, 512, 0);
        assert_eq!(answered(&mut disk), (2, 1));
    }
}

#[test]
fn a_read_only_disk_takes_no_write() {
    let (mut disk, _) = disk(true);
    request(&mut disk, OUT, 0, 512, 0);
    assert_eq!(answered(&mut disk), (1, 1));
    request(&mut disk, IN, 0, 512, WRITE);
    assert!(next(&mut disk).is_some());
}

#[test]
fn an_error_of_the_host_is_an_error_for_the_guest() {
    for (kind, length, flags) in [(IN, 512, WRITE), (OUT, 512, 0), (FLUSH, 0, 0)] {
        let (mut disk, _) = disk(false);
        request(&mut disk, kind, 0, length, flags);
        let job = next(&mut disk).unwrap();
        finish(&mut disk, &job, &Err(io::ErrorKind::StorageFull.into()));
        assert_eq!((status(&disk), disk.used(), disk.pulses()), (1, 1, 1));
        assert_eq!(disk.status(), 0xf);
    }
}

#[test]
fn data_outside_memory_fails() {
    for (kind, flags) in [(IN, WRITE), (OUT, 0)] {
        let (mut disk, _) = disk(false);
        disk.put(BUFFERS, &[&kind.to_le_bytes()[..], &[0; 12]].concat());
        disk.chain(0, &[(BUFFERS, 16, 0), (MEMORY, 512, flags), (STATUS, 1, WRITE)]);
        disk.offer(0);
        if let Some(job) = next(&mut disk) {
            finish(&mut disk, &job, &Ok(()));
        }
        assert_eq!((status(&disk), disk.used()), (1, 1));
    }
}

#[test]
fn no_header_or_no_status_needs_a_reset() {
    let cases: [&[(u64, u32, u16)]; 4] = [
        &[(BUFFERS, 15, 0), (STATUS, 1, WRITE)],
        &[(BUFFERS, 16, 0)],
        &[(BUFFERS, 16, 0), (STATUS, 0, WRITE)],
        &[(BUFFERS, 16, 0), (MEMORY, 1, WRITE)],
    ];
    for buffers in cases {
        let (mut disk, _) = disk(true);
        disk.put(BUFFERS, &[OUT as u8, 0, 0, 0]);
        disk.chain(0, buffers);
        disk.offer(0);
        assert!(next(&mut disk).is_none());
        assert_eq!((disk.status(), disk.used()), (0x4f, 0));
    }
}

#[test]
fn a_reset_drops_the_job_under_way() {
    let (mut disk, _) = disk(false);
    request(&mut disk, IN, 0, 512, WRITE);
    let mut job = next(&mut disk).unwrap();
    disk.start(RING_FEATURES);
    // The disk is still busy with the job, so no other begins.
    request(&mut disk, IN, 1, 512, WRITE);
    assert!(next(&mut disk).is_none());
    if let Action::Read { data, .. } = &mut job.action {
        data.fill(7);
    }
    disk.pulses();
    finish(&mut disk, &job, &Ok(()));
    assert_eq!((disk.used(), disk.pulses()), (0, 0));
    assert_eq!(disk.bytes(DATA, 512), [0; 512]);
    let job = next(&mut disk).unwrap();
    assert!(matches!(job.action, Action::Read { offset: 512, .. }));
    finish(&mut disk, &job, &Ok(()));
    assert_eq!(disk.used(), 1);
}

/// Another vCPU keeps the ring full while requests are answered.
#[test]
fn a_flood_of_bad_requests_has_a_bound() {
    let (mut disk, _) = disk(false);
    request(&mut disk, 99, 0, 0, 0);
    let (ram, over) = (disk.ram.clone(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut index = [0; 2];
            while !over.load(Ordering::Relaxed) {
                assert!(ram.read(USED + 2, &mut index));
                let full = u16::from_le_bytes(index).wrapping_add(8);
                assert!(ram.write(AVAILABLE + 2, &full.to_le_bytes()));
            }
        });
        for _ in 0..200 {
            let before = disk.used();
            assert!(next(&mut disk).is_none());
            assert!(disk.used().wrapping_sub(before) <= MOST_ANSWERS);
        }
        over.store(true, Ordering::Relaxed);
    });
    assert_eq!((disk.status(), status(&disk)), (0xf, 2));
}

proptest! {
    /// Whatever the rings contain: no panic, the jobs are inside the disk, and a reset leads out.
    #[test]
    fn any_rings_are_survived(
        rings in prop::collection::vec(any::<u8>(), 160),
        small in any::<bool>(),
        jobs in 1usize..20,
    ) {
        let (mut disk, _) = disk(false);
        let mut rings = rings;
        if small {
            // Addresses and lengths that are often in memory.
            for descriptor in rings[..128].chunks_exact_mut(16) {
                descriptor[2..8].fill(0);
                descriptor[10..12].fill(0);
                descriptor[12] &= 7;
                descriptor[13..16].fill(0);
                descriptor[14] = descriptor[0] & 7;
            }
            rings[130] &= 7;
            rings[131] = 0;
        }
        disk.put(DESCRIPTORS, &rings[..128]);
        disk.put(AVAILABLE, &rings[128..160]);
        for _ in 0..jobs {
            disk.notify();
            let Some(job) = next(&mut disk) else { break };
            if let Action::Read { offset, data } | Action::Write { offset, data, .. } = &job.action {
                prop_assert!(offset + data.len() as u64 <= SIZE);
            }
            finish(&mut disk, &job, &Ok(()));
        }
        disk.start(RING_FEATURES);
        request(&mut disk, GET_ID, 0, 20, WRITE);
        prop_assert!(next(&mut disk).is_none());
        prop_assert_eq!(status(&disk), 0);
    }
}

#[test]
fn the_result_of_a_job_from_before_a_restored_state_is_dropped() {
    let (mut disk, _) = disk(false);
    request(&mut disk, IN, 0, 512, WRITE);
    let saved = disk.device.save();
    let job = next(&mut disk).unwrap();
    disk.device.restore(&saved).unwrap();
    finish(&mut disk, &job, &Ok(()));
    assert_eq!(disk.used(), 0);
    assert!(next(&mut disk).is_some());
}

#[test]
fn a_restored_state_goes_on_with_the_request_under_way() {
    let (mut disk, woken) = disk(false);
    request(&mut disk, IN, 1, 512, WRITE);
    let job = next(&mut disk).unwrap();
    let saved = disk.device.save();
    finish(&mut disk, &job, &Ok(()));
    assert_eq!(disk.used(), 1);
    disk.put(USED + 2, &[0, 0]);
    let before = woken.load(Ordering::Relaxed);
    disk.device.restore(&saved).unwrap();
    assert_eq!(woken.load(Ordering::Relaxed), before + 1);
    let again = next(&mut disk).unwrap();
    assert_eq!(again.action, job.action);
    finish(&mut disk, &again, &Ok(()));
    assert_eq!((disk.used(), status(&disk)), (1, 0));
    assert!(next(&mut disk).is_none());
}
