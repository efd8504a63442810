//! VP: the front end, and the engine on whatever it accepts.
#![no_main]

#[path = "../../probes/tests/robustness/fire.rs"]
mod fire;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    fire::load_and_run("fuzz.vp", text, text.len() as u64);
});
