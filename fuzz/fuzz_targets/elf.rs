//! Images of every kind, and what is loaded of them; the symbols and the DWARF of ELF files.
#![no_main]

#[path = "../../inspect/tests/robustness/ask.rs"]
mod ask;

use inspect::Symbols;
use libfuzzer_sys::fuzz_target;
use vmm::memory::{Memory, MemorySize};
use vmm::{CpuCount, GuestImage, MachineConfig, boot};

fuzz_target!(|bytes: &[u8]| {
    let memory = Memory::new(MemorySize::new(8 << 20).unwrap()).unwrap();
    let image = |bytes: &[u8]| GuestImage { name: "fuzz".into(), bytes: bytes.to_vec().into() };
    let mut config = MachineConfig::new(image(bytes), CpuCount::new(2).unwrap());
    config.initrd = Some(image(b"an initrd"));
    match boot::entry_point(&config, &memory) {
        Ok(entry) => assert!(entry >= 1 << 20 && entry < 8 << 20),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    match Symbols::from_file("fuzz", bytes.to_vec()) {
        Ok(symbols) => ask::everything(&symbols, bytes.len() as u64),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
