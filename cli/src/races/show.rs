//! The results for people, on standard error.

use experiments::collider::count;

use super::found::{Found, Missing, Refused};
use crate::tell;

/// The maximum number of variables that a line for people names.
const MAX_NAMES: usize = 20;

/// Prints the results for people.
pub(super) fn all(found: &Found, interrupted: bool) {
    for race in &found.races {
        tell::user(&race.to_string());
    }
    let (failed, tally) = (found.failed, &found.tally);
    let (races, runs) = (count(found.races.len() as u64, "race"), count(found.runs, "run"));
    let cut = if interrupted { " and an interrupted one" } else { "" };
    tell::user(&format!("jitterbug: {races} in {runs}{cut}, {failed} failed: {tally}"));
    if tally.left_out > 0 {
        tell::user(&format!("jitterbug: {} more races were not kept", tally.left_out));
    }
    if tally.unknown > 0 {
        tell::user(&format!(
            "jitterbug: {} accesses were not compared, because too little is known of them \
             (--trap-pages tells all)",
            tally.unknown
        ));
    }
}

/// Prints on which variables no race could have been seen, which is why the status may be 4.
pub(super) fn gaps(found: &Found, blind: Option<&str>) {
    for Missing { variable, runs, reason } in &found.missing {
        let when = match runs {
            0 => "not found until the interruption".to_owned(),
            _ if found.runs > 1 => format!("never found in {}", count(*runs, "run")),
            _ => "never found".to_owned(),
        };
        tell::user(&format!("jitterbug: --watch {variable}: {when}: {reason}"));
    }
    for Refused { variable, runs, reason } in &found.refused {
        let of =
            if found.runs > 1 { format!(" in {}", count(*runs, "run")) } else { String::new() };
        tell::user(&format!(
            "jitterbug: --watch {variable}: found, but later not watched for a while{of}: {reason}"
        ));
    }
    if let Some(reason) = blind {
        tell::user(&format!("jitterbug: that says nothing about races: {reason}"));
    }
    if found.by_variable.len() > 1 {
        for (reason, names) in found.blind_by_reason() {
            let (all, names) = (names.len(), names.iter().take(MAX_NAMES));
            let names = names.copied().collect::<Vec<_>>().join(", ");
            let more = all.saturating_sub(MAX_NAMES);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            tell::user(&format!(
                "jitterbug: that says nothing about races on {names}{more}: {reason}"
            ));
        }
    }
}
