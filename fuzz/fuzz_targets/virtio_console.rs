//! The console: whatever a guest puts into its rings and registers.
#![no_main]

#[path = "../support/virtio.rs"]
mod virtio;

use std::io::sink;

use devices::virtio::Console;
use libfuzzer_sys::fuzz_target;
use virtio::Guest;

fuzz_target!(|bytes: &[u8]| {
    Guest::new(Console::new(sink(), || {})).run(bytes, |device, what, wiring| {
        if what % 2 == 0 {
            device.go_on(wiring);
        } else {
            let typed = [b'x'; 300];
            assert!(device.send(&typed[..usize::from(what)], wiring) <= usize::from(what));
        }
    });
});
