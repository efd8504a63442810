//! Jitter: delays drawn from a seed and injected into running vCPUs, to provoke races.
//!
//! There are three kinds (`docs/jitter.md`): *hold* a vCPU at an exit, *pause* one at a random
//! time, *throttle* a victim for a while. Lengths are drawn log-uniformly: some race windows need a
//! long delay, others a short delay that hits often.
//!
//! Jitter knows nothing about the guest: no symbols, no addresses.

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

/// The numbers of injected delays, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema, Serialize)]
pub struct Injections {
    /// Holds at exits.
    pub holds: u64,
    /// Pauses at random instants.
    pub pauses: u64,
    /// Gaps between the slices of a throttled vCPU.
    pub throttles: u64,
    /// The total length of the injected delays, in microseconds.
    pub microseconds: u64,
}

impl Injections {
    /// The number of all injected delays.
    pub fn total(&self) -> u64 {
        self.holds + self.pauses + self.throttles
    }

    /// Adds the numbers of another run or vCPU.
    pub fn add(&mut self, other: &Self) {
        self.holds += other.holds;
        self.pauses += other.pauses;
        self.throttles += other.throttles;
        self.microseconds += other.microseconds;
    }
}

/// Jitter for one run: a setting and its seed.
#[derive(Debug)]
pub struct Jitter {
    spec: JitterSpec,
    seed: u64,
    victim: victim::Victim,
    counts: Arc<Mutex<Injections>>,
}

impl Jitter {
    /// Creates the jitter for one run. The random stream of each vCPU derives from the seed.
    pub fn new(spec: JitterSpec, seed: u64) -> Self {
        Self { spec, seed, victim: victim::Victim::default(), counts: Arc::default() }
    }

    /// The delays injected so far; complete when the run is over.
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
