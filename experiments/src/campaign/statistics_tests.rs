use super::*;

fn close(actual: f64, expected: f64) {
    assert!((actual - expected).abs() < 5e-5, "{actual} instead of {expected}");
}

/// The values are those of R 4: `prop.test(k, n, correct = FALSE)$conf.int`.
#[test]
fn wilsons_intervals() {
    for (failed, runs, low, high) in [
        (0, 10, 0.0, 0.27753),
        (1, 10, 0.01788, 0.40415),
        (10, 10, 0.72247, 1.0),
        (15, 20, 0.53130, 0.88814),
        (14, 3500, 0.00238, 0.00670),
    ] {
        let (actual_low, actual_high) = wilson(failed, runs);
        close(actual_low, low);
        close(actual_high, high);
    }
}

#[test]
fn no_failure_has_an_upper_bound() {
    close(upper_bound(1), 0.95);
    close(upper_bound(60), 0.04870);
    // The rule of three.
    close(upper_bound(100_000), 3.0 / 100_000.0);
    let rate = Rate::of(0, 60);
    assert!(rate.below.is_some() && rate.rate == Some(0.0), "{rate:?}");
    assert_eq!(Rate::of(1, 60).below, None);
    assert_eq!(Rate::of(0, 0), Rate::default());
}

#[test]
fn a_cell_that_is_run_until_its_last_failure() {
    let runs = |text: &str| text.chars().map(|run| run == 'F').collect::<Vec<_>>();
    let rate = Rate::until(2, &runs("..F.F"));
    assert_eq!((rate.runs, rate.failed, rate.until_last), (5, 2, Some(5)));
    assert_eq!(rate.rate, Some(0.25));
    // The run that was in progress beside the last failure doesn't count.
    let beside = Rate::until(2, &runs("..F.F.F"));
    assert_eq!((beside.runs, beside.failed, beside.until_last), (7, 3, Some(5)));
    assert_eq!((beside.rate, beside.low, beside.high), (rate.rate, rate.low, rate.high));
    assert_eq!(Rate::until(2, &runs("..F")), Rate::of(1, 3));
    let together = Rate::together(&[rate, Rate::of(1, 5)]);
    assert_eq!((together.rate, together.low, together.too_high), (Some(0.3), None, true));
    assert_eq!(Rate::together(&[rate]), rate);
    assert_eq!(Rate::together(&[Rate::of(1, 5), Rate::of(2, 5)]), Rate::of(3, 10));
}

#[test]
fn medians() {
    assert_eq!(median(vec![]), None);
    assert_eq!(median(vec![3.0]), Some(3.0));
    assert_eq!(median(vec![3.0, 1.0]), Some(2.0));
    assert_eq!(median(vec![5.0, 1.0, 2.0]), Some(2.0));
}
