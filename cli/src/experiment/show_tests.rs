use super::*;

#[test]
fn control_characters_are_escaped() {
    let mut text = String::new();
    line(&mut text, "a\u{1b}[31m\nb \u{e9}");
    assert_eq!(text, "a\\u{1b}[31m\\nb \u{e9}\n");
}

#[test]
fn the_reason_is_given_if_nothing_can_be_told() {
    let mut factor = FactorReport {
        factor: "cpus".into(),
        association: None,
        nothing_to_tell: None,
        levels: Vec::new(),
    };
    for (reason, expected) in [
        (NothingToTell::NoRuns, "nothing to tell: there are no runs"),
        (NothingToTell::OneValue, "nothing to tell: only one value has runs"),
        (NothingToTell::NoneFailed, "nothing to tell: no run failed"),
        (NothingToTell::AllFailed, "nothing to tell: all runs failed"),
    ] {
        factor.nothing_to_tell = Some(reason);
        assert_eq!(strength(&factor), expected);
    }
}
