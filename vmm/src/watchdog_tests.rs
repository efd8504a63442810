use super::*;

const WINDOW: Duration = Duration::from_secs(3);

/// Runs a watchdog over a guest whose vCPUs are where `rip` says; the time of the verdict.
fn judge(
    until: Duration,
    mut activity: impl FnMut(u32) -> u64,
    rip: impl Fn(u32) -> Vec<u64>,
) -> Option<Duration> {
    let mut watchdog = Watchdog::new(WINDOW);
    let mut samples = vec![Vec::new(); rip(0).len()];
    let mut now = Duration::ZERO;
    for step in 0.. {
        if now > until {
            return None;
        }
        match watchdog.look(now, activity(step), &samples) {
            Watch::Wait => {}
            Watch::Restart => samples.iter_mut().for_each(Vec::clear),
            Watch::Sample => samples.iter_mut().zip(rip(step)).for_each(|(s, r)| s.push(r)),
            Watch::Hung => return Some(now),
        }
        now += watchdog.interval();
    }
    None
}

#[test]
fn two_spinning_vcpus_hang_after_the_window() {
    let hung = judge(WINDOW * 2, |_| 7, |step| vec![0x1000 + u64::from(step % 3), 0x2000]).unwrap();
    assert!(hung >= WINDOW && hung < WINDOW + WINDOW / 10, "{hung:?}");
}

#[test]
fn exits_are_a_sign_of_life() {
    assert_eq!(judge(WINDOW * 4, |step| u64::from(step / 20), |_| vec![0x1000]), None);
}

#[test]
fn one_vcpu_that_gets_about_is_a_sign_of_life() {
    assert_eq!(judge(WINDOW * 4, |_| 7, |step| vec![0x1000, u64::from(step)]), None);
}

#[test]
fn the_window_begins_at_the_last_sign_of_life() {
    let hung = judge(WINDOW * 4, |step| u64::from(step.min(30)), |_| vec![0x1000]).unwrap();
    assert!(hung > WINDOW + Watchdog::new(WINDOW).interval() * 29, "{hung:?}");
}

#[test]
fn no_verdict_without_samples() {
    let mut watchdog = Watchdog::new(WINDOW);
    watchdog.look(Duration::ZERO, 1, &[vec![]]);
    assert_eq!(watchdog.look(WINDOW * 10, 1, &[vec![]]), Watch::Sample);
}
