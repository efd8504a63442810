//! States what happened, in sentences.
//!
//! A sentence is made from the order of the accesses in the shortest schedule: all pairs about one
//! place and the same two flows of control are combined, and how often each flow of control follows
//! the other decides the wording. What a sentence states is then compared with the recorded run
//! (`check.rs`) before it is shown.

use super::check::{Shape, Statement};
use super::{Pair, TestedFault};
use crate::cause::FailureRate;
use crate::cause::naming::{Named, NamedStep, in_brackets};
use crate::cause::trace::Kind;

/// The maximum number of accesses in one sentence.
const MAX_ACCESSES_PER_SENTENCE: usize = 6;

/// The results of the runs that the sentences are about.
#[derive(Clone, Copy)]
pub(super) struct Figures {
    /// Whether a cause has been shown.
    pub(super) shown: bool,
    /// Runs with all orders forced.
    pub(super) forced: FailureRate,
    /// Runs with nothing forced.
    pub(super) chance: FailureRate,
}

/// The sentences for these pairs and these faults in the run of these steps.
pub(super) fn tell(
    pairs: &[Pair],
    faults: &[TestedFault],
    figures: Figures,
    steps: &[NamedStep],
) -> Vec<String> {
    let of_faults = faults.iter().map(|fault| of_fault(fault, pairs, figures));
    orders(pairs, figures, steps).into_iter().chain(of_faults).collect()
}

/// What a fault does, and what becomes of the runs without it.
fn of_fault(fault: &TestedFault, pairs: &[Pair], Figures { shown, forced, .. }: Figures) -> String {
    let TestedFault { what, place, without, .. } = fault;
    let what = capital(what);
    let orders = if pairs.is_empty() { "" } else { " and with these orders" };
    let needs = if shown && without.passes() { "The failure needs this fault: w" } else { "W" };
    let rate = |rate: FailureRate| format!("{} of {}", rate.failed + rate.otherwise, rate.runs);
    let (without, with) = (rate(*without), rate(forced));
    format!(
        "{what}, in `{place}`. {needs}ithout it{orders}, {without} runs at random fail; with it, {with}."
    )
}

/// A text that begins a sentence. A vCPU keeps its small letter.
fn capital(text: &str) -> String {
    match text.strip_prefix("the ") {
        Some(rest) => format!("The {rest}"),
        None => text.to_owned(),
    }
}

/// The sentences about orders.
fn orders(pairs: &[Pair], figures: Figures, steps: &[NamedStep]) -> Vec<String> {
    let Figures { shown, chance, .. } = figures;
    if !shown && chance.runs > 0 && chance.failed == chance.runs {
        return vec![format!(
            "No order of accesses decides it: all of {} runs at random fail.",
            chance.runs
        )];
    }
    if !shown {
        return vec![
            "No cause could be shown: no order of accesses was found that is needed for the failure \
             and brings it about."
                .into(),
        ];
    }
    groups(pairs, steps).iter().map(|group| sentence(group, steps)).collect()
}

/// The accesses that the sentences are about, in the order that fails.
pub(super) fn told<'a>(pairs: &'a [Pair], steps: &'a [NamedStep]) -> Vec<&'a Named> {
    let of_pairs = pairs.iter().flat_map(|pair| [&pair.first, pair.later()]);
    let mut all: Vec<_> = of_pairs.chain(groups(pairs, steps).into_iter().flatten()).collect();
    all.sort_by_key(|access| access.order());
    all.dedup_by_key(|access| (access.order(), access.vcpu, access.offset));
    all
}

/// Pairs that are stated in one sentence, as the accesses of each group.
fn groups<'a>(pairs: &'a [Pair], steps: &'a [NamedStep]) -> Vec<Vec<&'a Named>> {
    let mut groups: Vec<Vec<&Named>> = Vec::new();
    for pair in pairs {
        let both = [&pair.first, pair.later()];
        let together = |group: &&mut Vec<&Named>| {
            group.len() + 2 <= MAX_ACCESSES_PER_SENTENCE
                && group.iter().all(|other| {
                    other.point > 0
                        && other.kind.is_access()
                        && other.address == both[0].address
                        && both.iter().any(|one| one.is_by_the_same_as(other))
                })
        };
        let is_simple = both[0].address == both[1].address
            && both.iter().all(|it| it.point > 0 && it.kind.is_access());
        match groups.iter_mut().find(together).filter(|_| is_simple) {
            Some(group) => group.extend(both),
            None => groups.push(both.into()),
        }
    }
    // A single pair is already in the order that fails.
    for group in groups.iter_mut().filter(|group| group.len() > 2) {
        group.sort_by_key(|access| access.order());
        group.dedup_by_key(|access| (access.point, access.vcpu, access.site()));
        complete(group, steps);
    }
    // A pair that was found later may have come earlier in the run.
    groups.sort_by_key(|group| group.iter().map(|access| access.order()).min());
    groups
}

/// Adds the other changes that the inner flow of control made to that place between the outer one's
/// two accesses, if they are few: a reader would take a single store that is named for the only
/// one. Reads are left out.
fn complete<'a>(group: &mut Vec<&'a Named>, steps: &'a [NamedStep]) {
    let Statement { shape: Shape::Between, parts } = Statement::of(group) else { return };
    let [from, inner, to] = parts.as_slice() else { return };
    if to[0].point == 0 {
        return;
    }
    let (from, inner, to) = (from[0].order(), inner[0], to[0].order());
    let accesses = steps.iter().filter_map(|step| step.access.as_ref());
    let also: Vec<&Named> = accesses
        .filter(|access| (from..to).contains(&access.order()) && access.kind != Kind::Read)
        .filter(|access| access.address == inner.address && access.is_by_the_same_as(inner))
        .filter(|access| group.iter().all(|known| known.order() != access.order()))
        .collect();
    if group.len() + also.len() <= MAX_ACCESSES_PER_SENTENCE {
        group.extend(also);
        group.sort_by_key(|access| access.order());
    }
}

/// A true sentence about these accesses, which are in order.
fn sentence(group: &[&Named], steps: &[NamedStep]) -> String {
    if let [first, then] = group
        && first.point == 0
    {
        let (first, then) =
            (operation(first, true), operation(then, first.variable != then.variable));
        return format!(
            "{first} has to come before {then}; the shortest schedule doesn't come to the former."
        );
    }
    let statement = Statement::of(group);
    match statement.check(steps) {
        Ok(()) => in_words(&statement),
        Err(problem) => {
            debug_assert!(false, "a sentence that the run contradicts: {problem}");
            listing(group)
        }
    }
}

fn in_words(statement: &Statement) -> String {
    match (statement.shape, statement.parts.as_slice()) {
        (Shape::Before, [first, then]) => format!("{}.", before(first, then)),
        (Shape::Between, [from, inner, to]) => between(from[0], inner, to[0]),
        (Shape::Overlap, parts) => {
            let (one, other) = (parts[0][0], parts[1][0]);
            format!(
                "What {} and {} do to `{}` overlaps: {}, in this order.",
                one.agent(),
                other.agent(),
                one.variable,
                one_by_one(parts)
            )
        }
        (_, parts) => format!(
            "`{}` was used by turns: {}, in this order.",
            parts[0][0].variable,
            one_by_one(parts)
        ),
    }
}

/// A list of accesses and points, which is true for any order.
fn listing(group: &[&Named]) -> String {
    let of = |access: &&Named| match access.point {
        0 => format!("{}, which didn't come", operation(access, true)),
        point => format!("{} at point {point}", operation(access, true)),
    };
    format!("What decides: {}.", joined(&group.iter().map(of).collect::<Vec<_>>()))
}

/// A sentence that one access came before another, without the full stop, to be combined with
/// others.
pub(super) fn order(first: &Named, second: &Named, steps: &[NamedStep]) -> String {
    sentence(&[first, second], steps).trim_end_matches('.').to_owned()
}

fn before(first: &[&Named], then: &[&Named]) -> String {
    let with_variable = first.iter().any(|access| access.variable != then[0].variable);
    let (first, then) = match then {
        [only] if only.point == 0 && only.kind == Kind::Interrupt => {
            (together(first, true), format!("{} could be taken", only.request()))
        }
        [only] if only.point == 0 => {
            let then = together(then, with_variable);
            (together(first, true), format!("{then}, which then never came"))
        }
        _ => (together(first, true), together(then, with_variable)),
    };
    format!("{first} came before {then}")
}

/// A sentence that accesses fell between two others.
fn between(from: &Named, inner: &[&Named], to: &Named) -> String {
    format!("{} fell between {}.", together(inner, true), together(&[from, to], false))
}

fn one_by_one(parts: &[Vec<&Named>]) -> String {
    let all: Vec<String> = parts.iter().map(|part| together(part, false)).collect();
    joined(&all)
}

/// Joins texts: "a, b and c".
fn joined(parts: &[String]) -> String {
    match parts {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// Accesses of one flow of control: "vCPU 0's read and store of `counter` in `add_one` (a.c:1,
/// a.c:2)".
fn together(accesses: &[&Named], with_variable: bool) -> String {
    let ([one, other], true) = (accesses, accesses.iter().all(|it| it.kind.is_access())) else {
        let all: Vec<String> = accesses.iter().map(|it| operation(it, with_variable)).collect();
        return joined(&all);
    };
    let stores = one.kind == Kind::Write && other.kind == Kind::Write;
    let of = if with_variable { format!(" of `{}`", one.variable) } else { String::new() };
    let both = if stores && with_variable {
        format!("stores{of} ({}, {})", one.value, other.value)
    } else if stores {
        format!("stores of {} and of {}", one.value, other.value)
    } else if one.kind == other.kind {
        format!("two {}s{of}", one.noun())
    } else {
        format!("{} and {}{of}", one.noun(), other.noun())
    };
    let place = if one.function == other.function {
        let mut places: Vec<_> =
            [one.place(), other.place()].into_iter().filter(|place| !place.is_empty()).collect();
        places.dedup();
        format!("`{}`{}", one.function, in_brackets(&places.join(", ")))
    } else {
        format!("{} and {}", site(one), site(other))
    };
    format!("{}'s {both} in {place}", one.agent())
}

/// One operation: "vCPU 0's read of `platform_type` in `get_hwenv` (cpuid.c:58)".
fn operation(access: &Named, with_variable: bool) -> String {
    match access.event() {
        // An interrupt has no place, because it may be taken anywhere.
        Some(event) if access.kind == Kind::Interrupt => return event,
        Some(event) => return format!("{event} in {}", site(access)),
        None => {}
    }
    let of = if with_variable { format!(" of `{}`", access.variable) } else { String::new() };
    let value = match access.kind {
        Kind::Write if with_variable => format!(" ({})", access.value),
        Kind::Write => format!(" of {}", access.value),
        _ => String::new(),
    };
    format!("{}'s {}{of}{value} in {}", access.agent(), access.noun(), site(access))
}

fn site(access: &Named) -> String {
    format!("`{}`{}", access.function, in_brackets(&access.place()))
}

/// What happens in a few steps of a run, in words.
pub(super) fn segment(steps: &[NamedStep], from: usize, to: usize) -> String {
    let told: Vec<String> = steps
        .get(from..to)
        .unwrap_or_default()
        .iter()
        .map(|step| match &step.access {
            Some(access) => format!(
                "vCPU {} {} {} in {}",
                step.vcpu,
                match access.kind {
                    Kind::Read => "reads",
                    Kind::Write => "stores to",
                    _ => "updates",
                },
                access.variable,
                access.function
            ),
            None if step.interrupt => format!("vCPU {} takes an interrupt", step.vcpu),
            None => format!("vCPU {} goes on", step.vcpu),
        })
        .collect();
    match told.as_slice() {
        [] => String::new(),
        [one] => one.clone(),
        [first, .., last] => format!("{first} … {last}"),
    }
}

#[cfg(test)]
#[path = "summary_tests.rs"]
pub(super) mod tests;
