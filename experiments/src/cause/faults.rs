//! Where the faults of a finding strike in other runs.
//!
//! Whether a fault strikes is a choice, and its place in a schedule means nothing in another
//! schedule. So a fault is tied to what the vCPU does there, and strikes whenever a run comes to
//! that: the runs that are compared then differ by the order of accesses alone, and the fault is
//! tested for itself, by runs without it.
//!
//! * A fault of an IPI strikes the IPI that the vCPU sends at the same program point.
//! * A fault by which an interrupt is lost strikes the interrupt of the vCPU with the same number.
//! * Any other fault strikes as soon as the vCPU is at the same program point. A vCPU notices
//!   nothing of an NMI or an interrupt before it goes on, so it makes no difference what other
//!   vCPUs do until then. A bit of memory that changes is seen by all of them.
//!
//! Whether the failure comes with the faults there is the first thing that is tried.

use vmm::FaultSpec;
use vmm::controlled::{Choice, Point};
use vmm::fault::FaultKind;

use super::schedule_state::{ProgramPoint, ScheduleState};
use super::trace::Step;

/// A fault that strikes, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FaultPlace {
    vcpu: u32,
    /// The fault's number in the machine's configuration.
    number: u8,
    at: At,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// The vCPU makes the access at this program point.
    Access(ProgramPoint),
    /// The vCPU is at this program point.
    ProgramPoint(ProgramPoint),
    /// The vCPU has had this number of interrupts.
    Interrupts(usize),
}

/// Whether a vCPU runs by this choice: most faults only change its state.
pub(super) fn runs(choice: Choice, specs: &[FaultSpec]) -> bool {
    match choice {
        Choice::Step(_) | Choice::Interrupt(_) => true,
        Choice::Fault(_, number) => kind(number, specs).is_none_or(FaultKind::is_of_ipi),
    }
}

fn kind(number: u8, specs: &[FaultSpec]) -> Option<FaultKind> {
    let index = usize::from(number).checked_sub(1)?;
    specs.get(index).map(|spec| spec.kind)
}

/// The faults that strike in these steps of a run.
pub(super) fn places(steps: &[Step], specs: &[FaultSpec]) -> Vec<FaultPlace> {
    let strike = |(index, step): (usize, &Step)| {
        let Choice::Fault(vcpu, number) = step.choice else { return None };
        let at = match kind(number, specs)? {
            kind if kind.is_of_ipi() => At::Access(step.program_point),
            FaultKind::IrqDrop => At::Interrupts(interrupts(&steps[..index], vcpu, specs)),
            _ => At::ProgramPoint(step.program_point),
        };
        Some(FaultPlace { vcpu, number, at })
    };
    steps.iter().enumerate().filter_map(strike).collect()
}

/// An NMI, INIT or SIPI that a fault takes from its targets has no effect on them.
pub(super) fn forget_lost_ipis(steps: &mut [Step], specs: &[FaultSpec]) {
    for step in steps {
        if let Choice::Fault(_, number) = step.choice
            && matches!(kind(number, specs), Some(FaultKind::IpiDrop | FaultKind::IpiMisroute))
        {
            step.sends = None;
        }
    }
}

/// How many interrupts a vCPU has taken or lost.
fn interrupts(steps: &[Step], vcpu: u32, specs: &[FaultSpec]) -> usize {
    let is_one = |step: &&Step| match step.choice {
        Choice::Interrupt(of) => of == vcpu,
        Choice::Fault(of, number) => of == vcpu && kind(number, specs) == Some(FaultKind::IrqDrop),
        Choice::Step(_) => false,
    };
    steps.iter().filter(is_one).count()
}

/// The faults that have not struck yet in a run.
pub(super) struct Pending<'a> {
    left: Vec<FaultPlace>,
    specs: &'a [FaultSpec],
}

impl<'a> Pending<'a> {
    /// For a run that begins with these steps.
    pub(super) fn new(places: &[FaultPlace], specs: &'a [FaultSpec], begun: &[Step]) -> Self {
        let mut pending = Self { left: places.to_vec(), specs };
        for struck in self::places(begun, specs) {
            pending.struck(&struck);
        }
        pending
    }

    fn struck(&mut self, struck: &FaultPlace) {
        if let Some(index) = self.left.iter().position(|place| place == struck) {
            self.left.remove(index);
        }
    }

    /// The fault that strikes here, whatever is chosen.
    pub(super) fn strikes(
        &mut self,
        point: &Point,
        state: &ScheduleState,
        steps: &[Step],
    ) -> Option<Choice> {
        let here = |place: &&FaultPlace| {
            let there = match place.at {
                At::Access(_) => false,
                At::ProgramPoint(at) => state.program_points[place.vcpu as usize] == at,
                At::Interrupts(count) => interrupts(steps, place.vcpu, self.specs) == count,
            };
            there && point.faults.contains(&place.choice())
        };
        let place = self.left.iter().find(here).cloned()?;
        self.struck(&place);
        Some(place.choice())
    }

    /// The choices of a point, with the faults in place of the accesses that they strike.
    pub(super) fn instead(&self, point: &Point, state: &ScheduleState) -> Vec<Choice> {
        point.enabled.iter().map(|choice| self.in_place_of(*choice, point, state)).collect()
    }

    /// The fault that strikes with this choice, or else the choice.
    pub(super) fn in_place_of(
        &self,
        choice: Choice,
        point: &Point,
        state: &ScheduleState,
    ) -> Choice {
        let Choice::Step(vcpu) = choice else { return choice };
        let at = At::Access(state.program_points[vcpu as usize]);
        let strikes = |place: &&FaultPlace| {
            place.vcpu == vcpu && place.at == at && point.faults.contains(&place.choice())
        };
        self.left.iter().find(strikes).map_or(choice, FaultPlace::choice)
    }

    /// Called with each choice of the run.
    pub(super) fn chosen(&mut self, choice: Choice, state: &ScheduleState) {
        if let Choice::Fault(vcpu, number) = choice {
            let at = At::Access(state.program_points[vcpu as usize]);
            self.struck(&FaultPlace { vcpu, number, at });
        }
    }
}

impl FaultPlace {
    fn choice(&self) -> Choice {
        Choice::Fault(self.vcpu, self.number)
    }
}
