//! The results of all runs, and what can't be concluded from them.

use experiments::collider::{Blind, Report, Tally};
use schemars::JsonSchema;
use serde::Serialize;
use vmm::watchpoints::WatchReport;

/// A variable that was not found in the running kernel.
#[derive(JsonSchema, Serialize)]
pub(super) struct Missing {
    /// The variable.
    pub(super) variable: String,
    /// The number of runs that came to their end and in which it was never found; 0 if it was only
    /// not found until a signal ended a run.
    pub(super) runs: u64,
    /// Why, in the last of these runs.
    pub(super) reason: String,
}

/// A variable that was found in the running kernel, and later could not be watched.
#[derive(JsonSchema, Serialize)]
pub(super) struct Refused {
    /// The variable.
    pub(super) variable: String,
    /// The number of runs in which that happened, with one that a signal ended.
    pub(super) runs: u64,
    /// Why, in the last of these runs.
    pub(super) reason: String,
}

/// What was looked at of a variable.
#[derive(JsonSchema, Serialize)]
pub(super) struct LookedAt {
    /// The variable.
    pub(super) variable: String,
    /// The accesses and the holds behind them. An access that touches several variables counts for
    /// each.
    pub(super) tally: Tally,
    /// Why no race on it could have been seen; absent if one could.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) blind: Option<&'static str>,
}

/// The results of all runs.
#[derive(Default)]
pub(super) struct Found {
    pub(super) races: Vec<Report>,
    pub(super) tally: Tally,
    pub(super) by_variable: Vec<LookedAt>,
    pub(super) watched: WatchReport,
    pub(super) runs: u64,
    pub(super) failed: u64,
    pub(super) failures: Vec<String>,
    pub(super) missing: Vec<Missing>,
    pub(super) refused: Vec<Refused>,
}

impl Found {
    /// Notes that these variables were found in a run and could not be watched later.
    pub(super) fn refuse(&mut self, refused: Vec<(String, String)>) {
        for (variable, reason) in refused {
            match self.refused.iter_mut().find(|known| known.variable == variable) {
                Some(known) => (known.runs, known.reason) = (known.runs + 1, reason),
                None => self.refused.push(Refused { variable, runs: 1, reason }),
            }
        }
    }

    /// Adds what a run looked at of each variable.
    pub(super) fn look_at(&mut self, tallies: Vec<(String, Tally)>) {
        for (variable, tally) in tallies {
            match self.by_variable.iter_mut().find(|known| known.variable == variable) {
                Some(known) => known.tally.merge(&tally),
                None => self.by_variable.push(LookedAt { variable, tally, blind: None }),
            }
        }
        for known in &mut self.by_variable {
            known.blind = known.tally.blind().map(Blind::of_one);
        }
    }

    /// Why no race could have been seen on any variable; `None` if one could.
    pub(super) fn blind(&self) -> Option<&'static str> {
        let is_each = self.by_variable.iter().all(|known| known.blind.is_some());
        let each = is_each.then_some("on no variable could one have been seen");
        self.tally.blind().map(Blind::of_all).or(each)
    }

    /// Whether no race could have been seen on at least one variable, for a while or in all runs.
    pub(super) fn sees_less_than_all(&self) -> bool {
        let is_blind = |known: &LookedAt| known.blind.is_some();
        let has_gaps = !self.missing.is_empty() || !self.refused.is_empty();
        has_gaps || self.blind().is_some() || self.by_variable.iter().any(is_blind)
    }

    /// The names of the variables on which no race could have been seen, for each reason.
    pub(super) fn blind_by_reason(&self) -> Vec<(&'static str, Vec<&str>)> {
        let mut reasons: Vec<(_, Vec<_>)> = Vec::new();
        for known in &self.by_variable {
            let Some(blind) = known.blind else { continue };
            match reasons.iter_mut().find(|(reason, _)| *reason == blind) {
                Some((_, names)) => names.push(&*known.variable),
                None => reasons.push((blind, vec![&*known.variable])),
            }
        }
        reasons
    }

    /// Notes that these variables were never found in a run, which a signal may have ended.
    pub(super) fn miss(&mut self, never_found: Vec<(String, String)>, interrupted: bool) {
        let run = u64::from(!interrupted);
        for (variable, reason) in never_found {
            match self.missing.iter_mut().find(|known| known.variable == variable) {
                // What was not found until a signal came might have been found later.
                Some(_) if interrupted => {}
                Some(known) => (known.runs, known.reason) = (known.runs + run, reason),
                None => self.missing.push(Missing { variable, runs: run, reason }),
            }
        }
    }
}

#[cfg(test)]
#[path = "found_tests.rs"]
mod tests;
