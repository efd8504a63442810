//! What happened, in sentences.

use super::Pair;
use super::text::in_brackets;
use crate::cause::Share;
use crate::cause::naming::{Named, NamedStep};
use crate::cause::trace::Kind;

/// What the pairs come to; `chance` is what runs with nothing forced came to.
pub(super) fn tell(pairs: &[Pair], shown: bool, chance: Share) -> Vec<String> {
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
    let mut told = Vec::new();
    let mut done = Vec::new();
    for (number, pair) in pairs.iter().enumerate() {
        let Some(other) = pair.encloses else { continue };
        // Each of two that enclose each other is told of once.
        if !done.contains(&(other, number)) {
            told.push(enclosed(pair, &pairs[other]));
        }
        done.push((number, other));
    }
    let enclosing =
        |number: usize| done.iter().any(|(one, other)| [*one, *other].contains(&number));
    let alone = pairs.iter().enumerate().filter(|(number, _)| !enclosing(*number));
    told.extend(alone.map(|(_, pair)| {
        let second = pair.meets.as_ref().unwrap_or(&pair.second);
        format!("{}.", order(&pair.first, second))
    }));
    told
}

/// One access before another.
pub(super) fn order(first: &Named, second: &Named) -> String {
    format!("{} came before {}", deed(first, true), deed(second, first.variable != second.variable))
}

/// "vCPU 0's read of `platform_type` in `get_hwenv` (cpuid.c:58)".
fn deed(access: &Named, with_variable: bool) -> String {
    let of = if with_variable { format!(" of `{}`", access.variable) } else { String::new() };
    let value = match access.kind {
        Kind::Write if with_variable => format!(" ({})", access.value),
        Kind::Write => format!(" of {}", access.value),
        Kind::Read | Kind::Update => String::new(),
    };
    format!("{}'s {}{of}{value} in {}", access.agent(), access.noun(), site(access))
}

fn site(access: &Named) -> String {
    format!("`{}`{}", access.function, in_brackets(&access.place()))
}

/// What fell between what.
fn enclosed(one: &Pair, other: &Pair) -> String {
    let (from, to) = (&one.first, &other.second);
    let same = one.second.point == other.first.point && one.second.site() == other.first.site();
    let inner = if same || one.second.kind == other.first.kind {
        deed(&one.second, true)
    } else {
        let (a, b) = (&other.first, &one.second);
        format!("{}'s {} and {} of `{}` in {}", a.agent(), a.noun(), b.noun(), a.variable, site(a))
    };
    let stores = from.kind == Kind::Write && to.kind == Kind::Write;
    let both = if stores {
        format!("stores of {} and of {}", from.value, to.value)
    } else if from.kind == to.kind {
        format!("two {}s", from.noun())
    } else {
        format!("{} and {}", from.noun(), to.noun())
    };
    let place = if from.function == to.function {
        let places: Vec<_> =
            [from.place(), to.place()].into_iter().filter(|place| !place.is_empty()).collect();
        format!("`{}`{}", from.function, in_brackets(&places.join(", ")))
    } else {
        format!("{} and {}", site(from), site(to))
    };
    format!("{inner} fell between {}'s {both} in {place}.", from.agent())
}

/// What happens in a few steps of a run.
pub(super) fn stretch(steps: &[NamedStep], from: usize, to: usize) -> String {
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
                    Kind::Update => "updates",
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
#[path = "story_tests.rs"]
mod tests;
