//! The walk from frame to frame.

use vmm::paging::PhysicalMemory;
use vmm::registers::Registers;

use super::entry::{Base, Entry, Kind};
use crate::linux::view::View;
use crate::unwind::{CallFrame, MAX_FRAMES, Quality};

/// Offsets in `struct pt_regs` (`arch/x86/include/asm/ptrace.h`): fifteen general registers, the
/// error code, and from there on what the processor pushes.
mod saved {
    pub(super) const R13: u64 = 2 * 8;
    pub(super) const BP: u64 = 4 * 8;
    pub(super) const R10: u64 = 7 * 8;
    pub(super) const DX: u64 = 12 * 8;
    pub(super) const DI: u64 = 14 * 8;
    pub(super) const IP: u64 = 16 * 8;
}

/// Offsets in what the processor pushes at an interrupt (AMD APM vol. 2, 8.9.3).
mod pushed {
    pub(super) const CS: u64 = 8;
    pub(super) const SP: u64 = 3 * 8;
}

/// Where the registers that no entry describes are, if they are known.
#[derive(Clone, Copy)]
enum Known<'a> {
    /// In the vCPU: no call lies between.
    Vcpu(&'a Registers),
    /// In a `struct pt_regs` at this address.
    At(u64),
    Nowhere,
}

/// The state before a step.
struct Walk<'a, M: ?Sized> {
    view: &'a View<'a, M>,
    ip: u64,
    sp: u64,
    bp: u64,
    known: Known<'a>,
    /// Whether `ip` is an instruction that was interrupted, and not one behind a call.
    is_signal: bool,
}

/// The frames of a vCPU that is in kernel mode. `entry` looks up an address.
pub(super) fn frames<M: PhysicalMemory + ?Sized>(
    view: &View<'_, M>,
    registers: &Registers,
    entry: impl Fn(u64) -> Option<Entry>,
) -> Vec<CallFrame> {
    let known = Known::Vcpu(registers);
    let Registers { rip: ip, rsp: sp, rbp: bp, .. } = *registers;
    let mut walk = Walk { view, ip, sp, bp, known, is_signal: true };
    let mut frames = vec![walk.frame()];
    while frames.len() < MAX_FRAMES {
        // A call may be the last instruction of its function.
        let looked_up = walk.ip.wrapping_sub(u64::from(!walk.is_signal));
        let Some(entry) = entry(looked_up) else { break };
        let before = (walk.ip, walk.sp);
        if walk.step(entry).is_none() || (walk.ip, walk.sp) == before {
            break;
        }
        frames.push(walk.frame());
    }
    frames
}

impl<M: PhysicalMemory + ?Sized> Walk<'_, M> {
    fn frame(&self) -> CallFrame {
        CallFrame { address: self.ip, quality: Quality::Exact, is_return_address: !self.is_signal }
    }

    /// Goes to the caller; `None` at the end of the kernel's stack.
    fn step(&mut self, entry: Entry) -> Option<()> {
        if entry.kind == Kind::End {
            return None;
        }
        let sp = self.caller_sp(entry)?;
        match entry.kind {
            Kind::Call => {
                self.ip = self.view.word(sp.wrapping_sub(8))?;
                self.sp = sp;
                self.known = Known::Nowhere;
            }
            Kind::Registers => {
                self.interrupted(sp.wrapping_add(saved::IP))?;
                self.known = Known::At(sp);
            }
            // What is known of the other registers remains known.
            Kind::InterruptFrame => self.interrupted(sp)?,
            Kind::End => return None,
        }
        self.is_signal = entry.is_signal;
        let offset = i64::from(entry.bp_offset) as u64;
        match entry.bp {
            Base::Undefined => self.bp = self.register(saved::BP).unwrap_or(self.bp),
            Base::PreviousSp => self.bp = self.view.word(sp.wrapping_add(offset))?,
            Base::Bp => self.bp = self.view.word(self.bp.wrapping_add(offset))?,
            _ => return None,
        }
        // The kernel is in the upper half of the addresses.
        (self.ip >> 63 == 1).then_some(())
    }

    fn caller_sp(&self, entry: Entry) -> Option<u64> {
        let offset = i64::from(entry.sp_offset) as u64;
        Some(match entry.sp {
            Base::Sp => self.sp.wrapping_add(offset),
            Base::Bp => self.bp.wrapping_add(offset),
            Base::SpIndirect => self.view.word(self.sp)?.wrapping_add(offset),
            Base::BpIndirect => self.view.word(self.bp.wrapping_add(offset))?,
            Base::R10 => self.register(saved::R10)?,
            Base::R13 => self.register(saved::R13)?,
            Base::Di => self.register(saved::DI)?,
            Base::Dx => self.register(saved::DX)?,
            Base::Undefined | Base::PreviousSp => return None,
        })
    }

    /// Continues with what was interrupted; `None` if that was a program.
    fn interrupted(&mut self, frame: u64) -> Option<()> {
        let selector = self.view.word(frame.wrapping_add(pushed::CS))?;
        if selector & 3 != 0 {
            return None;
        }
        self.ip = self.view.word(frame)?;
        self.sp = self.view.word(frame.wrapping_add(pushed::SP))?;
        Some(())
    }

    /// The value of a register, by its offset in `struct pt_regs`.
    fn register(&self, offset: u64) -> Option<u64> {
        match self.known {
            Known::Nowhere => None,
            Known::At(regs) => self.view.word(regs.wrapping_add(offset)),
            Known::Vcpu(registers) => match offset {
                saved::BP => Some(registers.rbp),
                saved::R10 => Some(registers.r10),
                saved::R13 => Some(registers.r13),
                saved::DI => Some(registers.rdi),
                saved::DX => Some(registers.rdx),
                _ => None,
            },
        }
    }
}
