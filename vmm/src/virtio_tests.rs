use std::borrow::Cow;

use super::*;
use crate::config::{CpuCount, GuestImage};

fn config(disks: usize, rng: bool) -> MachineConfig {
    let guest = GuestImage { name: "test".into(), bytes: Cow::Borrowed(b"") };
    let mut config = MachineConfig::new(guest, CpuCount::new(1).unwrap());
    config.disks = (0..disks).map(|disk| format!("/no/disk{disk}").parse().unwrap()).collect();
    config.rng = rng;
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
}

#[test]
fn there_are_no_more_devices_than_lines() {
    let refusal = |disks, rng| open_disks(&config(disks, rng)).err().unwrap().to_string();
    assert!(refusal(8, false).starts_with("--disk /no/disk0: No such file"));
    assert!(refusal(9, false).starts_with("--disk /no/disk8: one too many"));
    assert!(refusal(8, true).starts_with("--disk /no/disk7: one too many"));
}

#[test]
fn random_bytes_differ() {
    let (mut one, mut two) = ([0; 32], [0; 32]);
    random().unwrap()(&mut one);
    random().unwrap()(&mut two);
    assert!(one != two && one != [0; 32]);
}
