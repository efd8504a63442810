use std::borrow::Cow;

use std::io::sink;

use devices::device::Address;
use virtio_bindings::virtio_mmio::VIRTIO_MMIO_DEVICE_ID;

use super::*;
use crate::config::{CpuCount, GuestImage};
use crate::identity::Frequencies;
use crate::testing::{NoClock, NoController};

fn config(disks: usize, rng: bool) -> MachineConfig {
    let guest = GuestImage { name: "test".into(), bytes: Cow::Borrowed(b"") };
    let mut config = MachineConfig::new(guest, CpuCount::new(1).unwrap());
    config.disks = (0..disks).map(|disk| format!("/no/disk{disk}").parse().unwrap()).collect();
    config.rng = rng;
    config
}

fn with_console(mut config: MachineConfig) -> MachineConfig {
    config.virtio_console = true;
    config
}

#[test]
fn each_device_has_its_place() {
    let first = VirtioSlot { address: 0xd000_0000, gsi: 16 };
    assert_eq!(slots(&config(0, false)), []);
    assert_eq!(slots(&config(0, true)), [first]);
    let slots = slots(&config(7, true));
    assert_eq!((slots.len(), slots[0]), (8, first));
    assert_eq!(slots[7], VirtioSlot { address: 0xd000_7000, gsi: 23 });
    assert_eq!(super::slots(&with_console(config(0, false))), [first]);
    assert_eq!(super::slots(&with_console(config(2, true))), slots[..4]);
}

#[test]
fn there_are_no_more_devices_than_lines() {
    let refusal = |disks, rng| open_disks(&config(disks, rng)).err().unwrap().to_string();
    assert!(refusal(8, false).starts_with("--disk /no/disk0: No such file"));
    assert!(refusal(9, false).starts_with("--disk /no/disk8: one too many"));
    assert!(refusal(8, true).starts_with("--disk /no/disk7: one too many"));
    let refused = open_disks(&with_console(config(7, true))).err().unwrap().to_string();
    assert!(refused.starts_with("--disk /no/disk6: one too many"), "{refused}");
}

/// The numbers of the device types that answer in the first three places, plus 1; 0 is none.
fn types(config: &MachineConfig) -> [u32; 3] {
    let memory = Arc::new(Memory::new(config.memory).unwrap());
    let frequencies = Frequencies { tsc_khz: 1, bus_khz: 1 };
    let mut board = Board::new(config, frequencies, Box::new(sink()));
    add(&mut board, config, Vec::new(), &memory).unwrap();
    let mut wiring = Wiring { clock: &NoClock, controller: &mut NoController };
    [0, 0x1000, 0x2000].map(|offset| {
        let at = Address::Memory(0xd000_0000 + offset + u64::from(VIRTIO_MMIO_DEVICE_ID));
        let mut word = [0; 4];
        board.bus().read(0, at, &mut word, &mut wiring);
        u32::from_le_bytes(word).wrapping_add(1)
    })
}

#[test]
fn the_devices_are_in_their_places() {
    const CONSOLE: u32 = 3 + 1;
    const RNG: u32 = 4 + 1;
    assert_eq!(types(&config(0, false)), [0; 3]);
    assert_eq!(types(&config(0, true)), [RNG, 0, 0]);
    assert_eq!(types(&with_console(config(0, false))), [CONSOLE, 0, 0]);
    assert_eq!(types(&with_console(config(0, true))), [RNG, CONSOLE, 0]);
}

#[test]
fn random_bytes_differ() {
    let (mut one, mut two) = ([0; 32], [0; 32]);
    random().unwrap()(&mut one);
    random().unwrap()(&mut two);
    assert!(one != two && one != [0; 32]);
}
