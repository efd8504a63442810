use object::elf::{PT_INTERP, PT_LOAD, PT_NOTE};

use super::super::elf_64::Elf64;
use super::super::elf_pvh::ElfPvh;
use super::super::kind::ImageKind;
use super::super::loader::Loader;
use super::super::notes::XEN_ELFNOTE_PHYS32_ENTRY;
use super::*;
use crate::config::{CpuCount, GuestImage};
use crate::error::Result;
use crate::memory::{Memory, MemorySize};

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

/// Loads an image by the loader of its kind. Returns where it starts.
fn load_bytes(bytes: &[u8]) -> Result<(u64, Memory)> {
    let guest = GuestImage { name: "test".into(), bytes: bytes.to_vec().into() };
    let config = MachineConfig::new(guest, CpuCount::new(1).unwrap());
    let memory = Memory::new(MemorySize::new(4 << 20).unwrap()).unwrap();
    let loader: &dyn Loader = match ImageKind::of(bytes) {
        Some(ImageKind::Pvh) => &ElfPvh,
        _ => &Elf64,
    };
    let start = loader.load(&config, &memory)?;
    Ok((start.registers.rip, memory))
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
fn a_32_bit_file_needs_another_entry() {
    let mut file = vec![0; 52 + 32 + 16];
    file[..7].copy_from_slice(b"\x7fELF\x01\x01\x01");
    file[16..24].copy_from_slice(&[2, 0, 3, 0, 1, 0, 0, 0]);
    file[28] = 52; // program headers
    file[40..46].copy_from_slice(&[52, 0, 32, 0, 1, 0]);
    let words = [1u32, 84, 0x10_0000, 0x10_0000, 16, 16, 5, 4];
    file[52..84].copy_from_slice(&words.map(u32::to_le_bytes).concat());
    assert!(refusal(&file).contains("32-bit"), "{}", refusal(&file));
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
fn an_image_without_the_note_starts_at_its_entry_in_64_bit_mode() {
    let mut file = Builder { note: false, ..Builder::new() }.build();
    // The entry point is 0, which is in no segment.
    let error = refusal(&file);
    assert!(error.contains("no PVH entry note") && error.contains("entry point 0x0"), "{error}");
    file[24..32].copy_from_slice(&0x10_0004u64.to_le_bytes());
    assert_eq!(load_bytes(&file).unwrap().0, 0x10_0004);
    // A program of an operating system isn't started.
    file[64 + 56..64 + 60].copy_from_slice(&PT_INTERP.0.to_le_bytes());
    assert!(refusal(&file).contains("a program of an operating system"), "{}", refusal(&file));
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

#[test]
fn loads_what_linkers_make_of_notes() {
    // A note segment with a page's alignment; a second segment behind it, aligned to 8; notes
    // aligned to 8 and packed to 4; notes aligned to 8 and padded to 8.
    let images: [(&str, &[u8]); 4] = [
        ("page", include_bytes!("../../testdata/note-aligned-to-a-page.elf")),
        ("two", include_bytes!("../../testdata/two-note-segments.elf")),
        ("packed", include_bytes!("../../testdata/notes-aligned-to-8-packed-to-4.elf")),
        ("padded", include_bytes!("../../testdata/notes-aligned-to-8-padded-to-8.elf")),
    ];
    for (name, bytes) in images {
        const HLT: u8 = 0xf4;
        let (entry, memory) = load_bytes(bytes).unwrap();
        let mut code = [0];
        memory.read(entry, &mut code).unwrap();
        assert_eq!((entry, code), (0x20_0000, [HLT]), "{name}");
    }
}

#[test]
fn a_segment_of_no_size_is_nothing() {
    let bytes = include_bytes!("../../testdata/empty-segment-at-0.elf");
    assert_eq!(load_bytes(bytes).unwrap().0, 0x10_0000);
}

#[test]
fn a_note_segment_that_cannot_be_read_does_not_matter_if_another_has_the_note() {
    let mut file = Builder::new().build();
    // A third program header in place of the code, which is moved behind it.
    let note = file[64 + 56..64 + 112].to_vec();
    let shift = note.len() as u64;
    file.splice(64 + 56..64 + 56, note);
    file[56] = 3;
    for (header, offset) in [(0, 176 + 32), (1, 1 << 40), (2, 176)] {
        let at = 64 + header * 56 + 8;
        let offset: u64 = if header == 1 { offset } else { offset + shift };
        file[at..at + 8].copy_from_slice(&offset.to_le_bytes());
    }
    assert_eq!(load_bytes(&file).unwrap().0, 0x10_0000);
    // Without the other note segment, the error is about the truncated one.
    file[64 + 2 * 56] = 0;
    assert!(refusal(&file).contains("truncated"), "{}", refusal(&file));
}

#[test]
fn refuses_an_alignment_that_is_none() {
    let mut file = Builder::new().build();
    file[64 + 48] = 6;
    let error = refusal(&file);
    assert!(error.contains("alignment 0x6") && error.contains("0x100000"), "{error}");
}

#[test]
fn refuses_an_entry_outside_the_image() {
    let mut file = Builder::new().build();
    let entry = 176 + 16;
    file[entry..entry + 8].copy_from_slice(&0x10_0010u64.to_le_bytes());
    let error = refusal(&file);
    assert!(error.contains("entry point 0x100010"), "{error}");
}
