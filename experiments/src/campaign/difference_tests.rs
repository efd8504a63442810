use super::*;

fn close(actual: f64, expected: f64, error: f64) {
    assert!((actual - expected).abs() <= error, "{actual} instead of {expected}");
}

/// The examples of Newcombe 1998, table II, row 10. There the difference is the first rate less
/// the second.
#[test]
fn newcombes_examples() {
    for ((k, n), (l, m), low, high) in [
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((6, 7), (2, 7), 0.0582, 0.8062),
        ((5, 56), (0, 29), -0.0381, 0.1926),
        ((0, 10), (0, 20), -0.1611, 0.2775),
        ((0, 10), (0, 10), -0.2775, 0.2775),
        ((10, 10), (0, 20), 0.6791, 1.0),
        ((10, 10), (0, 10), 0.6075, 1.0),
    ] {
        let (minuend, subtrahend) = (Rate::of(k, n), Rate::of(l, m));
        let (difference, actual_low, actual_high) = interval(&subtrahend, &minuend).unwrap();
        close(difference, k as f64 / n as f64 - l as f64 / m as f64, 1e-12);
        close(actual_low, low, 5e-5);
        close(actual_high, high, 5e-5);
    }
    assert_eq!(interval(&Rate::of(1, 2), &Rate::default()), None);
}

/// Fisher's lady tasting tea (1935) and convictions of like-sexed twins (1962), with the values of
/// `fisher.test` of R for two sides; and sums over all tables by integers.
#[test]
fn fishers_examples() {
    for ((k, n), (l, m), p) in [
        ((3, 4), (1, 4), 0.485_714_285_714),
        ((2, 17), (10, 13), 0.000_536_724_119),
        ((10, 13), (2, 17), 0.000_536_724_119),
        ((1, 20), (9, 20), 0.008_361_734_168),
        ((300, 1000), (400, 1000), 3.371_699_707e-6),
        ((0, 10), (0, 20), 1.0),
        ((10, 10), (20, 20), 1.0),
        ((0, 0), (3, 7), 1.0),
    ] {
        let actual = fisher(&Rate::of(k, n), &Rate::of(l, m));
        close(actual, p, p * 1e-9);
    }
    // Far away from any number with an exponent.
    let tiny = fisher(&Rate::of(0, 100_000), &Rate::of(100_000, 100_000));
    assert!((0.0..1e-300).contains(&tiny), "{tiny}");
}

/// The example of Holm's article has other numbers of tests; these are R's
/// `p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm")`.
#[test]
fn holms_adjustment() {
    let adjusted = holm(&[0.01, 0.04, 0.03, 0.005]);
    for (actual, expected) in adjusted.iter().zip([0.03, 0.06, 0.06, 0.02]) {
        close(*actual, expected, 1e-12);
    }
    assert_eq!(holm(&[0.9, 0.8]), [1.0, 1.0]);
    assert_eq!(holm(&[0.04]), [0.04]);
    assert!(holm(&[]).is_empty());
}
