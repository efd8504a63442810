use super::super::headers::bzimage::MAGIC;
use super::*;
use crate::config::{CpuCount, GuestImage};
use crate::memory::MemorySize;

/// A small bzImage: one sector of setup code with the header and, at 0x300, the version text, then
/// 32 bytes as the kernel, which takes 4 MiB to start, from 2 MiB on. Its command line may be 255
/// bytes long.
pub(in crate::boot) const SMALL: &[u8] = include_bytes!("../../testdata/linux.bzimage");

fn boot(bytes: &[u8], mebibytes: u64, initrd: &[u8]) -> Result<(Memory, Start)> {
    let image =
        |name: &str, bytes: &[u8]| GuestImage { name: name.into(), bytes: bytes.to_vec().into() };
    let mut config = MachineConfig::new(image("test", bytes), CpuCount::new(1).unwrap());
    config.initrd = (!initrd.is_empty()).then(|| image("initrd", initrd));
    let memory = Memory::new(MemorySize::new(mebibytes << 20).unwrap()).unwrap();
    let start = BzImage.load(&config, &memory)?;
    Ok((memory, start))
}

fn refusal(bytes: &[u8], mebibytes: u64, initrd: &[u8]) -> String {
    boot(bytes, mebibytes, initrd).map(|_| ()).unwrap_err().to_string()
}

#[test]
fn the_kernel_starts_in_64_bit_mode_with_its_boot_data() {
    let (memory, start) = boot(SMALL, 8, b"an initrd").unwrap();
    assert_eq!(start.registers.rip, 0x10_0200);
    let parameters = start.registers.rsi;
    let word = |at| memory.read_u32(parameters + at).unwrap();
    assert_eq!(word(0x202), MAGIC);
    // type_of_loader
    assert_eq!(word(0x210) & 0xff, 0xff);
    let mut line = [0; 23];
    memory.read(word(0x228).into(), &mut line).unwrap();
    assert_eq!(&line, b"console=ttyS0 panic=-1\0");
    // The initrd is at the end of the memory.
    let (initrd, size) = (u64::from(word(0x218)), word(0x21c));
    assert_eq!((initrd, size), ((8 << 20) - 0x1000, 9));
    let mut bytes = [0; 9];
    memory.read(initrd, &mut bytes).unwrap();
    assert_eq!(&bytes, b"an initrd");
    assert_eq!(memory.read_u64(parameters + 0x70).unwrap(), layout::RSDP);
    // Three ranges of memory.
    assert_eq!(word(0x1e8) & 0xff, 3);
    let mut kernel = [0];
    memory.read(0x10_0000, &mut kernel).unwrap();
    assert_eq!(kernel, [0xf4]);
}

#[test]
fn what_does_not_fit_is_refused_with_what_would_do() {
    let error = refusal(SMALL, 4, b"");
    assert!(error.contains("up to 0x600000") && error.contains("--mem 6M"), "{error}");
    assert!(boot(SMALL, 6, b"").is_ok());
    let initrd = vec![1; 3 << 20];
    let error = refusal(SMALL, 8, &initrd);
    assert!(error.contains("initrd") && error.contains("--mem 9M"), "{error}");
    assert!(boot(SMALL, 9, &initrd).is_ok());
    // The kernel's own limit is no matter of memory.
    let mut low = SMALL.to_vec();
    low[0x22c..0x230].copy_from_slice(&0x1000u32.to_le_bytes());
    let error = refusal(&low, 8, b"initrd");
    assert!(error.contains("only below 0x1001") && !error.contains("give --mem"), "{error}");
    let mut huge = SMALL.to_vec();
    huge[0x260..0x264].copy_from_slice(&u32::MAX.to_le_bytes());
    let error = refusal(&huge, 8, b"");
    assert!(error.contains("whatever --mem is") && !error.contains("give --mem"), "{error}");
}

#[test]
fn a_kernel_without_a_64_bit_entry_is_refused() {
    let mut old = SMALL.to_vec();
    old[0x206..0x208].copy_from_slice(&0x0205u16.to_le_bytes());
    let error = refusal(&old, 8, b"");
    assert!(error.contains("boot protocol 2.05"), "{error}");
    let mut narrow = SMALL.to_vec();
    narrow[0x236] = 0;
    assert!(refusal(&narrow, 8, b"").contains("64-bit entry"));
}

#[test]
fn every_truncation_and_every_damaged_byte_is_survived() {
    for length in 0..SMALL.len() {
        let cut = &SMALL[..length];
        if SetupHeader::read(cut).is_some() && length <= 1024 {
            assert!(refusal(cut, 8, b"").contains("truncated"), "{length}");
        }
    }
    for at in 0x1f0..0x270 {
        for value in [0, 1, 0x7f, 0xff] {
            let mut damaged = SMALL.to_vec();
            damaged[at] = value;
            let _ = boot(&damaged, 8, b"initrd");
        }
    }
}

#[test]
fn only_linux_has_a_version() {
    let header = SetupHeader::read(SMALL).unwrap();
    assert_eq!(header.version_text(SMALL), Some("6.1.0 (someone@somewhere) #1"));
    let mut other = SMALL.to_vec();
    other[0x20e..0x210].copy_from_slice(&[0, 0]);
    assert_eq!(SetupHeader::read(&other).unwrap().version_text(&other), None);
    // iPXE's, for example.
    let mut other = SMALL.to_vec();
    other[0x300..0x308].copy_from_slice(b"1.0.0+x\0");
    assert_eq!(SetupHeader::read(&other).unwrap().version_text(&other), None);
}
