use super::*;

/// Gives points to a follower: the enabled vCPUs, and where the last one is. Returns its choices.
fn choices(schedule: &str, ends: &[&str], points: &[(&[u32], u64)]) -> (String, Vec<String>) {
    let schedule: Schedule = schedule.parse().unwrap();
    let ends = ends.iter().map(|end| end.parse().unwrap());
    let segments: Vec<_> = schedule.segments().iter().copied().zip(ends).collect();
    let mut follower = Follower {
        switches: segments.len(),
        segments,
        next: 0,
        started: false,
        visits: VisitCounter::new(None),
        missed: Vec::new(),
    };
    let mut last = None;
    let mut chosen = Schedule::default();
    for (enabled, rip) in points {
        let enabled: Vec<_> = enabled.iter().map(|vcpu| Choice::Step(*vcpu)).collect();
        let choice = follower.choose(&Point {
            number: 0,
            enabled: &enabled,
            faults: &[],
            last,
            rip: *rip,
            hash: 0,
        });
        last = Some(choice.vcpu());
        chosen.push(choice);
    }
    (chosen.to_string(), follower.missed.iter().map(Miss::to_string).collect())
}

const BOTH: &[u32] = &[0, 1];

#[test]
fn a_stretch_ends_at_its_place_however_long_it_takes() {
    let points = [(BOTH, 0), (BOTH, 1), (BOTH, 8), (BOTH, 2), (BOTH, 8), (BOTH, 3), (BOTH, 3)];
    let (chosen, missed) = choices("0@2>1@9", &["0x8 #2", "-"], &points);
    assert_eq!((chosen.as_str(), missed.len()), ("0@4>1@3", 0));
}

#[test]
fn who_was_blocked_goes_on_until_it_is() {
    let points = [(BOTH, 0), (BOTH, 1), (&[1], 2), (&[1], 3)];
    let (chosen, missed) = choices("0@9>1@1", &["blocked", "-"], &points);
    assert_eq!((chosen.as_str(), missed.len()), ("0@2>1@2", 0));
}

#[test]
fn what_is_missed_is_told_and_the_rest_goes_on() {
    // vCPU 0 never comes to 0x8, vCPU 1 can't go on at its turn, and no interrupt is pending.
    let points = [(BOTH, 0), (BOTH, 1), (&[1], 2), (&[0], 3), (&[0], 3), (BOTH, 4)];
    let ends = ["0x8 #1", "0x9 #3", "-", "-", "-"];
    let (chosen, missed) = choices("0@3>1@1>0!>1@2>0@1", &ends, &points);
    assert_eq!(chosen, "0@2>1@1>0@3");
    assert_eq!(
        missed,
        [
            "vCPU 0 never came to 0x8 (segment 1 of the schedule)",
            "vCPU 1 never came to 0x9 3 times (segment 2 of the schedule)",
            "vCPU 0's interrupt couldn't go on there (segment 3 of the schedule)",
            "vCPU 1 couldn't go on there (segment 4 of the schedule)",
        ]
    );
}
