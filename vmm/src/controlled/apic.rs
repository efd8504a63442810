//! Reports events at the local APICs to hooks, before they take effect.

use std::time::Duration;

use devices::lapic::{Effect, LAPIC_BASE, LAPIC_SIZE};

use super::ControlledMachine;
use crate::hook::{ApicEvent, HookSet, Points};

/// The offset of the EOI register.
const EOI: u32 = 0xb0;

impl ControlledMachine {
    /// Reports an event at a vCPU's LAPIC.
    pub(super) fn hook_apic(&mut self, vcpu: u32, event: ApicEvent) {
        if self.wants_apic(vcpu) {
            let now = Duration::from_nanos(self.platform.now());
            let time = self.call(vcpu, now, |hooks, context| hooks.apic(context, &event));
            self.hold(vcpu, time);
        }
    }

    /// Reports that a vCPU has read from an interrupt controller's address.
    pub(super) fn hook_apic_read(&mut self, vcpu: u32, address: u64, value: u32) {
        if let Some(register) = register(address) {
            self.hook_apic(vcpu, ApicEvent::Read { register, value });
        }
    }

    /// Reports that a vCPU is about to write to an interrupt controller's address, and the event
    /// that this write causes.
    pub(super) fn hook_apic_write(&mut self, vcpu: u32, address: u64, value: u32) {
        let Some(register) = register(address).filter(|_| self.wants_apic(vcpu)) else { return };
        self.hook_apic(vcpu, ApicEvent::Write { register, value });
        if register == EOI {
            let vector = self.platform.apics.lapics[vcpu as usize].serving();
            self.hook_apic(vcpu, ApicEvent::EndOfInterrupt { vector });
        }
        if let Some(event) = self.would_send(vcpu, register, value) {
            self.hook_apic(vcpu, event);
        }
    }

    /// The IPI that this write would send: the write is tried on a copy of the LAPICs.
    pub(super) fn would_send(&self, vcpu: u32, register: u32, value: u32) -> Option<ApicEvent> {
        let mut lapics = self.platform.apics.lapics.clone();
        match lapics[vcpu as usize].write(register, value, self.platform.now()) {
            Effect::Ipi(ipi) => {
                Some(ApicEvent::Ipi { mode: ipi.mode, targets: ipi.targets(&lapics) })
            }
            Effect::None | Effect::EndOfInterrupt { .. } => None,
        }
    }

    fn wants_apic(&self, vcpu: u32) -> bool {
        self.hooks.get(vcpu as usize).is_some_and(|hooks: &HookSet| hooks.wants(Points::APIC))
    }
}

/// The offset of the LAPIC register at this address.
pub(super) fn register(address: u64) -> Option<u32> {
    (LAPIC_BASE..LAPIC_BASE + LAPIC_SIZE).contains(&address).then(|| (address - LAPIC_BASE) as u32)
}

#[cfg(test)]
#[path = "apic_tests.rs"]
mod tests;
