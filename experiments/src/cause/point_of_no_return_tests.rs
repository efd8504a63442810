use super::*;

fn samples(rates: &[(usize, u32)]) -> Vec<Sample> {
    let sample = |(steps, failed): &(usize, u32)| Sample {
        steps: *steps,
        rate: FailureRate { runs: 10, failed: *failed, ..FailureRate::default() },
    };
    rates.iter().map(sample).collect()
}

fn jumps_at(rates: &[(usize, u32)]) -> Option<(usize, usize)> {
    jump(&samples(rates)).map(|(before, behind)| (before.steps, behind.steps))
}

#[test]
fn it_is_inevitable_behind_the_last_way_out() {
    assert_eq!(jumps_at(&[(0, 2), (4, 9), (5, 10), (9, 10)]), Some((4, 5)));
    // A rate that rises and falls again is not a point of no return.
    assert_eq!(jumps_at(&[(0, 2), (4, 10), (5, 8), (9, 10)]), Some((5, 9)));
    assert_eq!(jumps_at(&[(0, 10), (9, 10)]), None);
    assert_eq!(jumps_at(&[]), None);
}
