//! The effects of INIT, SIPI and NMI on a vCPU.

use super::ControlledMachine;
use super::vcpu_context::ShadowState;
use super::vcpu_context::State;
use crate::breakpoints::Reported;
use crate::cpu::Cpu;
use crate::error::Result;
use crate::hook::ApicEvent;
use devices::apics::IpiEffect;

impl ControlledMachine {
    /// Applies the effect of an IPI to a vCPU.
    pub(super) fn apply_ipi_effect(&mut self, effect: IpiEffect) -> Result<()> {
        match effect {
            IpiEffect::Init(vcpu) => {
                self.hook_apic(vcpu, ApicEvent::Init);
                let ctx = &mut self.vcpus[vcpu as usize];
                let (registers, system) = ctx.reset;
                // The access that the vCPU was about to perform is discarded.
                ctx.disarm(&Reported::default())?;
                ctx.cpu.complete_pending_io()?;
                ctx.cpu.clear_pending()?;
                ctx.cpu.set_system_registers(&system)?;
                ctx.cpu.set_registers(&registers)?;
                ctx.tracker.clear();
                ctx.reexecutes = false;
                ctx.dirty = true;
                (ctx.shadow, ctx.interruptible) = (ShadowState::default(), false);
                ctx.state = State::WaitForSipi;
            }
            IpiEffect::Startup(vcpu, page) => {
                if self.vcpus[vcpu as usize].state == State::WaitForSipi {
                    self.hook_apic(vcpu, ApicEvent::Startup { page });
                    let ctx = &mut self.vcpus[vcpu as usize];
                    let (mut registers, mut system) = ctx.reset;
                    system.cs.selector = u16::from(page) << 8;
                    system.cs.base = u64::from(page) << 12;
                    registers.rip = 0;
                    ctx.cpu.set_system_registers(&system)?;
                    ctx.cpu.set_registers(&registers)?;
                    ctx.state = State::Ready;
                    (ctx.dirty, ctx.armed) = (true, false);
                }
            }
            IpiEffect::Nmi(vcpu) => {
                self.hook_apic(vcpu, ApicEvent::Nmi);
                let serves = self.serves_nmi(vcpu)?;
                let ctx = &mut self.vcpus[vcpu as usize];
                ctx.dirty = true;
                // A second NMI before the first is taken is merged with it: a processor has a
                // single bit for pending NMIs. (KVM would deliver both.)
                ctx.shadow.nmi_pending = true;
                ctx.wake();
                if ctx.state == State::Halted && !serves {
                    ctx.state = State::Ready;
                }
            }
        }
        Ok(())
    }
}
