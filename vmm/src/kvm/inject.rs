//! Interrupts from userspace, for machines without an in-kernel irqchip, NMIs, and what faults give
//! to vCPUs of machines with that irqchip.

use kvm_bindings::{
    KVM_VCPUEVENT_VALID_NMI_PENDING, KVMIO, kvm_interrupt, kvm_msi, kvm_vcpu_events,
};
use vmm_sys_util::ioctl::ioctl_with_ref;
use vmm_sys_util::ioctl_iow_nr;

use super::vcpu::Unfinished;
use super::{KvmCpu, failed};
use crate::cpu::Cpu;
use crate::error::Result;
use crate::fault::Injection;
use crate::registers::{Activity, SystemRegisters};

/// Where the address of a message-signalled interrupt has the APIC id of its target, and the
/// address for id 0 (Intel SDM vol. 3, 11.11.1).
const MSI_ADDRESS: u32 = 0xfee0_0000;
const MSI_TARGET_SHIFT: u32 = 12;
/// The interrupt request register: 256 bits, 32 of them in every 16 bytes.
const IRR: std::ops::Range<usize> = 0x200..0x280;

ioctl_iow_nr!(KVM_INTERRUPT, KVMIO, 0x86, kvm_interrupt);

impl KvmCpu {
    /// The pending events, also where they have been restored and KVM has not taken them yet.
    fn events(&mut self) -> Result<kvm_vcpu_events> {
        self.flush()?;
        self.fd().get_vcpu_events().map_err(failed("KVM_GET_VCPU_EVENTS"))
    }

    /// Queues an external interrupt. The guest must be [able to take it](Self::takes_interrupts).
    pub fn interrupt(&mut self, vector: u8) -> Result<()> {
        self.flush()?;
        let interrupt = kvm_interrupt { irq: vector.into() };
        // SAFETY: the descriptor is a vCPU's, and KVM only reads the structure.
        let queued = unsafe { ioctl_with_ref(self.fd(), KVM_INTERRUPT(), &interrupt) };
        if queued == 0 { Ok(()) } else { Err(failed("KVM_INTERRUPT")(kvm_ioctls::Error::last())) }
    }

    /// Queues an NMI.
    pub fn nmi(&mut self) -> Result<()> {
        self.flush()?;
        self.fd().nmi().map_err(failed("KVM_NMI"))
    }

    /// Gives the vCPU, the one with this APIC id, what a fault wants it to get. Returns false if it
    /// can't get it now.
    pub(super) fn inject(&mut self, id: u32, injection: Injection) -> Result<bool> {
        match injection {
            // KVM would end the wait for the SIPI.
            Injection::Nmi if self.activity()? == Activity::WaitForSipi => Ok(false),
            // Another one would be merged with it.
            Injection::Nmi if self.has_pending_nmi()? => Ok(false),
            Injection::Nmi => self.nmi().map(|()| true),
            Injection::Interrupt { vector } if self.requests(vector)? => Ok(false),
            Injection::Interrupt { vector } => self.send_interrupt(id, vector),
            Injection::Exception { vector, error_code, address } => {
                self.raise(vector, error_code, address)
            }
            Injection::TscJump(nanoseconds) => self.move_tsc(nanoseconds),
            Injection::ClockJump(nanoseconds) => self.move_clock(nanoseconds),
            Injection::TscDrift(ppm) => self.change_tsc_rate(ppm),
        }
    }

    /// Gives the guest an exception before its next instruction, and page faults their address.
    /// Returns false if the vCPU sleeps, has begun an access, or takes something else first.
    fn raise(&mut self, vector: u8, error_code: Option<u32>, address: Option<u64>) -> Result<bool> {
        if self.unfinished() != Unfinished::Nothing || self.activity()? != Activity::Running {
            return Ok(false);
        }
        self.flush()?;
        let mut events = self.fd().get_vcpu_events().map_err(failed("KVM_GET_VCPU_EVENTS"))?;
        let exception = &mut events.exception;
        let takes_other = events.interrupt.injected | events.nmi.injected;
        if exception.injected | exception.pending | takes_other != 0 {
            return Ok(false);
        }
        exception.injected = 1;
        exception.nr = vector;
        exception.has_error_code = error_code.is_some().into();
        exception.error_code = error_code.unwrap_or(0);
        if let Some(cr2) = address {
            let system = self.system_registers()?;
            self.set_system_registers(&SystemRegisters { cr2, ..system })?;
            self.flush()?;
        }
        self.fd().set_vcpu_events(&events).map_err(failed("KVM_SET_VCPU_EVENTS"))?;
        Ok(true)
    }

    /// Sends an edge-triggered interrupt to the vCPU with this APIC id, by the in-kernel irqchip.
    /// Returns false if its local APIC does not take it.
    fn send_interrupt(&self, id: u32, vector: u8) -> Result<bool> {
        let address_lo = MSI_ADDRESS | id << MSI_TARGET_SHIFT;
        let message = kvm_msi { address_lo, data: vector.into(), ..Default::default() };
        let taken = self.machine().fd().signal_msi(message).map_err(failed("KVM_SIGNAL_MSI"))?;
        Ok(taken > 0)
    }

    /// Whether an interrupt is pending at the vCPU's local APIC in the in-kernel irqchip.
    pub fn has_pending_interrupt(&mut self) -> Result<bool> {
        let lapic = self.fd().get_lapic().map_err(failed("KVM_GET_LAPIC"))?;
        Ok(lapic.regs[IRR].chunks(16).any(|word| word[..4].iter().any(|byte| *byte != 0)))
    }

    /// Whether an interrupt with this vector is pending at the vCPU's local APIC in the in-kernel
    /// irqchip: another one would be merged with it.
    fn requests(&mut self, vector: u8) -> Result<bool> {
        let lapic = self.fd().get_lapic().map_err(failed("KVM_GET_LAPIC"))?;
        let at = IRR.start + usize::from(vector / 32) * 16 + usize::from(vector % 32 / 8);
        Ok(lapic.regs[at].cast_unsigned() >> (vector % 8) & 1 != 0)
    }

    fn has_pending_nmi(&mut self) -> Result<bool> {
        self.flush()?;
        let events = self.fd().get_vcpu_events().map_err(failed("KVM_GET_VCPU_EVENTS"))?;
        Ok(events.nmi.pending != 0)
    }

    /// Whether an NMI is being served, or is taken before the next instruction: no other NMI is
    /// taken until IRET.
    pub fn serves_nmi(&mut self) -> Result<bool> {
        let events = self.events()?;
        Ok(events.nmi.masked != 0 || events.nmi.injected != 0 || events.nmi.pending != 0)
    }

    /// Has the vCPU serve an NMI that KVM has not delivered: it takes no other until IRET.
    pub(crate) fn mask_nmi(&mut self) -> Result<()> {
        let mut events = self.events()?;
        events.nmi.masked = 1;
        self.fd().set_vcpu_events(&events).map_err(failed("KVM_SET_VCPU_EVENTS"))
    }

    /// Whether an interrupt or NMI has been queued and not been delivered yet.
    pub fn is_interrupt_queued(&mut self) -> Result<bool> {
        let events = self.events()?;
        Ok(events.interrupt.injected != 0 || events.nmi.injected != 0 || events.nmi.pending != 0)
    }

    /// Whether an exception of the latest instruction has not been delivered yet.
    pub fn is_exception_queued(&mut self) -> Result<bool> {
        let events = self.events()?;
        Ok(events.exception.injected != 0 || events.exception.pending != 0)
    }

    /// Removes a pending NMI and an interrupt that was to be delivered next, and ends the handling
    /// of an NMI, as INIT does.
    pub fn clear_pending(&mut self) -> Result<()> {
        let mut events = self.events()?;
        (events.nmi.pending, events.nmi.injected, events.nmi.masked) = (0, 0, 0);
        events.interrupt.injected = 0;
        events.flags |= KVM_VCPUEVENT_VALID_NMI_PENDING;
        self.fd().set_vcpu_events(&events).map_err(failed("KVM_SET_VCPU_EVENTS"))
    }

    /// Whether an interrupt could be delivered at the latest exit: the guest has interrupts
    /// enabled, and no interrupt is queued.
    pub fn takes_interrupts(&mut self) -> bool {
        let run = self.fd().get_kvm_run();
        run.if_flag != 0 && run.ready_for_interrupt_injection != 0
    }

    /// Requests an exit as soon as the guest can take an interrupt, or cancels the request.
    pub fn want_interrupt_window(&mut self, wanted: bool) {
        self.fd().get_kvm_run().request_interrupt_window = wanted.into();
    }
}
