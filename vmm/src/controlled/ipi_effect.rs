//! The effects of INIT, SIPI and NMI on a vCPU.

use super::ControlledMachine;
use super::effects::Effects;
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
                self.discard_access(vcpu)?;
                let ctx = &mut self.vcpus[vcpu as usize];
                let (registers, system) = ctx.reset;
                ctx.cpu.clear_pending()?;
                ctx.cpu.set_system_registers(&system)?;
                ctx.cpu.set_registers(&registers)?;
                ctx.tracker.clear();
                ctx.reexecutes = false;
                ctx.dirty = true;
                (ctx.shadow, ctx.interruptible) = (ShadowState::default(), false);
                ctx.reached = None;
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

    /// Discards the access that a vCPU is stopped before.
    fn discard_access(&mut self, vcpu: u32) -> Result<()> {
        // Whether the vCPU was restored makes no difference.
        self.reexecute_to_exit(vcpu)?;
        self.vcpus[vcpu as usize].disarm(&Reported::default())?;
        self.complete_without_effect(vcpu)
    }

    /// Has KVM forget the access that a vCPU is stopped before. KVM can only complete it, and may
    /// then store what it has not loaded to private memory: that is undone.
    pub(super) fn complete_without_effect(&mut self, vcpu: u32) -> Result<()> {
        let cpu = &mut self.vcpus[vcpu as usize].cpu;
        let (registers, system) = (cpu.registers()?, cpu.system_registers()?);
        let decoded = self.instructions.at(registers.rip, &system, &self.memory);
        let effects = Effects::before(decoded.as_deref(), &registers, &system, &self.memory);
        cpu.complete_pending_io()?;
        for touch in effects.touches() {
            if touch.writes && !self.memory.is_trapped(touch.address) {
                self.memory.write(touch.address, &touch.before)?;
            }
        }
        Ok(())
    }
}
