//! Listings of symbols: System.map, kallsyms, and what the Windows debugger prints.
#![no_main]

#[path = "../../inspect/tests/robustness/ask.rs"]
mod ask;

use inspect::Symbols;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match Symbols::from_listing("fuzz", text) {
        Ok(symbols) => ask::everything(&symbols, text.len() as u64),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
