//! Probes at scheduler events other than exits: accesses to model-specific registers, events of
//! local APICs, choices and hangs.

use vmm::controlled::Choice;
use vmm::hook::{ApicEvent, Context, IpiMode, MsrAccess};

use super::hook::VcpuProbes;
use crate::engine::{Event, Values};
use crate::point::{Fixed, Msr, Point, USUAL};

impl VcpuProbes {
    fn tell(&mut self, fixed: Fixed, arguments: &[u64], context: &mut Context) {
        let event = Event::new(arguments);
        self.at(Point::Fixed(fixed), &event, context, &mut Values::default());
    }

    /// Fires the probes for a model-specific register that the vCPU reads or is about to write.
    pub(super) fn on_msr(&mut self, access: &MsrAccess, context: &mut Context) {
        let MsrAccess { index, write, value } = *access;
        // A read of a register that doesn't exist (#GP) has no value.
        let arguments = [u64::from(index), value.unwrap_or(0)];
        if USUAL.contains(&index) {
            let fixed = if write { Fixed::MsrWrite } else { Fixed::MsrRead };
            self.tell(fixed, &arguments, context);
        }
        let point = Point::Msr(Msr { index, write });
        self.at(point, &Event::new(&arguments), context, &mut Values::default());
    }

    /// Fires the probes for an event that is about to happen at the vCPU's local APIC.
    pub(super) fn on_apic(&mut self, event: &ApicEvent, context: &mut Context) {
        let (fixed, arguments) = match *event {
            ApicEvent::Read { register, value } => {
                (Fixed::LapicRead, [register.into(), value.into(), 0])
            }
            ApicEvent::Write { register, value } => {
                (Fixed::LapicWrite, [register.into(), value.into(), 0])
            }
            ApicEvent::EndOfInterrupt { vector } => {
                (Fixed::LapicEoi, [vector.unwrap_or(0).into(), 0, 0])
            }
            ApicEvent::Ipi { mode, targets } => {
                let (vector, mode) = delivery(mode);
                (Fixed::IpiSend, [targets, vector, mode])
            }
            ApicEvent::Init => (Fixed::Init, [0; 3]),
            ApicEvent::Startup { .. } => (Fixed::ApStart, [0; 3]),
            ApicEvent::Nmi => (Fixed::Nmi, [0; 3]),
            ApicEvent::Interrupt { vector } => (Fixed::Irq, [vector.into(), 0, 0]),
            ApicEvent::Halt => (Fixed::Halt, [0; 3]),
        };
        self.tell(fixed, &arguments, context);
    }

    /// Fires the probes for the scheduler's choice of this vCPU.
    pub(super) fn on_choice(&mut self, choice: Choice, context: &mut Context) {
        let interrupt = matches!(choice, Choice::Interrupt(_));
        let number = context.point.unwrap_or(0);
        self.tell(Fixed::SchedulingPoint, &[number, interrupt.into()], context);
        let before = self.common.chose(context.vcpu);
        if let Some(before) = before.filter(|before| *before != context.vcpu) {
            self.tell(Fixed::SchedulingSwitch, &[before.into(), context.vcpu.into()], context);
        }
    }

    /// Fires the probes for a hang of the machine, proven or by budget.
    pub(super) fn on_hang(&mut self, proven: bool, context: &mut Context) {
        self.tell(Fixed::Hang, &[proven.into()], context);
    }
}

/// The vector of an interprocessor interrupt, and its delivery mode as encoded in the interrupt
/// command register (Intel SDM volume 3, 12.6.1).
fn delivery(mode: IpiMode) -> (u64, u64) {
    match mode {
        IpiMode::Fixed { vector } => (vector.into(), 0),
        IpiMode::LowestPriority { vector } => (vector.into(), 1),
        IpiMode::Smi => (0, 2),
        IpiMode::Nmi => (0, 4),
        IpiMode::Init | IpiMode::InitDeassert => (0, 5),
        IpiMode::Startup { vector } => (vector.into(), 6),
    }
}

#[cfg(test)]
#[path = "events_tests.rs"]
mod tests;
