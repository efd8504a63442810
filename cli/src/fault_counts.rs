//! How often the faults of a run struck.

use anyhow::anyhow;
use schemars::JsonSchema;
use serde::Serialize;
use vmm::FaultSpec;
use vmm::disk::DiskFaults;

use crate::tell;

/// How often a fault struck.
#[derive(Clone, Debug, JsonSchema, PartialEq, Eq, Serialize)]
pub(crate) struct FaultCount {
    /// The fault, as on the command line.
    fault: String,
    /// The requests that matched it.
    matched: u64,
    /// The requests that it struck.
    struck: u64,
}

/// The counts of one run.
pub(crate) fn of(specs: &[FaultSpec], faults: &DiskFaults) -> Vec<FaultCount> {
    let count = |(fault, (matched, struck)): (&FaultSpec, (u64, u64))| FaultCount {
        fault: fault.to_string(),
        matched,
        struck,
    };
    specs.iter().zip(faults.counts()).map(count).collect()
}

/// Adds the counts of a run to those of the runs before.
pub(crate) fn add(sums: &mut Vec<FaultCount>, counts: &[FaultCount]) {
    if sums.is_empty() {
        sums.extend_from_slice(counts);
        return;
    }
    for (sum, count) in sums.iter_mut().zip(counts) {
        sum.matched += count.matched;
        sum.struck += count.struck;
    }
}

/// Prints how often each fault struck. Returns an error for each that never did.
pub(crate) fn conclude(counts: &[FaultCount]) -> Vec<anyhow::Error> {
    let mut silent = Vec::new();
    for FaultCount { fault, matched, struck } in counts {
        tell::user(&format!(
            "jitterbug: fault {fault}: struck {struck} of {matched} requests that match"
        ));
        if *struck == 0 {
            let why = match matched {
                0 => "the guest made no such request",
                _ => "none of the requests was the one, or chance left them all out",
            };
            silent.push(anyhow!("--fault {fault}: it never struck: {why}"));
        }
    }
    silent
}
