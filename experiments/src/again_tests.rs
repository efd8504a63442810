use super::*;
use crate::cause::testing::{found, host};
use crate::sighting::Seen;

/// A hang in real time with one vCPU that goes round here.
fn sighting(stacks: &[&str]) -> Sighting {
    let seen = |(vcpu, stack): (usize, &&str)| Seen {
        vcpu: vcpu as u32,
        asleep: false,
        doing: "spins".into(),
        stack: (*stack).into(),
    };
    Sighting {
        command: "jitterbug run abba".into(),
        verdict: "hang".into(),
        window: None,
        vcpus: stacks.iter().enumerate().map(seen).collect(),
    }
}

/// The search for it in `abba`.
fn again(seen: &Sighting, runs: u64, next: Next) -> Again {
    let host = host();
    let (machine, _) = found(&host, "abba");
    let symbols = Symbols::from_elf("abba", &*machine.guest.bytes).unwrap();
    let search = Hunt { runs, ..search(&machine, 1) };
    let likeness = seen.likeness().unwrap();
    look_again(&host, &search, Some(&symbols), (seen, &likeness), |_| next).unwrap()
}

#[test]
fn the_same_hang_is_linked_and_ends_the_search() {
    // Who holds which lock is no matter, and where in the loop it was seen isn't either.
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
    let seen = sighting(&named.iter().map(String::as_str).collect::<Vec<_>>());
    let again = again(&seen, 1000, Next::GoOn);
    let found = again.found.expect("the same");
    assert_eq!(found.sighting, Some(seen));
    assert!(again.runs < 1000 && again.others.is_empty(), "{} runs", again.runs);
}

#[test]
fn other_failures_are_counted_and_not_taken_for_it() {
    let again = again(&sighting(&["elsewhere+0x2 < main+0x3"]), 100, Next::GoOn);
    assert!(again.found.is_none() && again.runs == 100 && again.stopped.is_none());
    let [other] = &again.others[..] else { panic!("{:?}", again.others) };
    assert!(other.failure.starts_with("hang in "), "{}", other.failure);
    assert!(other.times > 5 && other.first.sighting.is_none(), "{} times", other.times);
}

#[test]
fn whoever_wants_it_to_stop_is_heard() {
    let again = again(&sighting(&["elsewhere+0x2 < main+0x3"]), 100_000, Next::Stop);
    assert!(again.stopped == Some(Stopped::Asked) && again.found.is_none() && again.runs < 100);
}
