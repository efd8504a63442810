//! The block device: whatever a guest puts into its rings and registers.
#![no_main]

#[path = "../support/virtio.rs"]
mod virtio;

use std::io;

use devices::virtio::{Action, Block};
use libfuzzer_sys::fuzz_target;
use virtio::Guest;

const SIZE: u64 = 1 << 20;

fuzz_target!(|bytes: &[u8]| {
    let mut job = None;
    let read_only = bytes.len() % 2 == 0;
    Guest::new(Block::new(SIZE, read_only, "fuzz", || {})).run(bytes, |device, what, wiring| {
        if let Some(done) = job.take() {
            let failed = Err(io::ErrorKind::StorageFull.into());
            device.finish(&done, &if what % 4 == 0 { failed } else { Ok(()) }, wiring);
        }
        job = device.next_job(wiring);
        assert_eq!(job.is_some(), device.is_busy());
        match job.as_ref().map(|job| &job.action) {
            Some(Action::Read { offset, data }) => assert!(offset + data.len() as u64 <= SIZE),
            Some(Action::Write { offset, data, .. }) => {
                assert!(!read_only && offset + data.len() as u64 <= SIZE);
            }
            Some(Action::Flush) | None => {}
        }
    });
});
