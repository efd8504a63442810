//! Tells what data watchpoints could not tell.

use vmm::watchpoints::WatchReport;

use crate::tell;

/// The most addresses that are listed.
const MAX_LISTED: usize = 4;

/// Reports what is not true of the firings at data, in all runs together.
pub(crate) fn tell(watched: &WatchReport) {
    for note in notes(watched) {
        tell::user(&note);
    }
}

fn notes(watched: &WatchReport) -> Vec<String> {
    let WatchReport { inexact, unreported, repeated, other_addresses, exits: _ } = watched;
    let mut notes = Vec::new();
    let mut note = |text: String| {
        notes.push(format!("jitterbug: data watchpoints: {text} (--trap-pages tells all)"));
    };
    if *inexact > 0 {
        note(format!(
            "of {} the instruction isn't known: ARG0 is the watched data, ARG1 is 0",
            accesses(*inexact)
        ));
    }
    if *unreported > 0 {
        note(format!(
            "of {} it isn't known whether they read: they were not reported as reads",
            accesses(*unreported)
        ));
    }
    if *repeated > 0 {
        note(format!(
            "{} by repeated string instructions may each stand for several",
            accesses(*repeated)
        ));
    }
    if !other_addresses.is_empty() {
        let shown = other_addresses.iter().take(MAX_LISTED).map(|it| format!("{it:#x}"));
        let shown = shown.collect::<Vec<_>>().join(", ");
        let more = match other_addresses.len().saturating_sub(MAX_LISTED) {
            0 => String::new(),
            more => format!(" and at {more} more"),
        };
        note(format!(
            "the guest's page tables also have this data at {shown}{more}: accesses there were not \
             seen"
        ));
    }
    notes
}

fn accesses(count: u64) -> String {
    if count == 1 { "1 access".into() } else { format!("{count} accesses") }
}

#[cfg(test)]
#[path = "watching_tests.rs"]
mod tests;
