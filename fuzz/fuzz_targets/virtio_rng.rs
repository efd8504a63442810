//! The entropy device: whatever a guest puts into its rings and registers.
#![no_main]

#[path = "../support/virtio.rs"]
mod virtio;

use devices::virtio::Rng;
use libfuzzer_sys::fuzz_target;
use virtio::Guest;

fuzz_target!(|bytes: &[u8]| {
    let device = Rng::new(|random| random.fill(0x55), || {});
    Guest::new(device).run(bytes, |device, _, wiring| device.go_on(wiring));
});
