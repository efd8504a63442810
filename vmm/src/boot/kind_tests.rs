use super::*;
use crate::boot::bzimage::tests::SMALL;

#[test]
fn a_bzimage_is_recognised() {
    assert_eq!(ImageKind::of(SMALL), Some(ImageKind::BzImage));
    assert!(is_linux(SMALL));
    // A boot sector alone is not a bzImage.
    let mut boot_sector = SMALL.to_vec();
    boot_sector[0x202] = 0;
    assert_eq!(ImageKind::of(&boot_sector), None);
    assert!(!is_linux(&boot_sector));
}

#[test]
fn an_elf_file_is_taken_by_its_best_entry() {
    let elf = b"\x7fELF\x02\x01\x01";
    assert_eq!(ImageKind::of(elf), Some(ImageKind::Elf));
    let with = |words: &[u32]| {
        let mut bytes = elf.to_vec();
        bytes.resize(64, 0);
        bytes.extend(words.iter().flat_map(|word| word.to_le_bytes()));
        ImageKind::of(&bytes)
    };
    let multiboot = [0x1bad_b002, 0, 0u32.wrapping_sub(0x1bad_b002)];
    let multiboot2 = [0xe852_50d6, 0, 16, 0u32.wrapping_sub(0xe852_50d6 + 16)];
    assert_eq!(with(&multiboot), Some(ImageKind::Multiboot));
    assert_eq!(with(&multiboot2), Some(ImageKind::Multiboot2));
    let both = [&multiboot2[..], &multiboot[..]].concat();
    assert_eq!(with(&both), Some(ImageKind::Multiboot2));
    for guest in guests::catalogue() {
        assert_eq!(ImageKind::of(guest.image), Some(ImageKind::Pvh), "{}", guest.name);
        assert!(!is_linux(guest.image), "{}", guest.name);
    }
}

#[test]
fn other_files_are_of_no_kind() {
    for bytes in [&b""[..], b"#!/bin/sh", b"\x1f\x8b\x08", &vec![0; 40_000]] {
        assert_eq!(ImageKind::of(bytes), None);
    }
    // A Multiboot header without addresses needs an ELF file.
    let header = [0x1bad_b002u32, 0, 0u32.wrapping_sub(0x1bad_b002)].map(u32::to_le_bytes).concat();
    assert_eq!(ImageKind::of(&header), None);
}
