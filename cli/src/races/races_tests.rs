use super::*;

#[test]
fn an_interrupted_run_is_no_run_in_which_a_variable_was_not_found() {
    let missing = |runs: &[bool]| {
        let mut found = Found::default();
        for interrupted in runs {
            found.miss(vec![("a".into(), "no a".into())], *interrupted);
        }
        found.missing.first().map(|it| it.runs)
    };
    assert_eq!(missing(&[]), None);
    assert_eq!(missing(&[true]), Some(0), "it is named");
    assert_eq!(missing(&[false, false, true]), Some(2));
}
