//! ELF files: their symbols and their DWARF, and what is loaded of them.
#![no_main]

#[path = "../../inspect/tests/robustness/ask.rs"]
mod ask;

use inspect::Symbols;
use libfuzzer_sys::fuzz_target;
use vmm::boot::elf::{self, Image};
use vmm::memory::{Memory, MemorySize};

fuzz_target!(|bytes: &[u8]| {
    let memory = Memory::new(MemorySize::new(8 << 20).unwrap()).unwrap();
    match elf::load(Image { name: "fuzz", bytes }, &memory) {
        Ok(entry) => assert!(entry >= 1 << 20 && entry < 8 << 20),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    match Symbols::from_file("fuzz", bytes.to_vec()) {
        Ok(symbols) => ask::everything(&symbols, bytes.len() as u64),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
