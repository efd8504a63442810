//! What the vCPUs of a run share: who is held where, and what has met.

use std::collections::HashMap;
use std::time::Duration;

use super::race::{Access, Race};
use super::report::{MAX_RACES, Tally};

/// The most instructions whose accesses are counted one by one; the others share a count.
const MAX_SITES: usize = 4096;
/// The number of accesses of an instruction behind each of which a vCPU is held. Later ones are
/// chosen at random, ever more seldom: a race of code that runs often shows early or late, and one
/// of code that runs seldom must not be missed (Marino, Musuvathi, Narayanasamy: `LiteRace`, PLDI
/// 2009).
const ALWAYS: u64 = 64;

/// A vCPU that is held.
#[derive(Debug)]
struct Held {
    variable: usize,
    access: Access,
    since: Duration,
    until: Duration,
}

#[derive(Debug)]
pub(super) struct State {
    held: Vec<Option<Held>>,
    /// The number of accesses of each instruction.
    sites: HashMap<(u64, bool), u64>,
    races: Vec<Race>,
    tally: Tally,
}

impl State {
    pub(super) fn new(vcpus: u32) -> Self {
        let tally = Tally::new(vcpus);
        let held = (0..vcpus).map(|_| None).collect();
        Self { held, sites: HashMap::new(), races: Vec::new(), tally }
    }

    pub(super) fn races(&self) -> &[Race] {
        &self.races
    }

    pub(super) fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Counts an access of which not enough is known.
    pub(super) fn skip(&mut self) {
        self.tally.unknown += 1;
    }

    /// Notes an access, and the races with vCPUs that are held. Returns whether it is to be held,
    /// according to `chosen`, which is true with one in this number of chances. Only the innermost
    /// frame of the access's stack has to be known: `complete` is called for the others if the
    /// access is to be held or has met one that is.
    pub(super) fn add(
        &mut self,
        variable: usize,
        access: &mut Access,
        now: Duration,
        chosen: impl FnOnce(u64) -> bool,
        complete: impl FnOnce(&mut Access),
    ) -> bool {
        self.tally.add(access);
        let mut is_free = false;
        let mut met = Vec::new();
        for (vcpu, held) in (0..).zip(&self.held) {
            if vcpu == access.vcpu {
                continue;
            }
            let Some(held) = held.as_ref().filter(|held| held.until > now) else {
                is_free = true;
                continue;
            };
            if held.variable == variable && held.access.conflicts(access) {
                met.push((held.access.clone(), now.saturating_sub(held.since)));
            }
        }
        // A locked instruction is not interrupted between its two parts, and a vCPU that waits
        // where all others wait meets none.
        let may_be_held = is_free && (!access.locked || access.write);
        let is_held = may_be_held && self.is_chosen(access.site(), chosen);
        if is_held || !met.is_empty() {
            complete(access);
        }
        for (held, apart) in met {
            self.note(Race { variable, held, other: access.clone(), apart, times: 1 });
        }
        is_held
    }

    /// Counts an access of the instruction at a site. Returns whether it is to be held.
    fn is_chosen(&mut self, site: (u64, bool), chosen: impl FnOnce(u64) -> bool) -> bool {
        let has_count = self.sites.len() < MAX_SITES || self.sites.contains_key(&site);
        let counted = if has_count { site } else { (0, site.1) };
        let count = self.sites.entry(counted).or_default();
        *count += 1;
        *count <= ALWAYS || chosen(*count / ALWAYS)
    }

    /// Notes that a vCPU is held behind its access.
    pub(super) fn hold(
        &mut self,
        variable: usize,
        access: Access,
        now: Duration,
        length: Duration,
    ) {
        self.tally.holds += 1;
        self.tally.held_seconds += length.as_secs_f64();
        let until = now.saturating_add(length);
        if let Some(place) = self.held.get_mut(access.vcpu as usize) {
            *place = Some(Held { variable, access, since: now, until });
        }
    }

    /// Notes that a vCPU does nothing more: a hold that is not over was shorter than planned.
    pub(super) fn stop(&mut self, vcpu: u32, now: Duration) {
        let held = self.held.get_mut(vcpu as usize).and_then(Option::take);
        let left = held.map_or(Duration::ZERO, |held| held.until.saturating_sub(now));
        self.tally.held_seconds -= left.as_secs_f64();
    }

    fn note(&mut self, race: Race) {
        if let Some(known) = self.races.iter_mut().find(|known| known.is_like(&race)) {
            known.times += 1;
        } else if self.races.len() < MAX_RACES {
            self.races.push(race);
        } else {
            self.tally.left_out += 1;
        }
    }
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
