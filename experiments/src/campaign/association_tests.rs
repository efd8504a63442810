use super::*;

fn close(actual: f64, expected: f64) {
    assert!((actual - expected).abs() < 5e-5, "{actual} instead of {expected}");
}

#[test]
fn factors_are_told_apart() {
    // All of the failures are of one value.
    let all = association(&[Rate::of(10, 10), Rate::of(0, 10)]).unwrap();
    close(all.chi_square, 20.0);
    close(all.cramers_v, 1.0);
    assert!(!all.too_few_runs);
    // None of them tells anything.
    let none = association(&[Rate::of(5, 10), Rate::of(10, 20)]).unwrap();
    close(none.cramers_v, 0.0);
    // R: chisq.test(matrix(c(12, 8, 5, 15), 2), correct = FALSE): 5.0128. By hand, the square of V
    // is (5.0128 / 40 - 1 / 39) / (1 - 1 / 39).
    let some = association(&[Rate::of(12, 20), Rate::of(5, 20)]).unwrap();
    close(some.chi_square, 5.01279);
    close(some.cramers_v, 0.31985);
    assert_eq!(some.degrees, 1);
}

/// Without the correction, V would be 0.53 here: ten values with two runs each, of which six have
/// one failure.
#[test]
fn many_values_with_few_runs_are_no_strong_factor() {
    let levels: Vec<_> = (0..10).map(|number| Rate::of(u64::from(number < 6), 2)).collect();
    let found = association(&levels).unwrap();
    assert!((found.chi_square / 20.0).sqrt() > 0.5, "{found:?}");
    assert_eq!((found.cramers_v, found.too_few_runs), (0.0, true));
    let two = association(&[Rate::of(1, 1), Rate::of(0, 1)]).unwrap();
    assert_eq!((two.cramers_v, two.too_few_runs), (0.0, true));
}

#[test]
fn the_reason_is_given_if_nothing_can_be_told() {
    for (levels, reason) in [
        (&[][..], NothingToTell::NoRuns),
        (&[Rate::of(0, 0), Rate::of(0, 0)], NothingToTell::NoRuns),
        (&[Rate::of(1, 5), Rate::of(0, 0)], NothingToTell::OneValue),
        (&[Rate::of(0, 5), Rate::of(0, 5)], NothingToTell::NoneFailed),
        (&[Rate::of(5, 5), Rate::of(3, 3)], NothingToTell::AllFailed),
    ] {
        assert_eq!(association(levels), Err(reason));
    }
}
