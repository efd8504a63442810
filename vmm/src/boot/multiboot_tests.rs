use super::super::headers::multiboot::{ADDRESSES, MAGIC};
use super::*;
use crate::config::{CpuCount, GuestImage};
use crate::memory::MemorySize;

/// An image with addresses: a header at the start, loaded to 1 MiB, and a HLT behind it.
fn image(flags: u32) -> Vec<u8> {
    let sum = 0u32.wrapping_sub(MAGIC.wrapping_add(flags));
    let words = [MAGIC, flags, sum, 0x10_0000, 0x10_0000, 0, 0x10_2000, 0x10_0020];
    let mut bytes = words.map(u32::to_le_bytes).concat();
    bytes.push(0xf4);
    bytes
}

fn boot(bytes: &[u8], initrd: Option<&[u8]>) -> Result<(Memory, Start)> {
    let image =
        |name: &str, bytes: &[u8]| GuestImage { name: name.into(), bytes: bytes.to_vec().into() };
    let mut config = MachineConfig::new(image("/boot/test", bytes), CpuCount::new(2).unwrap());
    config.initrd = initrd.map(|bytes| image("initrd", bytes));
    config.command_line = "quiet".into();
    let memory = Memory::new(MemorySize::new(4 << 20).unwrap()).unwrap();
    let start = Multiboot.load(&config, &memory)?;
    Ok((memory, start))
}

fn refusal(bytes: &[u8]) -> String {
    boot(bytes, None).map(|_| ()).unwrap_err().to_string()
}

fn text(memory: &Memory, at: u32, length: usize) -> String {
    let mut bytes = vec![0; length];
    memory.read(at.into(), &mut bytes).unwrap();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn an_image_with_addresses_is_loaded_and_told_of_its_machine() {
    let (memory, start) = boot(&image(ADDRESSES | MEMORY_INFORMATION), Some(b"module")).unwrap();
    assert_eq!((start.registers.rax, start.registers.rip), (LOADED_BY_MULTIBOOT, 0x10_0020));
    let mut code = [0];
    memory.read(0x10_0020, &mut code).unwrap();
    assert_eq!(code, [0xf4]);
    let info = start.registers.rbx;
    let word = |field: u64| memory.read_u32(info + field).unwrap();
    assert_eq!(word(0), 0b10_0100_1101);
    // 639 KiB, and 3 MiB above the first.
    assert_eq!((word(4), word(8)), (639, 3 << 10));
    assert_eq!(text(&memory, word(16), 18), "test cpus=2 quiet\0");
    assert_eq!(word(20), 1);
    let module = |field: u64| memory.read_u32(u64::from(word(24)) + field).unwrap();
    assert_eq!((module(0), module(4) - module(0)), (0x3f_f000, 6));
    assert_eq!(text(&memory, module(0), 6), "module");
    // Three ranges, of which the last is the RAM above 1 MiB.
    assert_eq!(word(44), 3 * 24);
    let last = u64::from(word(48)) + 48;
    assert_eq!(memory.read_u32(last).unwrap(), 20);
    assert_eq!(memory.read_u64(last + 4).unwrap(), 0x10_0000);
    assert_eq!(memory.read_u64(last + 12).unwrap(), 0x30_0000);
    assert_eq!(text(&memory, word(64), 10), "jitterbug\0");
}

#[test]
fn a_module_never_overlaps_the_image() {
    // The zeros behind the image end at 1 MiB and 8 KiB.
    let error = boot(&image(ADDRESSES), Some(&vec![1; 3 << 20])).map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("0x102000"), "{error}");
}

#[test]
fn what_a_loader_does_not_know_is_refused() {
    assert!(refusal(&image(ADDRESSES | 1 << 5)).contains("no loader knows"));
    let mut low = image(ADDRESSES);
    low[12..20].copy_from_slice(&[0x8000u32, 0x8000].map(u32::to_le_bytes).concat());
    assert!(refusal(&low).contains("boot data"), "{}", refusal(&low));
    let mut outside = image(ADDRESSES);
    outside[28..32].copy_from_slice(&0x20_0000u32.to_le_bytes());
    assert!(refusal(&outside).contains("entry point 0x200000"));
    let mut before = image(ADDRESSES);
    before[16..20].copy_from_slice(&0x0f_0000u32.to_le_bytes());
    assert!(refusal(&before).contains("only 0 bytes into the file"), "{}", refusal(&before));
}

#[test]
fn any_header_is_survived() {
    let whole = image(ADDRESSES);
    for length in 0..whole.len() {
        let _ = boot(&whole[..length], None);
    }
    // Damage the addresses and the entry point only: the checksum covers the flags.
    for at in 12..32 {
        for value in [0, 1, 0x7f, 0xff] {
            let mut damaged = whole.clone();
            damaged[at] = value;
            let _ = boot(&damaged, Some(b"module"));
        }
    }
}
