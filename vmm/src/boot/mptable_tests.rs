use super::*;
use crate::memory::MemorySize;

fn sum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, byte| sum.wrapping_add(*byte))
}

/// The contents of the table as a guest finds them.
#[derive(Default)]
struct Found {
    /// LAPIC ids and flags.
    processors: Vec<(u8, u8)>,
    ioapics: Vec<u8>,
    /// The IOAPIC of each interrupt line.
    lines: Vec<u8>,
}

fn processors(vcpus: u32) -> Vec<(u8, u8)> {
    walk(vcpus).processors
}

/// Walks the table as a guest does: signature, checksum, then entry by entry.
fn walk(vcpus: u32) -> Found {
    let memory = Memory::new(MemorySize::default()).unwrap();
    write(&memory, vcpus).unwrap();
    let mut pointer = [0; 16];
    memory.read(0xf_0000, &mut pointer).unwrap();
    assert_eq!((&pointer[..4], sum(&pointer)), (&b"_MP_"[..], 0));
    let at = u64::from(u32::from_le_bytes([4, 5, 6, 7].map(|i| pointer[i])));
    let mut header = [0; 44];
    memory.read(at, &mut header).unwrap();
    let length = usize::from(u16::from_le_bytes([header[4], header[5]]));
    let mut table = vec![0; length];
    memory.read(at, &mut table).unwrap();
    assert_eq!((&table[..4], sum(&table)), (&b"PCMP"[..], 0));

    let mut found = Found::default();
    let mut offset = 44;
    for _ in 0..u16::from_le_bytes([header[34], header[35]]) {
        let length = match table[offset] {
            entry::PROCESSOR => {
                found.processors.push((table[offset + 1], table[offset + 3]));
                20
            }
            entry::IOAPIC => {
                found.ioapics.push(table[offset + 1]);
                8
            }
            entry::IO_INTERRUPT => {
                found.lines.push(table[offset + 6]);
                8
            }
            entry::BUS..=entry::LOCAL_INTERRUPT => 8,
            other => panic!("entry of type {other}"),
        };
        offset += length;
    }
    assert_eq!(offset, length);
    found
}

#[test]
fn lists_every_processor_and_marks_the_first() {
    assert_eq!(processors(1), [(0, 3)]);
    assert_eq!(processors(3), [(0, 3), (1, 1), (2, 1)]);
}

#[test]
fn has_room_for_the_most_vcpus() {
    assert_eq!(processors(64).len(), 64);
}

#[test]
fn the_ioapic_has_an_id_that_its_register_holds() {
    for vcpus in [1, 2, 15, 16, 17, 64] {
        let found = walk(vcpus);
        let id = ioapic_id(vcpus);
        assert_eq!(found.ioapics, [id]);
        assert!(!found.lines.is_empty() && found.lines.iter().all(|ioapic| *ioapic == id));
        // The id that the guest reads from the register is the one in the table.
        assert_eq!(devices::ioapic::IoApic::new(id).read(0x10), u32::from(id) << 24);
        let taken = found.processors.iter().any(|(lapic, _)| *lapic == id);
        // There are only sixteen ids.
        assert_eq!(taken, vcpus > 15, "{vcpus} vCPUs");
    }
}
