use super::*;
use crate::cause::testing::{found, host};
use crate::observed::ObservedVcpu;

/// A hang in real time with one looping vCPU for each stack.
fn observed(stacks: &[&str]) -> ObservedFailure {
    let seen = |(vcpu, stack): (usize, &&str)| ObservedVcpu {
        vcpu: vcpu as u32,
        asleep: false,
        doing: "spins".into(),
        stack: (*stack).into(),
    };
    ObservedFailure {
        command: "jitterbug run abba".into(),
        verdict: "hang".into(),
        window: None,
        vcpus: stacks.iter().enumerate().map(seen).collect(),
    }
}

/// Searches for it in `abba`.
fn search_for(seen: &ObservedFailure, runs: u64, next: Next) -> Reproduction {
    let host = host();
    let (machine, _) = found(&host, "abba");
    let symbols = Symbols::from_elf("abba", &*machine.guest.bytes).unwrap();
    let search = Hunt { runs, ..search(&machine, 1) };
    let signature = seen.signature().unwrap();
    reproduce(&host, &search, Some(&symbols), (seen, &signature), |_| next).unwrap()
}

#[test]
fn the_same_hang_is_linked_and_ends_the_search() {
    // Which vCPU holds which lock doesn't matter, nor where in the loop it was observed.
    let host = host();
    let (_, finding) = found(&host, "abba");
    let stacks: Vec<&str> = finding.waits.iter().map(|row| row.stack.as_str()).collect();
    let symbols = guests::find("abba").unwrap().image;
    let symbols = Symbols::from_elf("abba", symbols).unwrap();
    let named = |stack: &str| {
        let frame = |address: &str| {
            let address = u64::from_str_radix(address.trim_start_matches("0x"), 16).unwrap();
            format!("{}+0x1", symbols.function(address - 1).unwrap().0)
        };
        stack.split(" < ").map(frame).collect::<Vec<_>>().join(" < ")
    };
    let named: Vec<_> = stacks.iter().rev().map(|stack| named(stack)).collect();
    let seen = observed(&named.iter().map(String::as_str).collect::<Vec<_>>());
    let reproduction = search_for(&seen, 1000, Next::GoOn);
    let found = reproduction.found.expect("the same");
    assert_eq!(found.observed, Some(seen));
    assert!(
        reproduction.runs < 1000 && reproduction.others.is_empty(),
        "{} runs",
        reproduction.runs
    );
}

#[test]
fn other_failures_are_counted_and_not_taken_for_it() {
    let reproduction = search_for(&observed(&["elsewhere+0x2 < main+0x3"]), 100, Next::GoOn);
    assert!(
        reproduction.found.is_none() && reproduction.runs == 100 && reproduction.stopped.is_none()
    );
    let [other] = &reproduction.others[..] else { panic!("{:?}", reproduction.others) };
    assert!(other.failure.starts_with("hang in "), "{}", other.failure);
    assert!(other.times > 5 && other.first.observed.is_none(), "{} times", other.times);
}

#[test]
fn whoever_wants_it_to_stop_is_heard() {
    let reproduction = search_for(&observed(&["elsewhere+0x2 < main+0x3"]), 100_000, Next::Stop);
    assert!(
        reproduction.stopped == Some(Stopped::Asked)
            && reproduction.found.is_none()
            && reproduction.runs < 100
    );
}
