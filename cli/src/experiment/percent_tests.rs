use super::*;

#[test]
fn percentages_stay_true() {
    for (rate, round, expected) in [
        (0.0, Round::Up, "0 %"),
        (1.0, Round::Down, "100 %"),
        (0.5, Round::Nearest, "50.0 %"),
        (0.072_157, Round::Up, "7.3 %"),
        (0.072_157, Round::Down, "7.2 %"),
        (0.128_8, Round::Up, "12.9 %"),
        (0.25, Round::Up, "25.0 %"),
        (0.07, Round::Up, "7.0 %"),
        (0.004_427, Round::Down, "0.44 %"),
        (0.000_029_9, Round::Up, "0.0030 %"),
        (199_999.0 / 200_000.0, Round::Nearest, "99.99950 %"),
        (0.999_96, Round::Up, "99.9960 %"),
        (0.999_961_1, Round::Up, "99.9962 %"),
    ] {
        assert_eq!(percent(rate, round), expected, "{rate} {round:?}");
    }
}
