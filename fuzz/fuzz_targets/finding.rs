//! Findings, and what a replay makes of them before it runs.
#![no_main]

use std::path::Path;

use experiments::{Finding, Recorded};
use libfuzzer_sys::fuzz_target;
use vmm::GuestImage;

fuzz_target!(|bytes: &[u8]| {
    match Finding::from_bytes(Path::new("fuzz"), bytes.to_vec()) {
        Ok(finding) => {
            // What is written is read again as the same.
            let text = finding.to_text();
            let again = Finding::from_bytes(Path::new("fuzz"), text.clone().into_bytes());
            assert_eq!(again.expect("its own text").to_text(), text);
            let _ = Recorded::try_from(&finding);
            let image = GuestImage { name: "fuzz".into(), bytes: Vec::new().into() };
            let _ = finding.machine.config(image);
            let _ = finding.signature();
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
