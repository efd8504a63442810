use super::*;
use crate::controlled::Granularity;
use crate::controlled::testing::{machine_at, random};
use crate::end::End;

#[test]
fn points_count_since_the_last_progress() {
    let mut progress = ProgressCounter::new(2);
    for _ in 0..5 {
        progress.pass(0);
    }
    progress.pass(1);
    assert_eq!((progress.points(0), progress.points(1)), (5, 1));
    progress.note();
    assert_eq!((progress.points(0), progress.points(1)), (0, 0));
    progress.pass(1);
    assert_eq!((progress.points(0), progress.points(1)), (0, 1));
}

#[test]
fn a_run_in_pieces_is_the_same_run() {
    // vCPU 0 waits, and vCPU 1 computes for thousands of instructions without visible effect.
    let run = |piece: u64| {
        let mut machine = machine_at("tsc-sync", Granularity::Instruction);
        let mut choose = random(1);
        loop {
            let points = (machine.points() + piece).min(40_000);
            match machine.run(&mut choose, points).unwrap() {
                End::Budget if points < 40_000 => {}
                ending => return (ending, machine.points(), machine.hash()),
            }
        }
    };
    assert_eq!(run(777), run(40_000));
}
