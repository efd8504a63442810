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
fn factors_are_told_apart() {
    // All of the failures are of one value.
    let all = association(&[Rate::of(10, 10), Rate::of(0, 10)]).unwrap();
    close(all.chi_square, 20.0);
    close(all.cramers_v, 1.0);
    // None of them tells anything.
    let none = association(&[Rate::of(5, 10), Rate::of(10, 20)]).unwrap();
    close(none.cramers_v, 0.0);
    // R: chisq.test(matrix(c(12, 8, 5, 15), 2), correct = FALSE): 5.0128.
    let some = association(&[Rate::of(12, 20), Rate::of(5, 20)]).unwrap();
    close(some.chi_square, 5.01279);
    close(some.cramers_v, 0.35401);
    assert_eq!(some.degrees, 1);
    for nothing in [
        &[Rate::of(1, 2)][..],
        &[Rate::of(0, 5), Rate::of(0, 5)],
        &[Rate::of(5, 5), Rate::of(3, 3)],
        &[Rate::of(1, 5), Rate::of(0, 0)],
    ] {
        assert_eq!(association(nothing), None);
    }
}

#[test]
fn medians() {
    assert_eq!(median(vec![]), None);
    assert_eq!(median(vec![3.0]), Some(3.0));
    assert_eq!(median(vec![3.0, 1.0]), Some(2.0));
    assert_eq!(median(vec![5.0, 1.0, 2.0]), Some(2.0));
}
