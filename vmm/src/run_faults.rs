//! Faults under the parallel scheduler, other than those of disks. They strike at times that the
//! user names, wherever the vCPUs are then.
//!
//! A vCPU gets what a fault gives it on its own thread, when it has left the guest for its tick
//! ([`Hook::next_tick`]). A fault that can't strike when its time comes, because the vCPU has not
//! been started or its local APIC is disabled, tries again until it can.
//! Faults of model-specific registers strike the accesses that match.

mod effect;
mod hook;
mod timing;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::fault::{DiskOperation, FaultKind, FaultSpec, MsrFault};
use crate::hook::{Attach, Hook, MsrAccess};
use hook::FaultHook;
use timing::Timing;

/// The faults of one run, and how often each has struck.
#[derive(Debug)]
pub struct RunFaults {
    faults: Vec<Arc<RunFault>>,
}

/// A fault, shared by the hooks of all vCPUs.
#[derive(Debug)]
struct RunFault {
    spec: FaultSpec,
    /// The occasions: the times that it has struck, or was left out by chance.
    matched: AtomicU64,
    struck: AtomicU64,
    timing: Mutex<Timing>,
}

impl RunFaults {
    /// These faults; those that are of disks are ignored. The seed is for those that strike with a
    /// probability, and for the vCPUs at which they strike.
    pub fn new(faults: &[FaultSpec], seed: u64) -> Self {
        let own = faults.iter().filter(|spec| !spec.kind.is_of_disk());
        let fault = |(number, spec): (u64, &FaultSpec)| {
            Arc::new(RunFault {
                spec: spec.clone(),
                matched: AtomicU64::new(0),
                struck: AtomicU64::new(0),
                timing: Mutex::new(Timing::new(spec, seed, number)),
            })
        };
        Self { faults: (0..).zip(own).map(fault).collect() }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.faults.is_empty()
    }

    /// For each fault: how many occasions it had, and how often it has struck.
    pub fn counts(&self) -> Vec<(u64, u64)> {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        self.faults.iter().map(|fault| (load(&fault.matched), load(&fault.struck))).collect()
    }
}

impl RunFault {
    fn timing(&self) -> MutexGuard<'_, Timing> {
        self.timing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts an occasion, and whether the fault has struck.
    fn count(&self, struck: bool) {
        self.matched.fetch_add(1, Ordering::Relaxed);
        self.struck.fetch_add(struck.into(), Ordering::Relaxed);
    }

    /// Whether it strikes an access to a model-specific register, and what it does to that. Counts
    /// the access.
    fn strikes_msr(&self, vcpu: u32, access: &MsrAccess) -> Option<MsrFault> {
        let spec = &self.spec;
        let fault = match (spec.kind, spec.value) {
            (FaultKind::MsrFail, _) => MsrFault::Refused,
            (FaultKind::MsrLie, Some(value)) if !access.write => MsrFault::Reads(value),
            _ => return None,
        };
        let own = spec.msr == Some(access.index)
            && spec.vcpu.is_none_or(|wanted| wanted == vcpu)
            && spec.operation.is_none_or(|wanted| wanted == operation(access));
        if !own {
            return None;
        }
        let mut timing = self.timing();
        let number = self.matched.load(Ordering::Relaxed) + 1;
        let strikes = spec.nth.is_none_or(|nth| nth == number)
            && spec.probability.is_none_or(|p| timing.chance(p.get()))
            && timing.take_one();
        self.count(strikes);
        strikes.then_some(fault)
    }
}

fn operation(access: &MsrAccess) -> DiskOperation {
    if access.write { DiskOperation::Write } else { DiskOperation::Read }
}

impl Attach for RunFaults {
    fn msrs(&self) -> Vec<u32> {
        self.faults.iter().filter_map(|fault| fault.spec.msr).collect()
    }

    fn attach(&self, vcpu: u32, vcpus: u32) -> Box<dyn Hook> {
        for fault in &self.faults {
            fault.timing().begin(vcpus);
        }
        Box::new(FaultHook::new(vcpu, self.faults.clone()))
    }
}

#[cfg(test)]
#[path = "run_faults_tests.rs"]
mod tests;
