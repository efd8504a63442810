//! ELF files: their symbols and their DWARF.
#![no_main]

#[path = "../../probes/tests/robustness/ask.rs"]
mod ask;

use libfuzzer_sys::fuzz_target;
use probes::Symbols;

fuzz_target!(|bytes: &[u8]| {
    match Symbols::from_file("fuzz", bytes.to_vec()) {
        Ok(symbols) => ask::everything(&symbols, bytes.len() as u64),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
