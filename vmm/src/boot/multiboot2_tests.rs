use super::super::headers::multiboot2::{I386, MAGIC, tag};
use super::*;
use crate::config::{CpuCount, GuestImage};
use crate::memory::MemorySize;

/// A header with these tags, each with its type, flags and content, and a HLT behind it. It is
/// loaded to 1 MiB.
fn image(tags: &[(u16, u16, &[u32])]) -> Vec<u8> {
    let load: &[u32] = &[0x10_0000, 0x10_0000, 0, 0];
    let mut body = Vec::new();
    for (kind, flags, content) in [(tag::ADDRESS, 0, load)].iter().chain(tags) {
        body.extend((u32::from(*kind) | u32::from(*flags) << 16).to_le_bytes());
        body.extend((8 + content.len() as u32 * 4).to_le_bytes());
        body.extend(content.iter().flat_map(|word| word.to_le_bytes()));
        body.resize(body.len().next_multiple_of(8), 0);
    }
    body.extend([0, 0, 0, 0, 8, 0, 0, 0]);
    let length = 16 + body.len() as u32;
    let sum = 0u32.wrapping_sub(MAGIC.wrapping_add(length));
    let mut bytes = [MAGIC, I386, length, sum].map(u32::to_le_bytes).concat();
    bytes.extend(body);
    bytes.push(0xf4);
    bytes
}

const ENTRY: (u16, u16, &[u32]) = (tag::ENTRY, 0, &[0x10_0018]);

fn boot(bytes: &[u8]) -> Result<(Memory, Start)> {
    let guest = GuestImage { name: "test".into(), bytes: bytes.to_vec().into() };
    let initrd = GuestImage { name: "initrd".into(), bytes: b"module".into() };
    let mut config = MachineConfig::new(guest, CpuCount::new(2).unwrap());
    config.initrd = Some(initrd);
    let memory = Memory::new(MemorySize::new(4 << 20).unwrap()).unwrap();
    acpi::write(&memory, 2, &[])?;
    let start = Multiboot2.load(&config, &memory)?;
    Ok((memory, start))
}

/// The contents of the information's tags, by type.
fn information(memory: &Memory, at: u64) -> Vec<(u32, Vec<u8>)> {
    let word = |at| memory.read_u32(at).unwrap();
    let end = at + u64::from(word(at));
    let mut tag = at + 8;
    let mut found = Vec::new();
    while tag < end {
        let mut content = vec![0; word(tag + 4) as usize - 8];
        memory.read(tag + 8, &mut content).unwrap();
        found.push((word(tag), content));
        tag = (tag + u64::from(word(tag + 4))).next_multiple_of(8);
    }
    assert_eq!(tag, end);
    found
}

#[test]
fn the_guest_gets_its_information() {
    let (memory, start) = boot(&image(&[ENTRY])).unwrap();
    assert_eq!((start.registers.rax, start.registers.rip), (LOADED_BY_MULTIBOOT2, 0x10_0018));
    let found = information(&memory, start.registers.rbx);
    let of = |kind| &found.iter().find(|(it, _)| *it == kind).unwrap().1;
    assert_eq!(of(info::COMMAND_LINE), b"cpus=2\0");
    assert_eq!(of(info::MODULE)[..8], [0x3f_f000u32, 0x3f_f006].map(u32::to_le_bytes).concat());
    assert_eq!(of(info::MEMORY_MAP).len(), 8 + 3 * 24);
    assert!(of(info::ACPI_NEW).starts_with(b"RSD PTR "));
    assert_eq!(found.last().unwrap().0, info::END);
}

#[test]
fn a_demand_that_cannot_be_met_is_refused_unless_it_is_optional() {
    let screen: &[u32] = &[1024, 768, 32];
    let error = |tags: &[_]| boot(&image(tags)).map(|_| ()).unwrap_err().to_string();
    assert!(error(&[ENTRY, (tag::FRAMEBUFFER, 0, screen)]).contains("a framebuffer"));
    assert!(boot(&image(&[ENTRY, (tag::FRAMEBUFFER, tag::OPTIONAL, screen)])).is_ok());
    assert!(error(&[ENTRY, (tag::INFORMATION, 0, &[1, 9])]).contains("type 9"));
    assert!(boot(&image(&[ENTRY, (tag::INFORMATION, 0, &[1, 6, 15])])).is_ok());
    assert!(error(&[ENTRY, (77, 0, &[])]).contains("type 77"));
    assert!(error(&[]).contains("no entry point"));
}

#[test]
fn any_header_is_survived() {
    let whole = image(&[ENTRY]);
    for length in 0..whole.len() {
        let _ = boot(&whole[..length]);
    }
    // Behind the checksum's four words.
    for at in 16..whole.len() {
        for value in [0, 1, 0x7f, 0xff] {
            let mut damaged = whole.clone();
            damaged[at] = value;
            let _ = boot(&damaged);
        }
    }
}
