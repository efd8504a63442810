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

#[test]
fn no_variable_is_covered_by_another_s_accesses() {
    let tally = |reads: [u64; 2], writes: [u64; 2]| Tally {
        reads: reads.into(),
        writes: writes.into(),
        holds: 1,
        ..Tally::default()
    };
    let mut found = Found { tally: tally([1, 1], [2, 1]), ..Found::default() };
    let [seen, one] = [tally([1, 0], [1, 1]), tally([0, 1], [1, 0])];
    let named = |name: &str, tally: &Tally| (name.to_owned(), tally.clone());
    found.look_at(vec![named("a", &seen), named("b", &Tally::default())]);
    assert!(found.blind().is_none() && found.sees_less_than_all());
    assert_eq!(found.blind_by_reason(), [("never accessed", vec!["b"])]);
    // In another run, by one vCPU.
    let own = tally([0, 0], [1, 0]);
    found.look_at(vec![named("a", &seen), named("b", &own), named("c", &own)]);
    assert_eq!(found.blind_by_reason(), [("accessed by one vCPU only", vec!["b", "c"])]);
    // And then by the other one.
    found.look_at(vec![named("b", &one), named("c", &one)]);
    assert!(found.blind_by_reason().is_empty() && !found.sees_less_than_all());
    // Two vCPUs, each with a variable of its own.
    let mut apart = Found { tally: tally([0, 0], [1, 1]), ..Found::default() };
    apart.look_at(vec![named("a", &own), named("b", &tally([0, 0], [0, 1]))]);
    assert_eq!(apart.blind(), Some("on no variable could one have been seen"));
}

#[test]
fn a_variable_that_was_refused_later_is_no_pass() {
    let mut found = Found { tally: Tally::default(), ..Found::default() };
    let seen = Tally { writes: vec![1, 1], reads: vec![0, 0], holds: 1, ..Tally::default() };
    (found.tally, found.runs) = (seen.clone(), 2);
    found.look_at(vec![("a".into(), seen)]);
    assert!(!found.sees_less_than_all());
    for reason in ["page tables", "two a"] {
        found.refuse(vec![("a".into(), reason.into())]);
    }
    assert!(found.sees_less_than_all());
    let [refused] = &found.refused[..] else { panic!("one variable") };
    assert_eq!((refused.runs, &*refused.reason), (2, "two a"));
}
