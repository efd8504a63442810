use super::*;
use crate::memory::MemorySize;

/// The tables by signature, after a check of each checksum.
fn tables(vcpus: u32) -> Vec<(String, Vec<u8>)> {
    with_virtio(vcpus, &[])
}

fn with_virtio(vcpus: u32, virtio: &[VirtioSlot]) -> Vec<(String, Vec<u8>)> {
    let memory = Memory::new(MemorySize::new(4 << 20).unwrap()).unwrap();
    write(&memory, vcpus, virtio).unwrap();
    let bytes = |at: u64, length: usize| {
        let mut bytes = vec![0; length];
        memory.read(at, &mut bytes).unwrap();
        assert_eq!(bytes.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte)), 0, "{at:#x}");
        bytes
    };
    let table = |at: u64| {
        let length = memory.read_u32(at + 4).unwrap() as usize;
        assert!(at + length as u64 <= layout::MP_TABLE, "{at:#x}");
        let bytes = bytes(at, length);
        (String::from_utf8_lossy(&bytes[..4]).into_owned(), bytes)
    };
    let word = |bytes: &[u8], at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    let rsdp = bytes(layout::RSDP, RSDP_SIZE);
    assert!(rsdp.starts_with(b"RSD PTR "));
    // The checksum of version 1 covers the first 20 bytes.
    assert_eq!(rsdp[..20].iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte)), 0);
    let xsdt = table(word(&rsdp, 24));
    assert_eq!(xsdt.0, "XSDT");
    let entries = xsdt.1[36..].chunks(8).map(|entry| table(word(entry, 0)));
    let mut found: Vec<_> = entries.collect();
    let fadt = found.iter().find(|(name, _)| name == "FACP").unwrap();
    let dsdt = table(word(&fadt.1, 140));
    found.push(dsdt);
    found
}

fn find(tables: &[(String, Vec<u8>)], name: &str) -> Vec<u8> {
    tables.iter().find(|(it, _)| it == name).unwrap().1.clone()
}

#[test]
fn every_processor_has_an_entry() {
    for vcpus in [1, 4, 15, 16, 64] {
        let madt = find(&tables(vcpus), "APIC");
        let mut entries = &madt[44..];
        let mut processors = Vec::new();
        while let [kind, length, rest @ ..] = entries {
            match kind {
                0 => {
                    assert_eq!((rest[0], rest[2]), (rest[1], 1));
                    processors.push(rest[1]);
                }
                1 => assert_eq!(rest[0], ioapic_id(vcpus)),
                2 => assert_eq!(rest[..8], [0, 0, 2, 0, 0, 0, 0, 0]),
                4 => assert_eq!(rest[..4], [0xff, 0, 0, 1]),
                kind => panic!("an entry of type {kind}"),
            }
            entries = &entries[usize::from(*length)..];
        }
        assert_eq!(processors, (0..vcpus as u8).collect::<Vec<_>>());
    }
}

#[test]
fn the_fixed_table_names_the_power_ports() {
    let fadt = find(&tables(1), "FACP");
    // Generic addresses: an I/O port, 8 bits, byte access.
    let port = |at: usize| {
        assert_eq!(fadt[at..at + 4], [1, 8, 0, 1]);
        u64::from_le_bytes(fadt[at + 4..at + 12].try_into().unwrap())
    };
    assert_eq!(port(116), u64::from(RESET_PORT));
    assert_eq!(fadt[128], RESET_VALUE);
    assert_eq!(port(244), u64::from(SLEEP_CONTROL_PORT));
    assert_eq!(port(256), u64::from(SLEEP_STATUS_PORT));
}

#[test]
fn the_dsdt_names_the_console_and_the_state_off() {
    let dsdt = find(&tables(1), "DSDT");
    let has = |bytes: &[u8]| dsdt.windows(bytes.len()).any(|window| window == bytes);
    // PNP0501 as an EISA id, the I/O ports 0x3f8 to 0x3ff, and \_S5.
    assert!(has(&[0x41, 0xd0, 0x05, 0x01]));
    assert!(has(&[0x47, 1, 0xf8, 3, 0xf8, 3, 1, 8]));
    assert!(has(b"_S5_"));
}

#[test]
fn the_dsdt_names_the_virtio_devices() {
    let slot = |number: u32| VirtioSlot {
        address: 0xd000_0000 + 0x1000 * u64::from(number),
        gsi: 16 + number,
    };
    let slots: Vec<_> = (0..8).map(slot).collect();
    let dsdt = find(&with_virtio(64, &slots), "DSDT");
    let count = |bytes: &[u8]| dsdt.windows(bytes.len()).filter(|window| *window == bytes).count();
    assert_eq!(count(b"LNRO0005\0"), 8);
    // The last device: its registers, writable, and its interrupt, edge-triggered.
    assert_eq!(count(&[0x86, 9, 0, 1, 0, 0x70, 0, 0xd0, 0, 0x10, 0, 0]), 1);
    assert_eq!(count(&[0x89, 6, 0, 3, 1, 23, 0, 0, 0]), 1);
}
