use super::*;

const WINDOW: Duration = Duration::from_secs(3);

/// A vCPU that runs at `rip`, with this much processor time.
fn runs(rip: u64, processor: Duration) -> Sample {
    Sample { rip, activity: Activity::Running, at_rest: false, processor }
}

fn sleeps(at_rest: bool) -> Sample {
    Sample { rip: 0x5000, activity: Activity::Halted, at_rest, processor: Duration::ZERO }
}

fn waits_for_sipi() -> Sample {
    Sample {
        rip: 0xfff0,
        activity: Activity::WaitForSipi,
        at_rest: false,
        processor: Duration::ZERO,
    }
}

/// The verdict on a guest.
#[derive(Debug, PartialEq)]
struct Verdict {
    watch: Watch,
    time: Duration,
    /// The earlier reports of starved vCPUs, with their times.
    starved: Vec<(Duration, Watch)>,
}

/// Runs a watchdog over a guest whose samples are given by `sample`; `None` if there is no verdict.
fn judge(
    until: Duration,
    mut activity: impl FnMut(Duration) -> u64,
    sample: impl Fn(u32, Duration) -> Vec<Sample>,
) -> Option<Verdict> {
    let mut watchdog = Watchdog::new(WINDOW);
    let mut tracks = vec![Track::default(); sample(0, Duration::ZERO).len()];
    let (mut now, mut starved) = (Duration::ZERO, Vec::new());
    for step in 0.. {
        if now > until {
            assert_eq!(starved, [], "nothing is said of a guest that lives");
            return None;
        }
        let watch = watchdog.look(now, activity(now), &tracks);
        match watch {
            Watch::Wait => {}
            Watch::Restart => tracks.fill(Track::default()),
            Watch::Sample | Watch::Starved { .. } => {
                tracks.iter_mut().zip(sample(step, now)).for_each(|(track, s)| track.add(&s));
            }
            Watch::Hung | Watch::Quiet => return Some(Verdict { watch, time: now, starved }),
        }
        if let Watch::Starved { .. } = watch {
            starved.push((now, watch));
        }
        now += watchdog.interval();
    }
    None
}

fn hung(verdict: Option<Verdict>) -> Duration {
    let verdict = verdict.expect("a verdict");
    assert_eq!((verdict.watch, verdict.starved), (Watch::Hung, vec![]));
    verdict.time
}

#[test]
fn two_spinning_vcpus_hang_after_their_window() {
    let two = |step, now| vec![runs(0x1000 + u64::from(step % 3), now), runs(0x2000, now)];
    let time = hung(judge(WINDOW * 2, |_| 7, two));
    assert!(time >= WINDOW && time < WINDOW + WINDOW / 5, "{time:?}");
}

#[test]
fn exits_are_a_sign_of_life() {
    let one = |_, now| vec![runs(0x1000, now)];
    assert_eq!(judge(WINDOW * 4, |now| now.as_secs() / 2, one), None);
}

#[test]
fn one_vcpu_that_gets_about_is_a_sign_of_life() {
    let two = |step, now| vec![runs(0x1000, now), runs(u64::from(step), now)];
    assert_eq!(judge(WINDOW * 4, |_| 7, two), None);
}

#[test]
fn the_window_begins_at_the_last_sign_of_life() {
    let alive = Duration::from_secs(2);
    let time = hung(judge(WINDOW * 4, |now| now.min(alive).as_secs(), |_, now| vec![runs(1, now)]));
    assert!(time >= WINDOW + alive, "{time:?}");
}

#[test]
fn no_verdict_without_samples() {
    let mut watchdog = Watchdog::new(WINDOW);
    watchdog.look(Duration::ZERO, 1, &[Track::default()]);
    assert_eq!(watchdog.look(WINDOW * 10, 1, &[Track::default()]), Watch::Sample);
}

/// 256 CPUIDs of some milliseconds each, on a host that gives the vCPU a tenth of a processor.
#[test]
fn a_starved_vcpu_is_not_stuck() {
    let work = Duration::from_secs(1);
    let two = |step: u32, now: Duration| {
        let done = now / 10;
        let rip = if done < work { 0x1000 } else { u64::from(step) };
        vec![runs(rip, done), sleeps(true)]
    };
    // At the end of its loop it moves on.
    let mut watchdog = Watchdog::new(WINDOW);
    let mut tracks = vec![Track::default(); 2];
    let mut said = Vec::new();
    for step in 0..1000 {
        let now = watchdog.interval() * step;
        match watchdog.look(now, 7, &tracks) {
            Watch::Wait => {}
            Watch::Restart => tracks.fill(Track::default()),
            Watch::Starved { time, vcpus } => said.push((time, vcpus)),
            Watch::Sample => {
                tracks.iter_mut().zip(two(step, now)).for_each(|(track, s)| track.add(&s));
            }
            verdict => panic!("{verdict:?} at {now:?}"),
        }
    }
    let [(time, vcpus)] = &said[..] else { panic!("{said:?}") };
    assert!(*time >= WINDOW * 3 && *time < WINDOW * 3 + watchdog.interval() * 2, "{time:?}");
    assert!(matches!(vcpus[..], [(0, processor)] if processor < work), "{vcpus:?}");
}

/// A starved vCPU that finally gets its time.
#[test]
fn a_starved_vcpu_that_is_stuck_hangs_later() {
    let verdict =
        judge(WINDOW * 9, |_| 7, |_, now| vec![runs(0x1000, now / 4)]).expect("a verdict");
    assert_eq!(verdict.watch, Watch::Hung);
    assert!(verdict.time >= WINDOW * 4 && verdict.time < WINDOW * 5, "{verdict:?}");
    assert_eq!(verdict.starved.len(), 1, "said once");
}

#[test]
fn who_idles_is_quiet() {
    let verdict = judge(WINDOW * 2, |_| 7, |_, _| vec![sleeps(true), waits_for_sipi()]);
    let verdict = verdict.expect("a verdict");
    assert_eq!((verdict.watch, verdict.starved), (Watch::Quiet, vec![]));
    assert!(verdict.time >= WINDOW && verdict.time < WINDOW + WINDOW / 5);
    // Its timer wakes it now and then.
    let ticks = |step: u32, _| {
        vec![if step.is_multiple_of(8) { runs(0x6000, Duration::ZERO) } else { sleeps(true) }]
    };
    assert_eq!(judge(WINDOW * 2, |_| 7, ticks).map(|verdict| verdict.watch), Some(Watch::Quiet));
}

/// A fast timer: its interrupt is pending at most samples.
#[test]
fn a_tick_that_is_pending_now_and_then_is_no_sign_of_death() {
    let ticks = |step: u32, _| vec![sleeps(step.is_multiple_of(4)), sleeps(true)];
    assert_eq!(judge(WINDOW * 2, |_| 7, ticks).map(|verdict| verdict.watch), Some(Watch::Quiet));
}

#[test]
fn who_sleeps_for_good_or_beside_one_who_spins_hangs() {
    hung(judge(WINDOW * 2, |_| 7, |_, _| vec![sleeps(false), waits_for_sipi()]));
    hung(judge(WINDOW * 2, |_| 7, |_, now| vec![sleeps(true), runs(0x1000, now)]));
    hung(judge(WINDOW * 2, |_| 7, |_, _| vec![sleeps(true), sleeps(false)]));
}

/// Asleep half of the time: the vCPU has used little time because it didn't need more.
#[test]
fn who_sleeps_often_is_neither_stuck_nor_starved() {
    let half = |step: u32, now: Duration| {
        vec![if step.is_multiple_of(2) { runs(0x6000, now / 10) } else { sleeps(true) }]
    };
    assert_eq!(judge(WINDOW * 6, |_| 7, half), None);
}

#[test]
fn a_track_has_bounds() {
    let mut track = Track::default();
    for rip in 0..1000 {
        track.add(&runs(rip % 40, Duration::ZERO));
    }
    assert_eq!(track.rips().len(), MAX_LOOP_RIPS + 1);
    assert_eq!(track.standing(WINDOW), Standing::Moves);
}
