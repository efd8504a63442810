//! Tests of the faults of disks.

use std::sync::Mutex;

use super::*;

const BYTES: usize = SECTOR as usize;

/// A disk of 16 sectors in memory, and how often it was flushed.
#[derive(Clone, Default)]
struct Ram(Arc<Mutex<(Vec<u8>, u32)>>);

impl Storage for Ram {
    fn read(&mut self, offset: u64, data: &mut [u8]) -> io::Result<()> {
        let ram = self.0.lock().unwrap();
        data.copy_from_slice(&ram.0[offset as usize..][..data.len()]);
        Ok(())
    }

    fn write(&mut self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.lock().unwrap().0[offset as usize..][..data.len()].copy_from_slice(data);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.lock().unwrap().1 += 1;
        Ok(())
    }
}

fn disk(fault: &str) -> (Ram, DiskFaults, Box<dyn Storage>) {
    let ram = Ram(Arc::new(Mutex::new((vec![0; 16 * BYTES], 0))));
    let faults = DiskFaults::new(&[fault.parse().unwrap()], 1);
    let storage = faults.wrap(0, Box::new(ram.clone()));
    (ram, faults, storage)
}

#[test]
fn a_request_fails_as_often_as_asked_for() {
    let (_, faults, mut storage) = disk("disk-error:op=write,times=2");
    let mut data = [0; BYTES];
    storage.read(0, &mut data).unwrap();
    let failures = (0..5).filter(|_| storage.write(0, &data).is_err()).count();
    assert_eq!(failures, 2);
    storage.flush().unwrap();
    assert_eq!(faults.counts(), [(5, 2)]);
}

#[test]
fn an_injected_error_is_known_as_one() {
    let (_, _, mut storage) = disk("disk-error");
    let error = storage.flush().unwrap_err();
    assert!(Injected::is(&error));
}

#[test]
fn the_nth_request_and_a_sector_are_named() {
    let (_, faults, mut storage) = disk("disk-error:nth=2,sector=3");
    let data = [0; 2 * BYTES];
    assert!(storage.write(0, &data).is_ok());
    assert!(storage.write(2 * SECTOR, &data).is_ok());
    assert!(storage.write(3 * SECTOR, &data).is_err());
    assert!(storage.write(4 * SECTOR, &data).is_ok());
    assert_eq!(faults.counts(), [(2, 1)]);
}

#[test]
fn a_lost_write_is_reported_as_done() {
    let (ram, faults, mut storage) = disk("disk-lost:op=write");
    storage.write(0, &[1; BYTES]).unwrap();
    storage.write(SECTOR, &[2; BYTES]).unwrap();
    let ram = ram.0.lock().unwrap();
    assert_eq!((ram.0[0], ram.0[BYTES]), (0, 2));
    assert_eq!(faults.counts(), [(2, 1)]);
}

#[test]
fn a_lost_flush_reaches_no_disk() {
    let (ram, _, mut storage) = disk("disk-lost:op=flush");
    storage.flush().unwrap();
    assert_eq!(ram.0.lock().unwrap().1, 0);
    storage.flush().unwrap();
    assert_eq!(ram.0.lock().unwrap().1, 1);
}

#[test]
fn a_torn_write_is_whole_sectors_from_the_start() {
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..50 {
        let ram = Ram(Arc::new(Mutex::new((vec![0; 16 * BYTES], 0))));
        let faults = DiskFaults::new(&["disk-torn".parse().unwrap()], seed);
        let mut storage = faults.wrap(0, Box::new(ram.clone()));
        // A single sector can't be torn.
        storage.write(15 * SECTOR, &[9; BYTES]).unwrap();
        storage.write(0, &[1; 4 * BYTES]).unwrap();
        let ram = ram.0.lock().unwrap();
        assert_eq!(ram.0[15 * BYTES], 9);
        let written = ram.0.iter().take_while(|byte| **byte == 1).count();
        assert_eq!(written % BYTES, 0);
        assert!(ram.0[written..15 * BYTES].iter().all(|byte| *byte == 0));
        assert_eq!(faults.counts(), [(1, 1)]);
        seen.insert(written / BYTES);
    }
    assert_eq!(seen, (0..4).collect());
}

#[test]
fn a_full_disk_takes_no_more_writes() {
    let (ram, faults, mut storage) = disk("disk-full:nth=3");
    let results = (1..6).map(|value| storage.write(0, &[value; BYTES]).is_ok());
    assert_eq!(results.collect::<Vec<_>>(), [true, true, false, false, false]);
    assert_eq!(ram.0.lock().unwrap().0[0], 2);
    storage.read(0, &mut [0; BYTES]).unwrap();
    storage.flush().unwrap();
    assert_eq!(faults.counts(), [(5, 3)]);
}

#[test]
fn a_probability_is_one() {
    let (_, faults, mut storage) = disk("disk-error:p=0.25,times=1000");
    (0..1000).for_each(|_| drop(storage.flush()));
    let [(matched, struck)] = faults.counts()[..] else { panic!() };
    assert_eq!(matched, 1000);
    assert!((150..350).contains(&struck), "{struck}");
}

#[test]
fn a_delay_ends_with_the_run() {
    let (_, faults, mut storage) = disk("disk-delay:for=60s");
    faults.end();
    storage.flush().unwrap();
    assert_eq!(faults.counts(), [(1, 1)]);
}

#[test]
fn a_disk_without_faults_is_left_alone() {
    let faults = DiskFaults::new(&["disk-error:disk=1".parse().unwrap()], 1);
    let mut storage = faults.wrap(0, Box::new(Ram::default()));
    storage.flush().unwrap();
    assert_eq!(faults.counts(), [(0, 0)]);
}
