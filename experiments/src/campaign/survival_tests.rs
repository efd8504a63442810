use super::*;

fn close(steps: &[Step], expected: &[(f64, f64)], error: f64) {
    assert_eq!(steps.len(), expected.len(), "{steps:?}");
    for (step, (seconds, survival)) in steps.iter().zip(expected) {
        assert!((step.seconds - seconds).abs() < 1e-9, "{step:?}");
        assert!((step.survival - survival).abs() < error, "{step:?}");
    }
}

/// The remissions of leukaemia under 6-mercaptopurine (Freireich et al., Blood 21, 1963), in weeks,
/// with the estimates of Kaplan and Meier in Cox and Oakes, "Analysis of Survival Data", 1984.
#[test]
fn the_example_of_the_textbooks() {
    let failed = [6, 6, 6, 7, 10, 13, 16, 22, 23].map(|it| (f64::from(it), Outcome::Failed));
    let limited = [6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35];
    let limited = limited.map(|it| (f64::from(it), Outcome::Limited));
    let runs: Vec<_> = limited.into_iter().chain(failed).collect();
    let expected = [
        (6.0, 0.857),
        (7.0, 0.807),
        (10.0, 0.753),
        (13.0, 0.690),
        (16.0, 0.627),
        (22.0, 0.538),
        (23.0, 0.448),
    ];
    close(&survival(&runs), &expected, 5e-4);
}

/// One run passes, and one of the three others reaches the time limit: of the two that go on
/// behind the first failure, one is not seen to its end, so the last failure stands for both.
#[test]
fn runs_that_pass_never_fail() {
    use Outcome::{Failed, Limited, Passed};
    let runs = [(1.0, Passed), (2.0, Failed), (3.0, Limited), (4.0, Failed)];
    close(&survival(&runs), &[(2.0, 0.75), (4.0, 0.25)], 1e-12);
    // Without a time limit, the curve ends at the share that did not fail.
    let pass = |number: u32| (f64::from(number) / 100.0, Passed);
    let runs: Vec<_> = (0..46).map(pass).chain((1..5).map(|it| (f64::from(it), Failed))).collect();
    let last = survival(&runs).last().copied();
    assert!(last.is_some_and(|last| (last.survival - 0.92).abs() < 1e-12), "{last:?}");
}

#[test]
fn what_never_fails_has_no_step() {
    assert!(survival(&[]).is_empty());
    assert!(survival(&[(1.0, Outcome::Passed), (2.0, Outcome::Limited)]).is_empty());
    let one = survival(&[(1.0, Outcome::Failed)]);
    assert_eq!(one, [Step { seconds: 1.0, survival: 0.0 }]);
}
