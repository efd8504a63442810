//! The effects of INIT, SIPI and NMI on a vCPU.

use super::ControlledMachine;
use super::granularity::Granularity;
use super::vcpu_context::ShadowState;
use super::vcpu_context::State;
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
                ctx.disarm(None)?;
                ctx.nmi = false;
                ctx.cpu.complete_pending_io()?;
                ctx.cpu.set_system_registers(&system)?;
                ctx.cpu.set_registers(&registers)?;
                ctx.tracker.clear();
                ctx.reexecution = None;
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
                let ctx = &mut self.vcpus[vcpu as usize];
                ctx.dirty = true;
                match (&mut ctx.reexecution, self.granularity) {
                    (_, Granularity::Instruction) => ctx.shadow.nmi_pending = true,
                    (Some(reexecution), _) => reexecution.nmi = true,
                    // A second NMI before the first is taken is merged with it. (KVM would deliver
                    // both; a restored vCPU, like a processor, has a single bit for pending NMIs.)
                    (None, _) if ctx.nmi => {}
                    (None, _) => {
                        ctx.cpu.nmi()?;
                        ctx.nmi = true;
                    }
                }
                ctx.wake();
                if ctx.state == State::Halted {
                    ctx.state = State::Ready;
                }
            }
        }
        Ok(())
    }
}
