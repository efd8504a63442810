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
    /// The variables that the access touches.
    touched: Vec<usize>,
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
    /// The same for each variable, by its number; there may be fewer than variables.
    tallies: Vec<Tally>,
}

impl State {
    pub(super) fn new(vcpus: u32) -> Self {
        let tally = Tally::new(vcpus);
        let held = (0..vcpus).map(|_| None).collect();
        Self { held, sites: HashMap::new(), races: Vec::new(), tally, tallies: Vec::new() }
    }

    pub(super) fn races(&self) -> &[Race] {
        &self.races
    }

    pub(super) fn tally(&self) -> &Tally {
        &self.tally
    }

    /// What was looked at of one variable.
    pub(super) fn tally_of(&self, variable: usize) -> Tally {
        let none = || Tally::new(self.held.len() as u32);
        self.tallies.get(variable).cloned().unwrap_or_else(none)
    }

    /// Counts an access to these variables of which not enough is known.
    pub(super) fn skip(&mut self, touched: &[usize]) {
        self.count(touched, |tally| tally.unknown += 1);
    }

    /// Counts something once in the whole, and for each of these variables.
    fn count(&mut self, touched: &[usize], add: impl Fn(&mut Tally)) {
        add(&mut self.tally);
        let vcpus = self.held.len() as u32;
        for variable in touched {
            if self.tallies.len() <= *variable {
                self.tallies.resize_with(variable + 1, || Tally::new(vcpus));
            }
            self.tallies.get_mut(*variable).into_iter().for_each(&add);
        }
    }

    /// Notes an access to these variables, and the races with vCPUs that are held. Returns whether
    /// it is to be held, according to `chosen`, which is true with one in this number of chances.
    /// Only the innermost frame of the access's stack has to be known: `complete` is called for the
    /// others if the access is to be held or has met one that is.
    pub(super) fn add(
        &mut self,
        touched: &[usize],
        access: &mut Access,
        now: Duration,
        chosen: impl FnOnce(u64) -> bool,
        complete: impl FnOnce(&mut Access),
    ) -> bool {
        self.count(touched, |tally| tally.add(access));
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
            let variable = held.touched.iter().find(|held| touched.contains(held));
            if let Some(variable) = variable.filter(|_| held.access.conflicts(access)) {
                met.push((*variable, held.access.clone(), now.saturating_sub(held.since)));
            }
        }
        // A locked instruction is not interrupted between its two parts, and a vCPU that waits
        // where all others wait meets none.
        let may_be_held = is_free && (!access.locked || access.write);
        let is_held = may_be_held && self.is_chosen(access.site(), chosen);
        if is_held || !met.is_empty() {
            complete(access);
        }
        for (variable, held, apart) in met {
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

    /// Notes that a vCPU is held behind its access to these variables.
    pub(super) fn hold(
        &mut self,
        touched: Vec<usize>,
        access: Access,
        now: Duration,
        length: Duration,
    ) {
        self.count(&touched, |tally| {
            tally.holds += 1;
            tally.held_seconds += length.as_secs_f64();
        });
        let until = now.saturating_add(length);
        if let Some(place) = self.held.get_mut(access.vcpu as usize) {
            *place = Some(Held { touched, access, since: now, until });
        }
    }

    /// Notes that a vCPU does nothing more: a hold that is not over was shorter than planned.
    pub(super) fn stop(&mut self, vcpu: u32, now: Duration) {
        let held = self.held.get_mut(vcpu as usize).and_then(Option::take);
        let Some(Held { touched, until, .. }) = held else { return };
        let left = until.saturating_sub(now).as_secs_f64();
        self.count(&touched, |tally| tally.held_seconds -= left);
    }

    fn note(&mut self, race: Race) {
        if let Some(known) = self.races.iter_mut().find(|known| known.is_like(&race)) {
            known.times += 1;
        } else if self.races.len() < MAX_RACES {
            self.races.push(race);
        } else {
            self.count(&[race.variable], |tally| tally.left_out += 1);
        }
    }
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
