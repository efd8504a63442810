use super::*;
use crate::memory::MemorySize;

const TEXT: &str = "OSRELEASE=6.1.0-57-cloud-amd64\nPAGESIZE=4096\nSYMBOL(init_uts_ns)=ffff8000\n";

fn note(size: u32, kind: u32, text: &str) -> Vec<u8> {
    let mut note = Vec::new();
    for word in [11, size, kind] {
        note.extend(word.to_le_bytes());
    }
    note.extend(b"VMCOREINFO\0\0");
    note.extend(text.as_bytes());
    note
}

fn found(at: u64, note: &[u8]) -> Option<String> {
    let memory = Memory::new(MemorySize::new(4 << 20).unwrap()).unwrap();
    memory.write(at, note).unwrap();
    find(&memory).map(|text| String::from_utf8(text).unwrap())
}

#[test]
fn the_note_is_found_at_the_start_of_any_page() {
    let whole = note(TEXT.len() as u32, 0, TEXT);
    for at in [0, 0x1000, 0x3f_f000] {
        assert_eq!(found(at, &whole).as_deref(), Some(TEXT), "{at:#x}");
    }
    assert_eq!(found(0x1010, &whole), None, "a copy that is not the kernel's own");
}

#[test]
fn what_only_looks_like_the_note_is_none() {
    let size = TEXT.len() as u32;
    for (name, note) in [
        ("another type", note(size, 1, TEXT)),
        ("too long", note(0x1001, 0, TEXT)),
        ("out of RAM or not text", note(0x1000, 0, TEXT)),
        ("an incomplete line", note(size - 1, 0, TEXT)),
        ("no page size", note(27, 0, &TEXT.replace("cloud-amd64\n", "\n"))),
        ("no value", note(size, 0, &TEXT.replace("SYMBOL(init_uts_ns)=", "SYMBOL(init_uts_ns)+"))),
    ] {
        assert_eq!(found(0x2000, &note), None, "{name}");
    }
}
