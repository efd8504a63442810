use super::*;
use crate::controlled::Waits;
use crate::controlled::testing::{case, random};
use crate::end::End;

#[test]
fn a_measurement_is_no_wait() {
    assert_eq!((0..=MEASURES).map(pause_after).max(), Some(0));
}

#[test]
fn pauses_double_and_have_an_end() {
    let pauses: Vec<u64> = (MEASURES + 1..100).map(pause_after).collect();
    assert_eq!(pauses[0], FIRST_WAIT);
    assert!(pauses.windows(2).all(|pair| pair[1] == (2 * pair[0]).min(LAST_WAIT)));
    assert_eq!(pauses.last(), Some(&LAST_WAIT));
}

#[test]
fn a_time_out_is_taken_when_everybody_waits() {
    for seed in 0..20 {
        let mut machine = case("tscloop");
        let mut choose = random(seed);
        let ending = machine.run(&mut choose, 100_000).unwrap();
        assert_eq!(ending, End::Guest { code: 0 }, "seed {seed}");
        assert!(machine.points() < 1000, "{} points", machine.points());
        // 200,000,000 cycles at 2 GHz, and at most the same time again.
        let waited = machine.now().as_millis();
        assert!((100..300).contains(&waited), "{waited} ms");
    }
}

#[test]
fn the_same_choices_read_the_same_times() {
    let run = || {
        let mut machine = case("tscloop");
        let ending = machine.run(&mut random(1), 100_000).unwrap();
        (ending, machine.points(), machine.hash())
    };
    assert_eq!(run(), run());
}

#[test]
fn who_waits_for_time_is_said() {
    let mut machine = case("tscloop");
    let mut choose = random(1);
    // Until vCPU 0 waits for time: its pauses are then longer than a point.
    while machine.next_look().is_none() {
        let points = machine.points() + 1;
        assert_eq!(machine.run(&mut choose, points).unwrap(), End::Budget);
    }
    let waiters = machine.waiters().unwrap();
    assert!(matches!(waiters[0].waits, Waits::ForTime(_)), "{waiters:?}");
}
