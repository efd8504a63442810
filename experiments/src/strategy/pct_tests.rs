use super::*;

fn all(vcpus: u32) -> Vec<Choice> {
    (0..vcpus).map(Choice::Step).collect()
}

/// Makes a run of `points` points at which every vCPU is enabled; returns which vCPU ran at each.
fn run(pct: &mut Pct, run: u64, depth: u32, points: u64) -> Vec<u32> {
    let enabled = all(3);
    pct.start(run, depth, points);
    (0..points)
        .map(|number| {
            pct.choose(&Point {
                number,
                enabled: &enabled,
                faults: &[],
                last: None,
                rip: 0,
                hash: 0,
            })
            .vcpu()
        })
        .collect()
}

#[test]
fn depth_1_never_switches_on_its_own() {
    let mut pct = Pct::new(1, 3);
    let mut first = [0; 3];
    for number in 0..300 {
        let ran = run(&mut pct, number, 1, 50);
        assert!(ran.iter().all(|vcpu| *vcpu == ran[0]));
        first[ran[0] as usize] += 1;
    }
    assert!(first.iter().all(|count| (70..130).contains(count)), "{first:?}");
}

#[test]
fn depth_d_switches_at_d_minus_1_points_anywhere() {
    let mut pct = Pct::new(1, 3);
    let mut early = 0;
    for number in 0..300 {
        let ran = run(&mut pct, number, 2, 50);
        let switches: Vec<_> = (1..50).filter(|i| ran[*i] != ran[i - 1]).collect();
        assert!(switches.len() <= 1, "{switches:?}");
        early += usize::from(switches.first().is_some_and(|at| *at < 25));
    }
    assert!((100..200).contains(&early), "{early}");
}

#[test]
fn a_run_can_be_had_again() {
    let mut pct = Pct::new(9, 3);
    let seventh = run(&mut pct, 7, 3, 50);
    run(&mut pct, 8, 3, 50);
    assert_eq!(run(&mut pct, 7, 3, 50), seventh);
}

#[test]
fn a_spinner_is_lowered_in_the_end() {
    let mut pct = Pct::new(1, 3);
    let ran = run(&mut pct, 0, 1, 2 * SPINNING + 10);
    assert_ne!(ran[0], *ran.last().unwrap());
}

/// Makes a run of threads with these numbers of steps. Returns the threads in the order of their
/// steps, and the number of choices.
fn play(pct: &mut Pct, run: u64, depth: u32, length: u64, steps: [u64; 3]) -> (Vec<u32>, u64) {
    pct.start(run, depth, length);
    let (mut left, mut made, mut choices) = (steps, Vec::new(), 0);
    while left.iter().any(|steps| *steps > 0) {
        let enabled: Vec<_> =
            (0..3).filter(|thread| left[*thread as usize] > 0).map(Choice::Step).collect();
        choices += u64::from(enabled.len() > 1);
        let point =
            Point { number: 0, enabled: &enabled, faults: &[], last: None, rip: 0, hash: 0 };
        let thread = pct.choose(&point).vcpu();
        left[thread as usize] -= 1;
        made.push(thread);
    }
    (made, choices)
}

/// The pattern of an ABA bug: between two steps of thread 0, thread 1 does something, thread 2 does
/// something, and thread 1 undoes its own step. Thread 1 is preempted after thread 0, and has to
/// continue before it.
#[test]
fn a_bug_of_depth_3_is_found_as_often_as_promised() {
    const RUNS: u64 = 40_000;
    let steps = [9, 8, 7];
    let mut pct = Pct::new(1, 3);
    let (mut length, mut hits) = (0, 0);
    for run in 0..RUNS {
        let depth = (run / ROUND + 1).min(3) as u32;
        let (made, choices) = play(&mut pct, run, depth, length, steps);
        if run < 2 * ROUND {
            length = length.max(choices);
        }
        // When the thread made its n-th step.
        let when = |thread: u32, step: usize| {
            made.iter().enumerate().filter(|(_, made)| **made == thread).nth(step).unwrap().0
        };
        let (start, end) = (when(0, 3), when(0, 4));
        hits += u64::from([start, when(1, 2), when(2, 3), when(1, 6), end].is_sorted());
    }
    let rate = hits as f64 / RUNS as f64;
    let k: u64 = steps.iter().sum();
    let floor = 1.0 / (3 * k * k) as f64;
    assert!(rate > floor, "{hits} hits, floor {floor}");
}

#[test]
fn points_without_an_alternative_are_not_counted() {
    let mut pct = Pct::new(1, 3);
    for run in 16..100 {
        // Only one vCPU is enabled at first, for longer than the length.
        pct.start(run, 2, 4);
        let alone = [Choice::Step(2)];
        for number in 0..50 {
            pct.choose(&Point {
                number,
                enabled: &alone,
                faults: &[],
                last: None,
                rip: 0,
                hash: 0,
            });
        }
        let enabled = all(3);
        let ran: Vec<_> = (0..4)
            .map(|number| {
                pct.choose(&Point {
                    number,
                    enabled: &enabled,
                    faults: &[],
                    last: None,
                    rip: 0,
                    hash: 0,
                })
            })
            .collect();
        let changed = pct.priorities.values().filter(|priority| **priority < MIDDLE).count();
        assert_eq!(changed, 1, "{ran:?}");
    }
}
