//! How often the faults of a run struck.

use anyhow::anyhow;
use experiments::campaign::FaultRecord;
use schemars::JsonSchema;
use serde::Serialize;
use vmm::FaultSpec;
use vmm::disk::DiskFaults;
use vmm::run_faults::RunFaults;

use crate::tell;

/// How often a fault struck.
#[derive(Clone, Debug, JsonSchema, PartialEq, Eq, Serialize)]
pub(crate) struct FaultCount {
    /// The fault, as on the command line.
    fault: String,
    /// The occasions that it had: the requests for disks, or the accesses to registers, that
    /// matched it, or how often its time had come at a vCPU that could be struck.
    matched: u64,
    /// How often it struck.
    struck: u64,
    /// What is counted, in words.
    #[serde(skip)]
    of: Occasions,
}

/// What a fault's occasions are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Occasions {
    /// The requests for disks that match it.
    Requests,
    /// Accesses to a model-specific register that match it.
    Accesses,
    /// Its time has come.
    Times,
}

/// The counts of one run, in the order of these faults.
pub(crate) fn of(specs: &[FaultSpec], disks: &DiskFaults, others: &RunFaults) -> Vec<FaultCount> {
    let (mut disks, mut others) = (disks.counts().into_iter(), others.counts().into_iter());
    let count = |spec: &FaultSpec| {
        let (counts, of) = if spec.kind.is_of_disk() {
            (disks.next(), Occasions::Requests)
        } else {
            let accesses = spec.kind.is_of_msr();
            (others.next(), if accesses { Occasions::Accesses } else { Occasions::Times })
        };
        let (matched, struck) = counts?;
        Some(FaultCount { fault: spec.to_string(), matched, struck, of })
    };
    specs.iter().filter_map(count).collect()
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

/// The counts of a run, for the store of a campaign.
pub(crate) fn records(counts: &[FaultCount]) -> Vec<FaultRecord> {
    let record = |count: &FaultCount| FaultRecord {
        fault: count.fault.clone(),
        matched: count.matched,
        struck: count.struck,
    };
    counts.iter().map(record).collect()
}

/// Prints how often each fault struck. Returns an error for each that never did.
pub(crate) fn conclude(counts: &[FaultCount]) -> Vec<anyhow::Error> {
    let mut silent = Vec::new();
    for FaultCount { fault, matched, struck, of } in counts {
        let what = match of {
            Occasions::Requests => "requests that match",
            Occasions::Accesses => "accesses that match",
            Occasions::Times => "times",
        };
        tell::user(&format!("jitterbug: fault {fault}: struck {struck} of {matched} {what}"));
        if *struck == 0 {
            silent.push(anyhow!("--fault {fault}: it never struck: {}", of.why_not(*matched)));
        }
    }
    silent
}

impl Occasions {
    /// Why a fault with this number of occasions never struck.
    fn why_not(self, matched: u64) -> &'static str {
        match (self, matched) {
            (Self::Requests, 0) => "the guest made no such request",
            (Self::Requests, _) => "none of the requests was the one, or chance left them all out",
            (Self::Accesses, 0) => "the guest made no such access",
            (Self::Accesses, _) => "none of the accesses was the one, or chance left them all out",
            (Self::Times, 0) => {
                "the run ended before its time came, no vCPU executed its symbol, or it could strike at no vCPU: one must have been \
                 started, takes interrupts only by an enabled local APIC, exceptions only awake, and \
                 its page tables must map an address"
            }
            (Self::Times, _) => "chance left it out each time",
        }
    }
}
