//! What INIT, SIPI and NMI do to a vCPU.

use super::ControlledMachine;
use super::granularity::Granularity;
use super::platform::Signal;
use super::seat::State;
use super::single::Kept;
use crate::cpu::Cpu;
use crate::error::Result;
use crate::hook::ApicEvent;

impl ControlledMachine {
    /// Does to a vCPU what an IPI asks.
    pub(super) fn signal(&mut self, signal: Signal) -> Result<()> {
        match signal {
            Signal::Init(vcpu) => {
                self.hook_apic(vcpu, ApicEvent::Init);
                let seat = &mut self.seats[vcpu as usize];
                let (registers, system) = seat.reset;
                // An access that it was about to do is forgotten.
                seat.disarm(None)?;
                seat.nmi = false;
                seat.cpu.settle()?;
                seat.cpu.set_system_registers(&system)?;
                seat.cpu.set_registers(&registers)?;
                seat.trail.clear();
                seat.reach = None;
                seat.touched = true;
                (seat.kept, seat.interruptible) = (Kept::default(), false);
                seat.state = State::WaitForSipi;
            }
            Signal::Startup(vcpu, page) => {
                if self.seats[vcpu as usize].state == State::WaitForSipi {
                    self.hook_apic(vcpu, ApicEvent::Startup { page });
                    let seat = &mut self.seats[vcpu as usize];
                    let (mut registers, mut system) = seat.reset;
                    system.cs.selector = u16::from(page) << 8;
                    system.cs.base = u64::from(page) << 12;
                    registers.rip = 0;
                    seat.cpu.set_system_registers(&system)?;
                    seat.cpu.set_registers(&registers)?;
                    seat.state = State::Ready;
                    (seat.touched, seat.armed) = (true, false);
                }
            }
            Signal::Nmi(vcpu) => {
                self.hook_apic(vcpu, ApicEvent::Nmi);
                let seat = &mut self.seats[vcpu as usize];
                seat.touched = true;
                match (&mut seat.reach, self.granularity) {
                    (_, Granularity::Instruction) => seat.kept.nmi_pending = true,
                    (Some(reach), _) => reach.nmi = true,
                    // A second one before the first is taken is the same one. (KVM would give both;
                    // a vCPU that was put back has one bit for them, and so have processors.)
                    (None, _) if seat.nmi => {}
                    (None, _) => {
                        seat.cpu.nmi()?;
                        seat.nmi = true;
                    }
                }
                seat.wake();
                if seat.state == State::Halted {
                    seat.state = State::Ready;
                }
            }
        }
        Ok(())
    }
}
