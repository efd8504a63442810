use std::time::Duration;

use super::{Overdue, RunawayTimer};

const fn ms(time: u64) -> Duration {
    Duration::from_millis(time)
}

/// The verdicts at alarms at these times, for a vCPU that is at this RIP.
fn alarms(timer: &mut RunawayTimer, rip: u64, times: &[u64]) -> Vec<Overdue> {
    times.iter().map(|time| timer.overdue_at(ms(*time), || Ok(rip)).unwrap()).collect()
}

#[test]
fn who_passes_no_point_is_looked_at_ever_less_often_and_runs_away() {
    use Overdue::{LookAtIt, No, RunAway};
    let mut timer = RunawayTimer::new().unwrap();
    let times = [0, 20, 40, 60, 80, 100, 120, 140, 160, 2000];
    let said = alarms(&mut timer, 0x1000, &times);
    assert_eq!(said, [No, LookAtIt, LookAtIt, No, LookAtIt, No, No, No, LookAtIt, RunAway]);
    timer.pass();
    assert_eq!(alarms(&mut timer, 0x1000, &[2020, 2040]), [No, LookAtIt], "it counts from anew");
    timer.set_limit(Some(ms(100)));
    assert_eq!(alarms(&mut timer, 0x1000, &[2120]), [RunAway]);
}

#[test]
fn who_is_in_a_loop_that_is_known_is_looked_at_at_once() {
    use Overdue::{LookAtIt, No};
    let mut timer = RunawayTimer::new().unwrap();
    timer.found([0x1000, 0x1002]).unwrap();
    assert_eq!(alarms(&mut timer, 0x2000, &[0, 1, 2, 4]), [No; 4], "that is elsewhere");
    timer.pass();
    assert_eq!(alarms(&mut timer, 0x1002, &[10, 11, 12, 13]), [No, LookAtIt, LookAtIt, No]);
    timer.pass();
    assert_eq!(alarms(&mut timer, 0x2000, &[20, 40]), [No, LookAtIt], "another one may be found");
}
