use std::io;

use super::*;

#[test]
fn costs_have_two_significant_figures() {
    let shown = [0.0, 0.312, 1.0, 9.96, 12.6, 123.0, 999.0, 1049.0, 12_345.0, 4_830_000.0, 2.04e9]
        .map(|nanoseconds| Cost::new(nanoseconds).to_string());
    let wanted = [
        "0 ns", "0.31 ns", "1.0 ns", "10 ns", "13 ns", "120 ns", "1.0 us", "1.0 us", "12 us",
        "4.8 ms", "2.0 s",
    ];
    assert_eq!(shown, wanted);
}

#[test]
fn differences_are_never_negative() {
    assert_eq!(Cost::new(1.0).above(Cost::new(2.0)), Cost::new(0.0));
}

#[test]
fn quantiles_of_few_samples() {
    let samples: Samples = [3, 1, 2].map(Duration::from_nanos).into_iter().collect();
    assert_eq!(samples.median(), Cost::new(2.0));
    assert_eq!(samples.quantile(0.99), Cost::new(3.0));
    assert_eq!(Samples::default().median(), Cost::new(0.0));
}

#[test]
fn a_call_that_says_no_is_a_finding_and_another_error_is_the_self_tests_own() {
    let outcome = |errno| {
        let source = io::Error::from_raw_os_error(errno);
        Outcome::from(Stop::Failed(Error::Kvm { call: "KVM_NMI", source }))
    };
    assert_eq!(outcome(libc::EINVAL).verdict, Verdict::Missing);
    let broken = outcome(libc::ENOMEM);
    assert_eq!(broken.verdict, Verdict::Untested);
    assert!(broken.detail.contains("KVM_NMI failed: Cannot allocate"), "{}", broken.detail);
}
