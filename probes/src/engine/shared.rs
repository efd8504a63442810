//! State that the engines of all vCPUs share.

use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use inspect::Inspector;

use super::changes::Changes;
use super::{Budget, Reported};
use crate::aggregate::{Aggregate, Limits, Part, Room, lock};
use crate::bag::Bag;
use crate::code::Code;

/// The source of the time of day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Clock {
    /// The host's clock.
    #[default]
    Host,
    /// The machine's own time, counted from a fixed time of day, so that a run can be repeated.
    Machine {
        /// The time since 1970 at the machine's start.
        start: Duration,
    },
}

impl Clock {
    /// Microseconds since 1970 at time `now` of the machine.
    pub fn microseconds(self, now: Duration) -> u64 {
        let time = match self {
            // 0 if the host's clock is set to a time before 1970.
            Self::Host => SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default(),
            Self::Machine { start } => start.saturating_add(now),
        };
        u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
    }
}

/// How a script runs in a machine.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The most that one firing may use.
    pub budget: Budget,
    /// The most that the aggregates may hold.
    pub limits: Limits,
    /// The source of the time of day.
    pub clock: Clock,
    /// Unwinds the guest's stacks, and names its addresses.
    pub inspector: Arc<Inspector>,
    /// The seed from which delays are drawn.
    pub seed: u64,
}

/// A script's shared state in one machine.
#[derive(Debug)]
pub struct Shared {
    pub(super) settings: Settings,
    pub(super) reported: Reported,
    pub(super) unloaded: AtomicBool,
    pub(super) changes: Mutex<Changes>,
    /// The integer variables that all vCPUs share.
    pub(super) integers: Vec<AtomicU64>,
    pub(super) aggregates: Vec<Aggregate>,
    pub(super) bags: Vec<Mutex<Bag>>,
}

impl Shared {
    /// The state before the first firing.
    pub fn new(code: &Code, settings: Settings) -> Self {
        let room = Room::new(settings.limits);
        let aggregate = |shape: &crate::aggregate::Shape| {
            Aggregate::new(shape.clone(), settings.limits, room.clone())
        };
        Self {
            reported: Reported::new(code),
            unloaded: AtomicBool::new(false),
            changes: Mutex::default(),
            integers: code.shared_integers.iter().copied().map(AtomicU64::new).collect(),
            aggregates: code.aggregates.iter().map(aggregate).collect(),
            bags: code.bags.iter().map(|bag| Mutex::new(Bag::new(bag.capacity))).collect(),
            settings,
        }
    }

    /// One more vCPU's table for each aggregate.
    pub(super) fn parts(&self) -> Vec<Part> {
        self.aggregates.iter().map(Aggregate::part).collect()
    }

    /// The aggregates, in the order of their definition.
    pub fn aggregates(&self) -> &[Aggregate] {
        &self.aggregates
    }

    /// What unwinds the guest's stacks, and names its addresses.
    pub fn inspector(&self) -> &Inspector {
        &self.settings.inspector
    }

    /// What the script did to the guest so far.
    pub fn changes(&self) -> Changes {
        lock(&self.changes).clone()
    }

    /// How many pairs each bag did not take because it was full.
    pub fn refused(&self) -> impl Iterator<Item = u64> {
        self.bags.iter().map(|bag| lock(bag).refused())
    }
}
