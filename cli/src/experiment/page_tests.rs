use super::*;

#[test]
fn names_can_end_no_element() {
    assert_eq!(html("<script>&\"'"), "&lt;script&gt;&amp;&quot;&#39;");
    assert_eq!(html("a\u{1b}b"), "a\\u{1b}b");
}

#[test]
fn axes_have_round_numbers() {
    for (most, steps, step) in
        [(1.0, 5.0, 0.2), (0.9, 6.0, 0.2), (0.034, 5.0, 0.01), (70.0, 6.0, 20.0)]
    {
        assert!((svg::nice_step(most, steps) - step).abs() < step * 1e-9, "{most}");
    }
    assert_eq!((&*rates::trimmed(20.0), &*rates::trimmed(0.5)), ("20", "0.5"));
}

/// A curve without failures, and one whose runs all fail at once.
#[test]
fn curves_end_where_their_runs_do() {
    use experiments::campaign::Outcome::{self, Failed, Limited, Passed};
    let curve =
        |name: &str, runs: &[(f64, Outcome)]| Curve { name: name.into(), runs: runs.into() };
    assert!(curves::chart(&[curve("a", &[(1.0, Passed)])], "").is_none());
    let curves = [
        curve("passes", &[(0.1, Passed), (0.2, Passed)]),
        curve("fails", &[(1.0, Failed)]),
        curve("goes on", &[(0.5, Limited)]),
    ];
    let chart = curves::chart(&curves, "").unwrap();
    assert!(
        chart.contains("0 of 2 runs failed") && chart.contains("1 of 1 runs failed"),
        "{chart}"
    );
    let path = |curve: usize| {
        let path = chart.split(&format!("curve c{curve}\" d=\"")).nth(1).unwrap();
        path.split('"').next().unwrap().to_owned()
    };
    // The axis ends at 1.2 s.
    assert_eq!(path(0), "M64.0 14.0H640.0");
    assert_eq!(path(1), "M64.0 14.0H544.0V300.0H640.0");
    assert_eq!(path(2), "M64.0 14.0H304.0");
    assert_eq!(chart.matches("\"mark c2\"").count(), 1, "{chart}");
}
