use super::*;

fn all(vcpus: u32) -> Vec<Choice> {
    (0..vcpus).map(Choice::Step).collect()
}

/// Runs `points` points with everything enabled; who ran.
fn run(pct: &mut Pct, run: u64, points: u64) -> Vec<u32> {
    let enabled = all(3);
    pct.begin(run, points);
    (0..points)
        .map(|number| {
            pct.choose(&Point { number, enabled: &enabled, last: None, rip: 0, hash: 0 }).vcpu()
        })
        .collect()
}

#[test]
fn depth_1_never_switches_on_its_own() {
    let mut pct = Pct::new(1, 3, 1);
    let mut first = [0; 3];
    for number in 0..300 {
        let ran = run(&mut pct, number, 50);
        assert!(ran.iter().all(|vcpu| *vcpu == ran[0]));
        first[ran[0] as usize] += 1;
    }
    assert!(first.iter().all(|count| (70..130).contains(count)), "{first:?}");
}

#[test]
fn depth_d_switches_at_d_minus_1_points_anywhere() {
    let mut pct = Pct::new(1, 3, 2);
    let mut early = 0;
    for number in 0..300 {
        let ran = run(&mut pct, number, 50);
        let switches: Vec<_> = (1..50).filter(|i| ran[*i] != ran[i - 1]).collect();
        assert!(switches.len() <= 1, "{switches:?}");
        early += usize::from(switches.first().is_some_and(|at| *at < 25));
    }
    assert!((100..200).contains(&early), "{early}");
}

#[test]
fn a_run_can_be_had_again() {
    let mut pct = Pct::new(9, 3, 3);
    let seventh = run(&mut pct, 7, 50);
    run(&mut pct, 8, 50);
    assert_eq!(run(&mut pct, 7, 50), seventh);
}

#[test]
fn a_spinner_is_lowered_in_the_end() {
    let mut pct = Pct::new(1, 3, 1);
    let ran = run(&mut pct, 0, 2 * SPINNING + 10);
    assert_ne!(ran[0], *ran.last().unwrap());
}
