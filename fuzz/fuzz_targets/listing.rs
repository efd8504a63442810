//! Listings of symbols: System.map, kallsyms, and what the Windows debugger prints.
#![no_main]

#[path = "../../probes/tests/robustness/ask.rs"]
mod ask;

use libfuzzer_sys::fuzz_target;
use probes::Symbols;

fuzz_target!(|text: &str| {
    match Symbols::from_listing("fuzz", text) {
        Ok(symbols) => ask::everything(&symbols, text.len() as u64),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
