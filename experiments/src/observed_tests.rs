use super::*;
use crate::finding::{self, Finding};

fn seen(vcpu: u32, asleep: bool, stack: &str) -> ObservedVcpu {
    ObservedVcpu { vcpu, asleep, doing: "spins".into(), stack: stack.into() }
}

fn hang(vcpus: &[ObservedVcpu]) -> ObservedFailure {
    ObservedFailure {
        command: "jitterbug run guest --seed 1".into(),
        verdict: End::Hang(HangEvidence::Watchdog).to_string(),
        window: Some("3s".into()),
        vcpus: vcpus.to_vec(),
    }
}

fn row(vcpu: u32, waits_for: &str, stack: &str) -> Row {
    Row {
        vcpu,
        waits_for: waits_for.into(),
        interrupts: String::new(),
        stack: stack.into(),
        values: Vec::new(),
    }
}

fn finding(verdict: &str, waits: &[Row]) -> Finding {
    Finding { verdict: verdict.into(), waits: waits.to_vec(), ..finding::tests::finding() }
}

#[test]
fn the_same_functions_are_the_same_hang() {
    let seen = hang(&[
        seen(0, false, "wait+0x4 (a.c:7) < start+0x10 (a.c:9)"),
        seen(1, true, "idle+0x1 < ap+0x2"),
        seen(4, false, "signal+0x2 < ap+0x2"),
    ]);
    let waiting = [
        row(0, "change", "wait+0x8 (a.c:7) < start+0x10 (a.c:9)"),
        // Another vCPU than in real time, and no vCPU that sleeps.
        row(1, "loop", "signal+0x7 < ap+0x2"),
        row(2, "sipi", ""),
    ];
    for verdict in ["proven hang", "hang, by budget"] {
        assert_eq!(seen.signature(), Some(finding(verdict, &waiting).signature()));
    }
    // A failure that isn't a hang differs, wherever its vCPUs are.
    assert_ne!(seen.signature(), Some(finding("the guest's failure code 1", &waiting).signature()));
    // A hang with another caller differs, and so does one in which only one of the vCPUs waits.
    let mut other = waiting.clone();
    other[0].stack = "wait+0x8 (a.c:7) < stop+0x10 (a.c:19)".into();
    assert_ne!(seen.signature(), Some(finding("proven hang", &other).signature()));
    assert_ne!(seen.signature(), Some(finding("proven hang", &waiting[..1]).signature()));
    assert_eq!(seen.signature().unwrap().to_string(), "hang in signal < ap and wait < start");
}

#[test]
fn where_all_sleep_it_is_about_those() {
    let seen = hang(&[seen(0, true, "wait+0x1 < main+0x2"), seen(1, true, "idle+0x1 < ap+0x2")]);
    let asleep = |stack| {
        finding(
            "proven hang",
            &[row(0, "interrupt", stack), row(1, "interrupt", "idle+0x1 < ap+0x2")],
        )
    };
    assert_eq!(seen.signature(), Some(asleep("wait+0x1 < main+0x2").signature()));
    assert_ne!(seen.signature(), Some(asleep("lock+0x1 < main+0x2").signature()));
}

#[test]
fn without_names_callers_tell() {
    let one = |stack| hang(&[seen(0, false, stack)]);
    let under_control =
        |stack| Some(finding("proven hang", &[row(0, "change", stack)]).signature());
    assert_eq!(one("0x1000 < 0x2000").signature(), under_control("0x1004 < 0x2000"));
    assert_ne!(one("0x1000 < 0x2000").signature(), under_control("0x1000 < 0x3000"));
    // One address of a loop distinguishes nothing.
    assert_eq!(one("0x1000").signature(), None);
    assert_eq!(hang(&[]).signature(), None);
}

#[test]
fn other_failures_are_the_same_by_their_verdict() {
    let of = |end: &End| ObservedFailure {
        verdict: ObservedFailure::verdict(end).unwrap(),
        ..hang(&[])
    };
    let code = of(&End::Guest { code: 3 });
    assert_eq!(code.signature(), Some(finding("the guest's failure code 3", &[]).signature()));
    assert_ne!(code.signature(), Some(finding("the guest's failure code 33", &[]).signature()));
    // The number of the vCPU doesn't matter.
    let fault = of(&End::TripleFault { vcpu: 2 });
    assert_eq!(fault.signature(), Some(finding("triple fault of vCPU 1", &[]).signature()));
    // In the text of a pattern, a number belongs to the failure.
    let pattern = |text| ObservedFailure { verdict: String::from(text), ..hang(&[]) }.signature();
    let one = "console line with `hang of vCPU`: hang of vCPU 1";
    assert_eq!(pattern(one).unwrap().to_string(), one);
    assert_ne!(pattern(one), pattern("console line with `hang of vCPU`: hang of vCPU 2"));
    for end in [End::Guest { code: 0 }, End::TimeLimit, End::Interrupted] {
        assert_eq!(ObservedFailure::verdict(&end), None);
    }
}

#[test]
fn a_finding_keeps_it() {
    let observed =
        Some(hang(&[seen(0, false, "wait+0x4 < start+0x10"), seen(1, true, "idle+0x1")]));
    let linked = Finding { observed, ..finding("proven hang", &[row(0, "change", "wait+0x8")]) };
    assert_eq!(Finding::from_text(&linked.to_text()).unwrap(), linked, "{}", linked.to_text());
}
