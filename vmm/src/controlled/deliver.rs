//! Delivers interrupts to vCPUs that are single-stepped, as the processor does on the way to a
//! handler.
//!
//! Where a single step is made by the trap flag, the delivery of an interrupt clears that flag, and
//! a handler would run to its end. The frame would hold the flag, and IRETQ would bring it back to
//! a vCPU that may not be single-stepped any more: the guest would get a debug exception. So the
//! frame is put on the stack here, and the handler's first instruction is the next step of the
//! vCPU (Intel SDM vol. 3, 6.14). At instruction granularity the way back, IRETQ, is also done
//! here: some hosts that emulate it don't always stop behind it. All this applies to 64-bit kernel
//! code (ring 0) that stays at its privilege level. Other cases are left to KVM.

use super::ControlledMachine;
use crate::cpu::Cpu;
use crate::end::End;
use crate::error::{Error, Result};
use crate::memory::Memory;
use crate::paging;
use crate::registers::{Registers, SystemRegisters};

/// The flags that the delivery clears: TF, NT, RF and VM.
const CLEARED: u64 = Registers::TRAP_FLAG | NT | Registers::RESUME_FLAG | VM;
const NT: u64 = 1 << 14;
const VM: u64 = 1 << 17;
/// The bits of RFLAGS that IRETQ takes from the stack. Bit 1 is always set.
const FLAGS: u64 = 0x003f_7fd5;
/// The offset of IST 1 in a TSS; the other IST entries follow.
const TSS_IST: u64 = 0x24;
/// Gate types.
const INTERRUPT_GATE: u8 = 0xe;
const TRAP_GATE: u8 = 0xf;
pub(super) const NMI: u8 = 2;

/// The words of an interrupt frame, with their guest-physical addresses.
pub(super) type Frame = [(u64, u64); 5];

/// The result of delivering an interrupt.
struct Delivery {
    registers: Registers,
    frame: Frame,
}

impl ControlledMachine {
    /// At instruction granularity: takes a vCPU to the handler of a vector.
    pub(super) fn deliver(&mut self, vcpu: u32, vector: u8) -> Result<Option<End>> {
        self.progress.note();
        self.vcpus[vcpu as usize].tracker.clear();
        let Some(frame) = self.deliver_here(vcpu, vector)? else {
            return self.leave_to_kvm(vcpu, vector);
        };
        for (address, _) in frame {
            self.changed(vcpu, address, 8);
        }
        self.vcpus[vcpu as usize].armed = false;
        Ok(None)
    }

    /// Takes a vCPU to the handler of a vector. Returns the frame that is now on the stack, `None`
    /// if this is left to KVM.
    pub(super) fn deliver_here(&mut self, vcpu: u32, vector: u8) -> Result<Option<Frame>> {
        let cpu = &mut self.vcpus[vcpu as usize].cpu;
        let (registers, system) = (cpu.registers()?, cpu.system_registers()?);
        let Some(delivery) = delivery(vector, &registers, &system, &self.memory) else {
            return Ok(None);
        };
        if delivery.frame.iter().any(|(address, _)| self.memory.is_trapped(*address)) {
            return Ok(None);
        }
        for (address, word) in delivery.frame {
            self.memory.write(address, &word.to_le_bytes())?;
        }
        cpu.set_registers(&delivery.registers)?;
        Ok(Some(delivery.frame))
    }

    /// Has KVM deliver the interrupt; this also executes the handler's first instruction.
    fn leave_to_kvm(&mut self, vcpu: u32, vector: u8) -> Result<Option<End>> {
        let cpu = &mut self.vcpus[vcpu as usize].cpu;
        let (registers, system) = (cpu.registers()?, cpu.system_registers()?);
        if !self.stepping.handlers {
            let problem = "an interrupt outside 64-bit code of one privilege, and this host \
                           doesn't stop single steps in its handler";
            return Err(Error::Step { vcpu, rip: registers.rip, problem });
        }
        let ctx = &mut self.vcpus[vcpu as usize];
        match vector {
            NMI => ctx.cpu.nmi()?,
            vector => ctx.cpu.interrupt(vector)?,
        }
        // The interrupt to deliver must not be blocked.
        let blocks = std::mem::replace(&mut ctx.blocks_interrupts, false);
        ctx.armed = false;
        let ending = self.step(vcpu, None, &registers, &system);
        let ctx = &mut self.vcpus[vcpu as usize];
        (ctx.blocks_interrupts, ctx.armed) = (blocks, false);
        ending
    }
}

/// The registers after an IRETQ. `None` if it changes the code segment or the privilege, or faults.
pub(super) fn interrupt_return(
    registers: &Registers,
    system: &SystemRegisters,
    memory: &Memory,
) -> Option<Registers> {
    if system.code_bits() != 64 || system.privilege() != 0 || registers.rflags & NT != 0 {
        return None;
    }
    let mut words = [0; 5];
    for (word, at) in words.iter_mut().zip((0..).step_by(8)) {
        *word = paging::read_integer(system, memory, registers.rsp.wrapping_add(at), 8).ok()?;
    }
    let [rip, cs, rflags, rsp, ss] = words;
    let same_code = cs == u64::from(system.cs.selector) && ss == u64::from(system.ss.selector);
    let plain = rflags & (Registers::TRAP_FLAG | VM | NT) == 0
        && paging::Mode::of(system).is_canonical(rip);
    (same_code && plain).then_some(Registers {
        rip,
        rflags: rflags & FLAGS | Registers::RESERVED_FLAG,
        rsp,
        ..*registers
    })
}

/// `None` if the delivery is not a simple one: 64-bit code, ring 0, and an interrupt or trap gate
/// to the same code segment.
fn delivery(
    vector: u8,
    registers: &Registers,
    system: &SystemRegisters,
    memory: &Memory,
) -> Option<Delivery> {
    let offset = 16 * u16::from(vector);
    if system.code_bits() != 64 || system.privilege() != 0 || offset + 15 > system.idt.limit {
        return None;
    }
    let mut gate = [0; 16];
    paging::read(system, memory, system.idt.base.wrapping_add(offset.into()), &mut gate).ok()?;
    let half = |at: usize| u64::from(u16::from_le_bytes([gate[at], gate[at + 1]]));
    let (selector, stack, kind) = (half(2) as u16, gate[4] & 7, gate[5]);
    let is_present = kind & 0x80 != 0;
    let same_code = selector & !3 == system.cs.selector & !3;
    if !is_present || !same_code || !matches!(kind & 0x1f, INTERRUPT_GATE | TRAP_GATE) {
        return None;
    }
    let top = match stack {
        0 => registers.rsp,
        stack => {
            let entry = system.tr.base.wrapping_add(TSS_IST + 8 * u64::from(stack - 1));
            paging::read_integer(system, memory, entry, 8).ok()?
        }
    };
    let top = top & !0xf;
    let words = [
        registers.rip,
        system.cs.selector.into(),
        registers.rflags,
        registers.rsp,
        system.ss.selector.into(),
    ];
    let mut frame = [(0, 0); 5];
    let rsp = top.wrapping_sub(40);
    for ((place, word), at) in frame.iter_mut().zip(words).zip((0..).step_by(8)) {
        let address = paging::translate(system, memory, rsp.wrapping_add(at)).ok()?;
        memory.read_u64(address).ok()?;
        *place = (address, word);
    }
    let mut after = *registers;
    after.rip = half(0) | half(6) << 16 | half(8) << 32 | half(10) << 48;
    after.rsp = rsp;
    after.rflags &= !CLEARED;
    if kind & 0x1f == INTERRUPT_GATE {
        after.rflags &= !Registers::INTERRUPT_FLAG;
    }
    Some(Delivery { registers: after, frame })
}
