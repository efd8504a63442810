//! Prints the table at the end.

use std::fs;
use std::path::Path;
use std::thread;

use crate::contest::Rounds;

/// Prints the kind of host on which the figures were measured: they mean nothing without it.
pub(crate) fn print_host() {
    let modules = ["kvm_intel", "kvm_amd", "kvm_pvm"];
    let module = modules.iter().find(|name| Path::new("/sys/module").join(name).exists());
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    println!(
        "\nHost: {}, {} cores, Linux {}",
        module.unwrap_or(&"KVM of an unknown kind"),
        thread::available_parallelism().map_or(0, usize::from),
        kernel.trim()
    );
}

/// Prints each contestant's median time, and the ratio of the first one's time to it.
pub(crate) fn print(rounds: &Rounds) {
    let (Some(line), Some(first)) = (rounds.times.first(), rounds.names.first()) else { return };
    if line.is_empty() {
        return;
    }
    println!("\n{}: medians of {} rounds", rounds.name, line.len());
    for (index, name) in rounds.names.iter().enumerate() {
        let (Some(time), Some(ratio)) = (rounds.time(index), rounds.ratio(index)) else {
            continue;
        };
        let time = time * 1e6;
        if index == 0 {
            println!("  {name:<30} {time:>9.2} us{}", rate(rounds.rate, time));
            continue;
        }
        let verdict = match rounds.goals.get(index).copied().flatten() {
            Some(goal) if ratio <= goal => format!(" (goal: {goal:.2}, met)"),
            Some(goal) => format!(" (goal: {goal:.2}, MISSED)"),
            None => String::new(),
        };
        println!("  {name:<30} {time:>9.2} us; {first}: {ratio:.2} times that{verdict}");
    }
}

/// The rate per second of something that takes this number of microseconds, if there is a goal for
/// it.
fn rate(goal: Option<f64>, time: f64) -> String {
    let rate = 1e6 / time;
    match goal {
        Some(goal) if rate >= goal => format!(", {rate:.0} a second (goal: {goal:.0}, met)"),
        Some(goal) => format!(", {rate:.0} a second (goal: {goal:.0}, MISSED)"),
        None => String::new(),
    }
}
