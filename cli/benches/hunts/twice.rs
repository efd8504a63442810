//! Runs every schedule twice: from a snapshot, and then with the same choices on a new machine,
//! from the first instruction. Both runs must have the same result, and the same hash at every
//! switch.

use std::thread;
use std::time::Instant;

use experiments::hunt::{Next, SearchEvent};
use experiments::{Hunt, StrategySpec, hunt};
use guests::Guest;
use vmm::controlled::ControlledMachine;
use vmm::{CpuCount, GuestImage, Host, MachineConfig};

use crate::{Failure, Figures};

/// The maximum number of scheduling points; no guest here takes as many in a run that ends.
const BUDGET: u64 = 1_000_000;

/// Makes this number of schedules in total, the same number for each guest that ends.
pub(crate) fn measure(host: &Host, schedules: u64) -> Result<Figures, Failure> {
    let guests: Vec<_> = guests::catalogue().iter().filter(|guest| !guest.endless).collect();
    let each = schedules.div_ceil(guests.len() as u64);
    let mut figures = Figures::default();
    let (mut runs, mut points) = (0, 0);
    let (mut different, mut cut_short, mut unfounded) = (0, 0, 0);
    figures.lines.push(format!(
        "{:<18} {:>7} {:>8} {:>7} {:>9} {:>9} {:>7}",
        "guest", "runs", "distinct", "failed", "cut short", "different", "seconds"
    ));
    for guest in guests {
        let start = Instant::now();
        let made = hunt(host, &setting(guest, each)?, None, |progress, told| {
            if let SearchEvent::Diverged(run, divergence) = told {
                eprintln!("{}, run {run} of {}: {divergence}", guest.name, progress.runs);
            }
            Next::GoOn
        })?;
        if made.runs != each {
            return Err(format!("{}: {} runs, not {each}", guest.name, made.runs).into());
        }
        let seconds = start.elapsed().as_secs_f64();
        let line = format!(
            "{:<18} {:>7} {:>8} {:>7} {:>9} {:>9} {seconds:>7.1}",
            guest.name, made.runs, made.distinct, made.failed, made.cut_short, made.diverged
        );
        // The measurement takes long, so its progress is printed.
        eprintln!("{line}");
        figures.lines.push(line);
        runs += made.runs;
        different += made.diverged;
        cut_short += made.cut_short;
        unfounded += if guest.bug.is_none() { made.failed } else { 0 };
        points += made.points;
    }
    figures.lines.push(format!("{runs} schedules, {points} scheduling points"));
    figures.zero(different, "different the second time");
    figures.zero(unfounded, "failed without a bug");
    // A run that is cut short has no end that could be compared.
    figures.zero(cut_short, "cut short");
    Ok(figures)
}

fn setting(guest: &'static Guest, runs: u64) -> Result<Hunt, Failure> {
    let image = GuestImage { name: guest.name.into(), bytes: guest.image.into() };
    Ok(Hunt {
        machine: MachineConfig::new(image, CpuCount::new(guest.default_cpus)?),
        strategy: StrategySpec::Random,
        seed: 1,
        runs,
        time: None,
        budget: BUDGET,
        hang_budget: ControlledMachine::HANG_BUDGET,
        jobs: thread::available_parallelism().map_or(1, |count| count.get() as u32),
        keep_going: true,
        verify: true,
    })
}
