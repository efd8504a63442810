use super::*;
use crate::memory::MemorySize;

/// A small ELF64 image: one segment and, if asked for, the PVH note.
struct Builder {
    address: u64,
    size: u64,
    note: bool,
}

impl Builder {
    fn new() -> Self {
        Self { address: 0x10_0000, size: 16, note: true }
    }

    fn build(&self) -> Vec<u8> {
        let headers = 64 + 2 * 56;
        let mut file = vec![0; 64];
        file[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
        file[16..24].copy_from_slice(&[2, 0, 62, 0, 1, 0, 0, 0]);
        file[32] = 64; // program headers
        file[52..58].copy_from_slice(&[64, 0, 56, 0, 2, 0]);
        let mut segment = |kind: u32, offset: u64, address: u64, in_file: u64, size: u64| {
            file.extend(kind.to_le_bytes());
            file.extend(5u32.to_le_bytes());
            for word in [offset, address, address, in_file, size, 4] {
                file.extend(word.to_le_bytes());
            }
        };
        segment(PT_LOAD.0, headers + 32, self.address, 16, self.size);
        segment(if self.note { PT_NOTE.0 } else { 0 }, headers, 0, 24, 24);
        for word in [4u32, 8, XEN_ELFNOTE_PHYS32_ENTRY.0, u32::from_le_bytes(*b"Xen\0")] {
            file.extend(word.to_le_bytes());
        }
        file.extend(self.address.to_le_bytes());
        file.extend([0; 8]);
        file.extend(b"sixteen bytes :)");
        file
    }

    fn load(&self) -> Result<(u64, Memory)> {
        load_bytes(&self.build())
    }
}

fn load_bytes(bytes: &[u8]) -> Result<(u64, Memory)> {
    let memory = Memory::new(MemorySize::new(4 << 20).unwrap()).unwrap();
    load(Image { name: "test", bytes }, &memory).map(|entry| (entry, memory))
}

fn refusal(bytes: &[u8]) -> String {
    load_bytes(bytes).unwrap_err().to_string()
}

#[test]
fn loads_to_physical_addresses() {
    let (entry, memory) = Builder::new().load().unwrap();
    assert_eq!(entry, 0x10_0000);
    let mut text = [0; 16];
    memory.read(0x10_0000, &mut text).unwrap();
    assert_eq!(&text, b"sixteen bytes :)");
}

#[test]
fn refuses_what_is_no_elf() {
    assert!(refusal(b"").contains("not an ELF file"));
    assert!(refusal(b"#!/bin/sh").contains("not an ELF file"));
    assert!(refusal(b"\x7fELF\x01 and so on").contains("32-bit"));
}

#[test]
fn refuses_every_truncation_and_never_panics() {
    let whole = Builder::new().build();
    for length in 4..whole.len() {
        let error = refusal(&whole[..length]);
        assert!(error.contains("truncated"), "{length}: {error}");
    }
}

#[test]
fn survives_every_damaged_byte() {
    let whole = Builder::new().build();
    for at in 0..whole.len() {
        for value in [0, 1, 0x7f, 0xff] {
            let mut damaged = whole.clone();
            damaged[at] = value;
            let _ = load_bytes(&damaged);
        }
    }
}

#[test]
fn refuses_another_machine() {
    let mut file = Builder::new().build();
    file[18] = 183; // AArch64
    assert!(refusal(&file).contains("another machine"));
}

#[test]
fn refuses_an_image_without_the_note() {
    let error = refusal(&Builder { note: false, ..Builder::new() }.build());
    assert!(error.contains("no PVH entry note"), "{error}");
}

#[test]
fn says_how_much_memory_would_do() {
    let error = refusal(&Builder { size: 20 << 20, ..Builder::new() }.build());
    assert!(error.contains("--mem 21M"), "{error}");
}

#[test]
fn refuses_a_segment_in_the_first_mebibyte() {
    let error = refusal(&Builder { address: 0x8000, ..Builder::new() }.build());
    assert!(error.contains("boot data"), "{error}");
}
