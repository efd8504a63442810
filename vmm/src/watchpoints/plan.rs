//! Decides how the guest's data is watched in a run: by watchpoints or by trapped pages.

use std::fmt;
use std::ops::Range;

use super::Watchpoint;
use crate::at_places::AtPlaces;
use crate::config::MachineConfig;
use crate::doctor;
use crate::error::Result;
use crate::guest_debug::{self, Length, SLOTS};
use crate::hook::{Values, Watch};
use crate::kvm::Host;
use crate::trapped;

/// How a machine watches the guest's data, all of it in one way.
#[derive(Clone, Debug, Default)]
pub struct WatchPlan {
    watches: Vec<Watch>,
    /// Empty if pages are trapped.
    watchpoints: Vec<Watchpoint>,
    /// Why pages are trapped.
    reason: String,
    /// Whether pages may be trapped later, while the guest runs.
    adds: bool,
}

impl WatchPlan {
    /// Trapped pages, whatever the host has. `reason` says why.
    pub fn pages(watches: Vec<Watch>, reason: &str) -> Self {
        Self { watches, watchpoints: Vec::new(), reason: reason.into(), adds: false }
    }

    /// Trapped pages, to which more are added while the guest runs.
    pub fn growing(watches: Vec<Watch>, reason: &str) -> Self {
        Self { adds: true, ..Self::pages(watches, reason) }
    }

    /// Watchpoints if they can tell what the watches ask for and work on this host, otherwise
    /// trapped pages. `stops` is the number of instructions at which the hooks have breakpoints,
    /// which use the same debug registers. Logs the decision at level `info`.
    pub fn choose(host: &Host, config: &MachineConfig, watches: Vec<Watch>, stops: usize) -> Self {
        if watches.is_empty() {
            return Self::default();
        }
        let places = AtPlaces::of(&config.criteria).map_or(0, |places| places.count());
        let plan = match watchpoints(&watches, config.cpus.get(), stops.saturating_add(places)) {
            Ok(_) if !doctor::has_watchpoints(host) => {
                Self::pages(watches, "data watchpoints don't work on this host")
            }
            Ok(watchpoints) => Self { watches, watchpoints, ..Self::default() },
            Err(reason) => Self::pages(watches, &reason),
        };
        tracing::info!(%plan, "watching the guest's data");
        plan
    }

    /// Whether watchpoints are used.
    pub fn uses_watchpoints(&self) -> bool {
        !self.watchpoints.is_empty()
    }

    /// Fails if a machine with this configuration can't watch this guest-physical range as planned,
    /// as far as this is known before its guest runs.
    pub fn check(&self, physical: &Range<u64>, config: &MachineConfig) -> Result<()> {
        if self.uses_watchpoints() {
            trapped::is_memory(physical, config)
        } else {
            trapped::can_watch(physical, config)
        }
    }

    /// Why pages are trapped; `None` if they are not.
    pub fn why_pages(&self) -> Option<&str> {
        let traps = self.adds || !self.watches.is_empty();
        (!self.uses_watchpoints() && traps).then_some(&self.reason)
    }

    /// The guest-physical ranges that are to be trapped.
    pub(crate) fn trapped(&self) -> Vec<Range<u64>> {
        let trapped = self.watches.iter().filter(|_| !self.uses_watchpoints());
        trapped.map(|watch| watch.physical.clone()).collect()
    }

    /// What is watched by watchpoints.
    pub(crate) fn watched(&self) -> &[Watch] {
        if self.uses_watchpoints() { &self.watches } else { &[] }
    }

    /// The watchpoints.
    pub(crate) fn watchpoints(&self) -> &[Watchpoint] {
        &self.watchpoints
    }
}

impl fmt::Display for WatchPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.uses_watchpoints() {
            return write!(f, "trapped pages: {}", self.reason);
        }
        let used = self.watchpoints.len();
        write!(
            f,
            "data watchpoints, {used} of {SLOTS} debug registers; accesses are seen only at"
        )?;
        let mut addresses: Vec<_> = self.watchpoints.iter().map(|one| one.linear).collect();
        addresses.sort_unstable();
        addresses.dedup();
        for (number, address) in addresses.iter().enumerate() {
            write!(f, "{} {address:#x}", if number == 0 { "" } else { "," })?;
        }
        f.write_str(" and not through other mappings of this memory, nor what KVM emulates")
    }
}

/// The watchpoints for these watches. Fails with the reason if they can't tell what is asked for,
/// or if they and the breakpoints at `stops` instructions need more debug registers than there are.
fn watchpoints(watches: &[Watch], vcpus: u32, stops: usize) -> Result<Vec<Watchpoint>, String> {
    let values = watches.iter().map(|watch| watch.values).max();
    match values {
        Some(Values::All) => {
            return Err("a loaded value or the value before a store is used, which a data \
                        watchpoint can't tell"
                .into());
        }
        Some(Values::OfStores) if vcpus > 1 => {
            return Err("a stored value is used, which a data watchpoint can tell with one vCPU \
                        only"
                .into());
        }
        _ => {}
    }
    let mut found: Vec<Watchpoint> = Vec::new();
    for watch in watches {
        let Some(linear) = watch.linear else {
            return Err("a linear address isn't known".into());
        };
        let (physical, size) = (watch.physical.start, watch.physical.end - watch.physical.start);
        // More would never fit, and a range may be large.
        if size > SLOTS as u64 * Length::Eight.bytes() {
            return Err(format!("{size} bytes are more than {SLOTS} debug registers can cover"));
        }
        // A load watchpoint tells of stores, too. With one for stores beside it, the two are told
        // apart even if the instruction isn't known.
        let kinds = [(watch.stores, true), (watch.loads, false)];
        for (_, stores_only) in kinds.into_iter().filter(|(wanted, _)| *wanted) {
            for start in [linear, physical] {
                for next in pieces(start, physical, size, stores_only) {
                    if !found.contains(&next) {
                        found.push(next);
                    }
                }
            }
        }
    }
    let (needed, left) = (found.len(), SLOTS.saturating_sub(stops));
    if needed > left {
        let breakpoints = if stops == 0 { "" } else { " beside the breakpoints" };
        return Err(format!(
            "{needed} debug registers are needed, and {left} are left{breakpoints}"
        ));
    }
    Ok(found)
}

/// The watchpoints for a range at linear address `start`.
fn pieces(
    start: u64,
    physical: u64,
    size: u64,
    stores_only: bool,
) -> impl Iterator<Item = Watchpoint> {
    guest_debug::pieces(start, size).map(move |(linear, length)| {
        let physical = physical + (linear - start);
        Watchpoint { linear, physical, length, stores_only }
    })
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
