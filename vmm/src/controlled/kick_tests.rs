//! A kick that comes while a vCPU runs must not change the run. The signal of an alarm comes about
//! every 20 ms; here it comes after a few instructions.

use std::time::{Duration, Instant};

use super::*;
use crate::cancel::Cancel;
use crate::controlled::taking;
use crate::controlled::testing::{case_at, machine_at, random};
use crate::controlled::{Choice, Granularity, Point, Snapshot};
use crate::error::Error;
use crate::kvm::kick::Alarm;

const BUDGET: u64 = 100_000;
/// Runs of each guest, each with other choices.
const SEEDS: u64 = 3;
/// Kicked runs with the same choices.
const KICKED: u64 = 16;
/// A run takes some milliseconds.
const MAX_TIME: Duration = Duration::from_secs(1);

/// What a run came to: at each point the hash of what came before it and the enabled choices, and
/// the end.
type Course = (Vec<(u64, Vec<Choice>)>, End, u64);

fn course(machine: &mut ControlledMachine, seed: u64) -> Result<Course> {
    let mut random = random(seed);
    let mut points = Vec::new();
    let mut choose = |point: &Point| {
        points.push((point.hash, point.enabled.to_vec()));
        random(point)
    };
    let ending = machine.run(&mut choose, BUDGET)?;
    Ok((points, ending, machine.hash()))
}

/// A run that is kicked after every `period`. `None` if that is too little time: on a busy host a
/// vCPU may execute no instruction between two kicks.
fn kicked_course(
    machine: &mut ControlledMachine,
    start: &Snapshot,
    seed: u64,
    period: Duration,
) -> Option<Course> {
    machine.restore(start).unwrap();
    let end = Instant::now() + MAX_TIME;
    machine.set_cancel(Cancel::when(move || Instant::now() > end));
    let mut alarm = Alarm::new().unwrap();
    alarm.repeat(period).unwrap();
    let course = course(machine, seed);
    machine.set_cancel(Cancel::never());
    match course {
        Ok(course) if !matches!(course.1, End::Runaway { .. }) => Some(course),
        Ok(_) | Err(Error::Cancelled) => None,
        Err(error) => panic!("{error}"),
    }
}

fn check(name: &str, mut machine: ControlledMachine) {
    let start = machine.save().unwrap();
    let mut slower = 1;
    for seed in 0..SEEDS {
        machine.restore(&start).unwrap();
        let undisturbed = course(&mut machine, seed).unwrap();
        for nth in 0..KICKED {
            let kicked = loop {
                let period = Duration::from_nanos(30_000 + 7_919 * nth) * slower;
                if let Some(kicked) = kicked_course(&mut machine, &start, seed, period) {
                    break kicked;
                }
                slower *= 2;
                assert!(slower <= 64, "{name}: a kick every {period:?} lets nothing happen");
            };
            let first = undisturbed.0.iter().zip(&kicked.0).position(|(one, other)| one != other);
            if let Some(at) = first {
                let (undisturbed, kicked) = (&undisturbed.0[at - 1..], &kicked.0[at - 1..]);
                let show = |points: &[_]| format!("{:x?}", &points[..points.len().min(4)]);
                let (undisturbed, kicked) = (show(undisturbed), show(kicked));
                panic!("{name}, {seed}, {nth}: behind point {at} {undisturbed}, kicked {kicked}");
            }
            assert_eq!(undisturbed, kicked, "{name}, seed {seed}, {nth}");
        }
    }
}

#[test]
fn kicks_change_nothing() {
    // Handlers that end while an interrupt is pending, NMIs, a long computation while an interrupt
    // is pending, and page tables.
    for name in ["lost-wakeup", "merged-nmi", "stale-mm", "ack-deadlock", "tlb-shootdown"] {
        check(name, machine_at(name, Granularity::Watch));
    }
    for name in ["lost-ipi", "idle"] {
        check(name, case_at(name, Granularity::Watch));
    }
    check("an NMI beside an interrupt", taking::tests::guest(true).machine());
}

#[test]
fn kicks_change_nothing_in_single_steps() {
    for name in ["merged-nmi", "irq-mainline"] {
        check(name, machine_at(name, Granularity::Instruction));
    }
    check("lost-ipi", case_at("lost-ipi", Granularity::Instruction));
}
