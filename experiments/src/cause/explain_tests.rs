use super::*;
use crate::cause::testing::{found, host};

static NEVER: Cancel = Cancel::never();

fn question<'a>(
    host: &'a Host,
    (machine, finding): &'a (MachineConfig, Finding),
    limits: Limits,
) -> Question<'a> {
    Question { host, machine, finding, symbols: None, cancel: &NEVER, limits, seed: 1 }
}

#[test]
fn a_schedule_that_is_not_found_by_search_is_shortened() {
    let host = host();
    for guest in ["lost-update", "lock-cycle"] {
        let found = found(&host, guest);
        let limits = Limits { runs: 0, ..Limits::default() };
        let cause = explain(&question(&host, &found, limits)).unwrap();
        assert!(!cause.systematic && cause.is_shown(), "{guest}");
        let switches = cause.steps.iter().filter(|step| step.deviates()).count();
        let before = found.1.schedule().unwrap().segments().len();
        assert!(switches <= 4 && switches < before / 2, "{guest}: {switches} of {before}");
        let searched = explain(&question(&host, &found, Limits::default())).unwrap();
        assert!(searched.systematic && searched.preemptions <= cause.preemptions, "{guest}");
    }
}

#[test]
fn the_same_question_has_the_same_answer() {
    let host = host();
    let found = found(&host, "refcount");
    let explained = || {
        let cause = explain(&question(&host, &found, Limits::default())).unwrap();
        let claims: Vec<_> = cause
            .proof
            .claims
            .iter()
            .map(|claim| (claim.first.program_point, claim.reversed.0))
            .collect();
        let Proof { forced, chance, .. } = cause.proof;
        let figures = (cause.search_runs, cause.proof_runs, forced, chance);
        (cause.finding, claims, figures)
    };
    assert_eq!(explained(), explained());
}

#[test]
fn what_does_not_fail_any_more_is_not_explained() {
    let host = host();
    let mut found = found(&host, "lost-update");
    found.1.schedule = "0@7".into();
    let error = explain(&question(&host, &found, Limits::default())).unwrap_err();
    assert!(matches!(error, CauseError::NotReproduced { .. }), "{error}");
    assert!(error.to_string().contains("success"), "{error}");

    // A run that fails in another way is not explained either.
    let mut found = self::found(&host, "lost-update");
    found.1.verdict = "proven hang".into();
    let error = explain(&question(&host, &found, Limits::default())).unwrap_err();
    assert!(matches!(error, CauseError::NotReproduced { .. }), "{error}");

    let stopped =
        Question { cancel: &Cancel::when(|| true), ..question(&host, &found, Limits::default()) };
    assert!(matches!(explain(&stopped), Err(CauseError::Cancelled)));
}
