//! Checks whether the recorded run agrees with what a sentence states.
//!
//! The check doesn't read the sentence. It looks each access up in the run, by its point, and
//! compares which flow of control did what in which order.

use crate::cause::naming::{Named, NamedStep};
use crate::cause::trace::Kind;

/// What is stated about some accesses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// The accesses of one flow of control came before those of another, or before an access that
    /// never came.
    Before,
    /// One flow of control did something between two accesses of another.
    Between,
    /// Two flows of control were in their sequences at the same time, neither within the other.
    Overlap,
    /// The accesses came in this order; nothing more is stated.
    Turns,
}

/// Accesses in the stated order. Each part belongs to one flow of control, the next part to
/// another.
#[derive(Clone, Debug)]
pub(super) struct Statement<'a> {
    pub(super) shape: Shape,
    pub(super) parts: Vec<Vec<&'a Named>>,
}

impl<'a> Statement<'a> {
    /// The statement to make about these accesses, which are in order.
    pub(super) fn of(accesses: &[&'a Named]) -> Self {
        let parts: Vec<Vec<&Named>> = accesses
            .chunk_by(|one, other| one.is_by_the_same_as(other))
            .map(<[&Named]>::to_vec)
            .collect();
        let shape = match parts.as_slice() {
            [_, _] => Shape::Before,
            [from, _, to] if from.len() == 1 && to.len() == 1 => Shape::Between,
            [_, _, _, _] => Shape::Overlap,
            _ => Shape::Turns,
        };
        Self { shape, parts }
    }

    /// Fails if the run contradicts the statement.
    pub(super) fn check(&self, steps: &[NamedStep]) -> Result<(), String> {
        let Self { shape, parts } = self;
        for part in parts {
            for access in part {
                happened(access, steps)?;
            }
        }
        let agents: Vec<_> = parts.iter().map(|part| part.first().map(|it| it.flow())).collect();
        let pure = |part: &Vec<&Named>| part.iter().all(|it| it.is_by_the_same_as(part[0]));
        let fits = match (shape, agents.as_slice()) {
            (Shape::Before, [one, other]) => one != other,
            (Shape::Between, [from, inner, to]) => from == to && from != inner,
            (Shape::Overlap, [one, other, reproduce, late]) => {
                one == reproduce && other == late && one != other
            }
            (Shape::Turns, all) => all.len() > 1,
            _ => false,
        };
        if !fits || parts.iter().any(|part| part.is_empty() || !pure(part)) {
            return Err(format!("{shape:?} is no word for what {agents:?} did"));
        }
        for pair in parts.windows(2) {
            let last = pair[0].iter().map(|it| it.order()).max();
            let next = pair[1].iter().map(|it| it.order()).min();
            if last >= next {
                return Err(format!("point {last:?} is not before point {next:?}"));
            }
        }
        let (then, earlier) = parts.split_last().ok_or("nothing is stated")?;
        if earlier.iter().flatten().any(|it| it.point == 0) {
            return Err("something is stated to come behind what never came".into());
        }
        let from = earlier.iter().flatten().map(|it| it.order()).max().unwrap_or_default();
        match then.iter().find(|it| it.point == 0 && comes(it, from, steps)) {
            Some(never) => Err(format!("{} is stated never to come", never.site())),
            None => Ok(()),
        }
    }
}

/// Whether the run has this access at its point.
fn happened(access: &Named, steps: &[NamedStep]) -> Result<(), String> {
    if access.point == 0 {
        return Ok(());
    }
    let step = steps.iter().find(|step| step.point == access.point);
    let step = step.filter(|step| step.vcpu == access.vcpu);
    if step.is_some_and(|step| is_event(access, step)) {
        return Ok(());
    }
    let there = step.and_then(|step| step.access.as_ref());
    let same = |there: &Named| {
        (there.kind, &there.address, there.in_handler, there.site())
            == (access.kind, &access.address, access.in_handler, access.site())
    };
    if there.is_some_and(same) {
        return Ok(());
    }
    Err(format!("no {} of {} at point {}", access.noun(), access.variable, access.point))
}

/// Whether an event other than an access happens in this step of its vCPU.
fn is_event(event: &Named, step: &NamedStep) -> bool {
    match event.kind {
        Kind::Read | Kind::Write | Kind::Update => false,
        Kind::Interrupt => step.vector.is_some_and(|it| format!("vector {it}") == event.variable),
        Kind::Off => step.turns_off,
        kind => step.sends.as_ref().is_some_and(|it| *it == (kind, event.variable.clone())),
    }
}

/// Whether the run comes to this instruction and this place after a position.
fn comes(access: &Named, from: (u64, bool), steps: &[NamedStep]) -> bool {
    let behind = access.order().1;
    let later = || steps.iter().filter(|step| (step.point, behind) > from);
    if !access.kind.is_access() {
        return later().any(|step| step.vcpu == access.vcpu && is_event(access, step));
    }
    later().filter_map(|step| step.access.as_ref()).any(|there| {
        there.is_by_the_same_as(access)
            && there.address == access.address
            && there.site() == access.site()
    })
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
