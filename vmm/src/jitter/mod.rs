//! Jitter: delays drawn from a seed, injected into running vCPUs to shake races loose.
//!
//! Three kinds (`docs/jitter.md`):
//! *hold* a vCPU at an exit, *pause* one at a random instant, *throttle* a victim for a while.
//! Lengths are drawn log-uniformly: some windows want a long delay, others a short one hit often.
//!
//! Jitter knows nothing of the guest: no symbols, no addresses.

mod condition;
mod draw;
mod hook;
mod pause;
mod spec;
mod throttle;
mod victim;

use std::sync::{Arc, Mutex, PoisonError};

use schemars::JsonSchema;
use serde::Serialize;

pub use draw::Draw;
pub use spec::{Holds, JitterSpec, Pauses, Place, Range, Throttling};

use crate::hook::{Attach, Hook};

/// What was injected, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema, Serialize)]
pub struct Injections {
    /// Holds at exits.
    pub holds: u64,
    /// Pauses at random instants.
    pub pauses: u64,
    /// Gaps between the slices of a throttled vCPU.
    pub throttles: u64,
    /// The time that vCPUs were asked to lose, in microseconds.
    pub microseconds: u64,
}

impl Injections {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.holds + self.pauses + self.throttles
    }

    /// Adds another run's or vCPU's.
    pub fn add(&mut self, other: &Self) {
        self.holds += other.holds;
        self.pauses += other.pauses;
        self.throttles += other.throttles;
        self.microseconds += other.microseconds;
    }
}

/// A jitter setting and its seed, attached to one run.
#[derive(Debug)]
pub struct Jitter {
    spec: JitterSpec,
    seed: u64,
    victim: victim::Victim,
    counts: Arc<Mutex<Injections>>,
}

impl Jitter {
    /// Jitter for one run. The random stream of each vCPU derives from the seed.
    pub fn new(spec: JitterSpec, seed: u64) -> Self {
        Self { spec, seed, victim: victim::Victim::default(), counts: Arc::default() }
    }

    /// What has been injected; complete when the run is over.
    pub fn injections(&self) -> Injections {
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Attach for Jitter {
    fn attach(&self, vcpu: u32, vcpus: u32) -> Box<dyn Hook> {
        let (victim, counts) = (self.victim.clone(), self.counts.clone());
        Box::new(hook::JitterHook::new(&self.spec, self.seed, vcpu, vcpus, victim, counts))
    }
}
