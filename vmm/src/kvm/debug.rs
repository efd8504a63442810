//! Guest debug: single steps, breakpoints and watchpoints that exit to the host.
//!
//! KVM has two rules. KVM records RIP when [`KvmCpu::set_debug`] is called. The trap flag, by which
//! most hosts step, is lost when KVM emulates an instruction or when registers are set elsewhere:
//! stepping then ends without notice unless `set_debug` is called again. And a hardware breakpoint
//! hits again on resuming unless RFLAGS.RF is set, and on some hosts even then.

use kvm_bindings::{
    KVM_GUESTDBG_BLOCKIRQ, KVM_GUESTDBG_ENABLE, KVM_GUESTDBG_INJECT_BP, KVM_GUESTDBG_SINGLESTEP,
    KVM_GUESTDBG_USE_HW_BP, KVM_GUESTDBG_USE_SW_BP, KVM_MP_STATE_HALTED,
    KVM_VCPUEVENT_VALID_SHADOW, KVM_X86_SHADOW_INT_STI, kvm_guest_debug, kvm_mp_state,
};

use super::{KvmCpu, failed};
use crate::cpu::{Cpu, Debuggable};
use crate::error::Result;
use crate::exit::{Entry, Exit};
use crate::fault::Injection;
use crate::guest_debug::{GuestDebug, Length, Trigger};
use crate::registers::Registers;

impl GuestDebug {
    fn to_kvm(self) -> kvm_guest_debug {
        let mut debug = kvm_guest_debug::default();
        let hardware = self.debug_exceptions || self.breakpoints.iter().any(Option::is_some);
        let flags = [
            (self.step, KVM_GUESTDBG_SINGLESTEP),
            (self.block_interrupts, KVM_GUESTDBG_BLOCKIRQ),
            (self.software_breakpoints, KVM_GUESTDBG_USE_SW_BP),
            (hardware, KVM_GUESTDBG_USE_HW_BP),
        ];
        debug.control = flags.iter().filter(|flag| flag.0).map(|flag| flag.1).sum();
        if debug.control != 0 {
            debug.control |= KVM_GUESTDBG_ENABLE;
        }
        for (index, breakpoint) in self.breakpoints.iter().enumerate() {
            if let Some(breakpoint) = breakpoint {
                debug.arch.debugreg[index] = breakpoint.address;
                debug.arch.debugreg[7] |= dr7(index, breakpoint.trigger);
            }
        }
        debug
    }
}

/// The bits of DR7 that enable breakpoint `index` (Intel SDM vol. 3, 18.2.4).
fn dr7(index: usize, trigger: Trigger) -> u64 {
    const EXACT: u64 = 1 << 8 | 1 << 9;
    let (kind, length) = match trigger {
        Trigger::Execute => (0b00, 0),
        Trigger::Write(length) => (0b01, len(length)),
        Trigger::Access(length) => (0b11, len(length)),
    };
    EXACT | 0b10 << (2 * index) | (kind | length << 2) << (16 + 4 * index)
}

/// The LEN field of a watchpoint in DR7 (Intel SDM vol. 3, 18.2.4).
fn len(length: Length) -> u64 {
    match length {
        Length::One => 0b00,
        Length::Two => 0b01,
        Length::Four => 0b11,
        Length::Eight => 0b10,
    }
}

impl KvmCpu {
    /// Sets the debug exceptions that exit to the host; by default there are no such exceptions.
    pub fn set_debug(&mut self, debug: &GuestDebug) -> Result<()> {
        self.flush()?;
        self.fd().set_guest_debug(&debug.to_kvm()).map_err(failed("KVM_SET_GUEST_DEBUG"))
    }

    /// Queues the #BP of an INT3 at RIP that exited. KVM knows the length of the instruction from
    /// that exit, so what the guest's handler finds on its stack is the address behind it. Setting
    /// registers before the next entry drops the exception.
    pub fn raise_breakpoint(&mut self, debug: &GuestDebug) -> Result<()> {
        self.flush()?;
        let mut kvm = debug.to_kvm();
        kvm.control |= KVM_GUESTDBG_INJECT_BP;
        self.fd().set_guest_debug(&kvm).map_err(failed("KVM_SET_GUEST_DEBUG"))
    }
}

impl Debuggable for KvmCpu {
    fn set_debug(&mut self, debug: &GuestDebug) -> Result<()> {
        KvmCpu::set_debug(self, debug)
    }

    fn raise_breakpoint(&mut self, debug: &GuestDebug) -> Result<()> {
        KvmCpu::raise_breakpoint(self, debug)
    }

    fn finish_access(&mut self, entry: Entry) -> Result<Option<Exit>> {
        KvmCpu::finish_access(self, entry)
    }

    fn has_pending_interrupt(&mut self) -> Result<bool> {
        KvmCpu::has_pending_interrupt(self)
    }

    fn nmi(&mut self) -> Result<()> {
        KvmCpu::nmi(self)
    }

    fn halt(&mut self) -> Result<()> {
        let registers = self.registers()?;
        self.execute(&registers, 0)?;
        let halted = kvm_mp_state { mp_state: KVM_MP_STATE_HALTED };
        self.fd().set_mp_state(halted).map_err(failed("KVM_SET_MP_STATE"))
    }

    fn enable_interrupts(&mut self) -> Result<()> {
        const IF: u64 = Registers::INTERRUPT_FLAG;
        let mut registers = self.registers()?;
        let was_off = registers.rflags & IF == 0;
        registers.rflags |= IF;
        self.execute(&registers, if was_off { KVM_X86_SHADOW_INT_STI as u8 } else { 0 })?;
        // KVM reports whether the guest takes interrupts only at an exit.
        self.refresh()
    }

    fn read_msr(&mut self, index: u32) -> Result<Option<u64>> {
        KvmCpu::read_msr(self, index)
    }

    fn write_msr(&mut self, index: u32, value: u64) -> Result<()> {
        KvmCpu::write_msr(self, index, value)
    }

    fn answer_msr(&mut self, value: Option<u64>) {
        KvmCpu::answer_msr(self, value);
    }

    fn inject(&mut self, vcpu: u32, injection: Injection) -> Result<bool> {
        KvmCpu::inject(self, vcpu, injection)
    }
}

impl KvmCpu {
    /// Skips an instruction of one byte, with these registers. `shadow`: the interrupt shadow for
    /// the next instruction. KVM never wakes a vCPU in such a shadow.
    fn execute(&mut self, registers: &Registers, shadow: u8) -> Result<()> {
        self.set_registers(&Registers { rip: registers.rip.wrapping_add(1), ..*registers })?;
        self.flush()?;
        let fd = self.fd();
        let mut events = fd.get_vcpu_events().map_err(failed("KVM_GET_VCPU_EVENTS"))?;
        events.interrupt.shadow = shadow;
        events.flags |= KVM_VCPUEVENT_VALID_SHADOW;
        fd.set_vcpu_events(&events).map_err(failed("KVM_SET_VCPU_EVENTS"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guest_debug::Breakpoint;

    #[test]
    fn nothing_wanted_is_nothing_enabled() {
        assert_eq!(GuestDebug::default().to_kvm(), kvm_guest_debug::default());
    }

    #[test]
    fn breakpoints_fill_dr7() {
        let data = Some(Breakpoint { address: 0x1000, trigger: Trigger::Write(Length::Eight) });
        let code = Some(Breakpoint { address: 0x2000, trigger: Trigger::Execute });
        let debug = GuestDebug { breakpoints: [code, data, None, None], ..Default::default() };
        let kvm = debug.to_kvm();
        assert_eq!(kvm.control, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP);
        assert_eq!(kvm.arch.debugreg[..2], [0x2000, 0x1000]);
        assert_eq!(kvm.arch.debugreg[7], 0x90_030a);
    }

    #[test]
    fn a_watchpoint_covers_its_bytes_only() {
        let of = |length| dr7(0, Trigger::Access(length)) >> 16;
        let fields = Length::ALL.map(of);
        assert_eq!(fields, [0b1011, 0b1111, 0b0111, 0b0011]);
    }
}
