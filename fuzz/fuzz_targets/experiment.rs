//! Experiment files.
#![no_main]

use experiments::experiment::Experiment;
use libfuzzer_sys::fuzz_target;
use probes::Style;

fuzz_target!(|text: &str| {
    match Experiment::read("fuzz", text) {
        Ok(experiment) => assert!(!experiment.cells.is_empty()),
        Err(refused) => assert!(!refused.render(Style::Ascii).is_empty()),
    }
});
