use super::*;

fn difference(difference: f64, low: f64, high: f64, p: f64, told: bool) -> Difference {
    Difference { difference, low, high, p, adjusted_p: p, told }
}

#[test]
fn bounds_are_rounded_outwards() {
    let text = points(&difference(0.123, 0.0501, 0.0999, 0.01, true));
    assert_eq!(text, "+12.3 (+5.0 to +10.0)");
    let text = points(&difference(-1.0, -1.0, -0.6075, 0.01, true));
    assert_eq!(text, "-100.0 (-100.0 to -60.7)");
    let text = points(&difference(-0.2, -0.3001, -0.0999, 0.01, true));
    assert_eq!(text, "-20.0 (-30.1 to -9.9)");
}

#[test]
fn a_verdict_has_a_direction() {
    assert_eq!(verdict(&difference(0.2, 0.1, 0.3, 0.01, true)), "B fails more often");
    assert_eq!(verdict(&difference(-0.2, -0.3, -0.1, 0.01, true)), "B fails less often");
    assert_eq!(verdict(&difference(0.2, -0.1, 0.3, 0.2, false)), "no difference can be told");
    assert_eq!((&*p_value(0.05), &*p_value(1e-9)), ("0.0500", "< 0.0001"));
}
