//! Checks that no sentence contradicts the points below it. The sentences are parsed as a person
//! would read them, without knowledge of how they were made.

use inspect::Symbols;
use vmm::Cancel;

use super::*;
use crate::cause::testing::{found_by, host};
use crate::cause::trace::Kind;
use crate::cause::{Limits, explain};

/// Seeds of the search for each guest.
const SEEDS: u64 = 3;

#[test]
fn no_sentence_contradicts_the_points_below_it() {
    let host = host();
    let guests = guests::catalogue().iter().filter(|guest| guest.bug.is_some());
    let names: Vec<&str> = guests.map(|guest| guest.name).chain(["overlap", "lost-ipi"]).collect();
    let (mut read, mut wrong) = (0, Vec::new());
    for guest in names {
        for seed in 1..=SEEDS {
            let Some((machine, finding)) = found_by(&host, guest, seed) else { continue };
            let symbols = Symbols::from_elf(guest, &*machine.guest.bytes).unwrap();
            // The figures are not checked here, so fewer runs are made for them.
            let limits = Limits { trials: 4, samples: 1, ..Limits::default() };
            let (machine, finding, symbols) = (&machine, &finding, Some(&symbols));
            let cancel = &Cancel::never();
            let question =
                Question { host: &host, machine, finding, symbols, cancel, limits, seed };
            let report = Report::new(&question, &explain(&question).unwrap());
            eprintln!("{guest} {seed}: {}", report.summary.join(" "));
            for sentence in report.summary.iter().filter(|_| report.shown) {
                read += 1;
                let problem = contradiction(sentence, &report.pairs, &report.steps);
                wrong.extend(problem.map(|it| format!("{guest} {seed}: {sentence}\n  {it}")));
            }
        }
    }
    assert!(read > 40, "{read} sentences");
    assert!(wrong.is_empty(), "{} of {read}:\n{}", wrong.len(), wrong.join("\n"));
}

/// What is wrong with a sentence, if anything.
fn contradiction(sentence: &str, pairs: &[Pair], steps: &[NamedStep]) -> Option<String> {
    let points = summary::told(pairs, steps);
    for listed in points.iter().filter(|listed| listed.point > 0) {
        let step = steps.iter().find(|step| step.point == listed.point);
        let there = step.and_then(|step| step.access.as_ref());
        let happens = step.is_some_and(|step| match listed.kind {
            Kind::Interrupt => step.vector.is_some_and(|it| listed.value == format!("{it:#x}")),
            Kind::Off => step.turns_off,
            kind if kind.is_sent() => step.sends.as_ref().is_some_and(|(it, _)| *it == kind),
            _ => there == Some(listed),
        });
        if !happens || step.is_none_or(|step| step.vcpu != listed.vcpu) {
            return Some(format!("nothing such is at point {}", listed.point));
        }
    }
    // The points of the accesses that these words name, of the agent that they name.
    let variable = |text: &str| text.split('`').nth(1).unwrap_or_default().to_owned();
    let of = |text: &str, variable: &str| -> Vec<u64> {
        let agent = agent(text);
        let mut of: Vec<u64> = points
            .iter()
            .filter(|it| match it.kind {
                // "the delivery of vCPU 0's IPI (vector 35) to vCPU 1", or "… could be taken".
                Kind::Interrupt => text.contains(&format!("({})", it.variable)),
                Kind::Off => it.agent() == agent && text.contains(it.noun()),
                kind if kind.is_sent() => it.agent() == agent && text.contains(it.noun()),
                _ => {
                    it.agent() == agent
                        && it.variable == variable
                        && text.contains(&format!("`{}`", it.function))
                        && text.contains(it.noun())
                        && text.contains(&it.place())
                }
            })
            // An interrupt is taken after the access at its point.
            .map(|it| match it.order() {
                (u64::MAX, _) => u64::MAX,
                (point, behind) => 2 * point + u64::from(behind),
            })
            .collect();
        of.sort_unstable();
        of.dedup();
        of
    };
    if let Some((inner, outer)) = sentence.split_once(" fell between ") {
        let (inner, outer) = (of(inner, &variable(inner)), of(outer, &variable(inner)));
        let fits = match (inner.first(), inner.last(), outer.as_slice()) {
            (Some(first), Some(last), [from, to]) => from < first && last < to,
            _ => false,
        };
        return (!fits).then(|| format!("{inner:?} between {outer:?}"));
    }
    if let Some((first, _)) = sentence.split_once(" has to come before ") {
        // The sentence states that the shortest schedule doesn't come to that operation.
        let never = of(first, &variable(first)).contains(&u64::MAX);
        return (!never).then(|| "it comes to that".into());
    }
    if let Some((first, then)) = sentence.split_once(" came before ") {
        let never = then.contains("which then never came") || then.ends_with("could be taken.");
        let named = if then.contains(" of `") { variable(then) } else { variable(first) };
        let (first, then) = (of(first, &variable(first)), of(then, &named));
        // Other accesses of the same function may be stated in another sentence.
        let fits = first.iter().any(|one| then.iter().any(|other| one < other));
        let comes = then.iter().all(|point| *point < u64::MAX);
        return (!fits || never == comes).then(|| format!("{first:?} before {then:?}"));
    }
    if let Some((_, rest)) =
        sentence.strip_suffix(", in this order.").and_then(|it| it.split_once(": "))
    {
        let told: Vec<&str> =
            rest.match_indices("vCPU ").map(|(at, _)| agent(&rest[at..])).collect();
        let used = variable(sentence);
        let mut all: Vec<&&Named> = points.iter().filter(|it| it.variable == used).collect();
        all.sort_by_key(|it| it.point);
        all.dedup_by_key(|it| it.point);
        let mut turns: Vec<String> = all.iter().map(|it| it.agent()).collect();
        turns.dedup();
        let mut overlap = turns.clone();
        overlap.sort_unstable();
        overlap.dedup();
        let is_overlap = sentence.contains("overlaps") && (turns.len(), overlap.len()) != (4, 2);
        return (told != turns || is_overlap).then(|| format!("{told:?} for {turns:?}"));
    }
    Some("no sentence that is known".into())
}

/// The agent at the start of a text: "vCPU 0" or "vCPU 0's handler".
fn agent(text: &str) -> &str {
    let end = text.find("'s ").unwrap_or(text.len());
    match text[end..].strip_prefix("'s handler") {
        Some(_) => &text[..end + "'s handler".len()],
        None => &text[..end],
    }
}
