//! Unwinds along frame pointers.
//!
//! A function that keeps a frame pointer begins with `push %rbp; mov %rsp,%rbp`. From then on, RBP
//! points to the saved RBP of the caller, and the return address is above it. Before the `mov`, and
//! again at the `ret`, RBP belongs to the caller, and a walk that starts there would miss the
//! caller. So the walk inspects the code at RIP, and in these cases takes the return address from
//! the top of the stack. Compilers also omit the frame in functions that call no other function,
//! and spin loops are often in such functions; `frame_pointers/leaf.rs` finds their callers.

mod leaf;

use vmm::paging::{self, Mode, PhysicalMemory};
use vmm::registers::{Registers, SystemRegisters};

use super::{CallFrame, MAX_FRAMES, Quality, Unwinder, call};

/// The unwinder that follows frame pointers.
#[derive(Clone, Copy, Debug)]
pub(super) struct FramePointers;

impl Unwinder for FramePointers {
    fn unwind<M: PhysicalMemory + ?Sized>(
        &self,
        registers: &Registers,
        system: &SystemRegisters,
        memory: &M,
    ) -> Vec<CallFrame> {
        let word = match system.code_bits() {
            64 => 8,
            32 => 4,
            // Real-mode code has no common frame layout.
            _ => return vec![innermost(linear(system.cs.base, registers.rip))],
        };
        let guest = Guest { system, memory, word, mode: Mode::of(system) };
        let mut frames = vec![innermost(guest.code(registers.rip))];
        let early = guest.early_caller(registers);
        if let Some(slot) = early
            && !guest.push_caller(slot, &mut frames)
        {
            return frames;
        }
        let mut frame = guest.fit(registers.rbp);
        while frames.len() < MAX_FRAMES && frame != 0 && frame.is_multiple_of(word) {
            let Some(next) = guest.stack_word(frame) else { break };
            let slot = frame.wrapping_add(word);
            // The walk has already used this slot, if RIP is at a `ret` that pops it.
            if early != Some(slot) && !guest.push_caller(slot, &mut frames) {
                break;
            }
            // Stacks grow down, so callers' frames are at higher addresses. This also ends a cycle.
            if next <= frame {
                break;
            }
            frame = next;
        }
        frames
    }
}

/// The frame of RIP.
fn innermost(address: u64) -> CallFrame {
    CallFrame { address, quality: Quality::Exact, is_return_address: false }
}

fn linear(base: u64, offset: u64) -> u64 {
    base.wrapping_add(offset) & 0xffff_ffff
}

/// The guest's memory, as its code and its stack address it.
struct Guest<'a, M: ?Sized> {
    system: &'a SystemRegisters,
    memory: &'a M,
    /// The size of a word on the stack in bytes.
    word: u64,
    mode: Mode,
}

impl<M: PhysicalMemory + ?Sized> Guest<'_, M> {
    /// The linear address of code. Only outside 64-bit code does CS have a base.
    fn code(&self, offset: u64) -> u64 {
        if self.word == 8 { offset } else { linear(self.system.cs.base, offset) }
    }

    fn fit(&self, value: u64) -> u64 {
        if self.word == 8 { value } else { value & 0xffff_ffff }
    }

    fn stack_word(&self, offset: u64) -> Option<u64> {
        let address = if self.word == 8 { offset } else { linear(self.system.ss.base, offset) };
        paging::read_integer(self.system, self.memory, address, self.word as usize).ok()
    }

    /// Adds the return address in a slot of the stack; `false` if the slot can't hold a return
    /// address.
    fn push_caller(&self, slot: u64, frames: &mut Vec<CallFrame>) -> bool {
        match self.stack_word(slot) {
            Some(address) if address != 0 && self.mode.is_canonical(self.code(address)) => {
                frames.push(self.caller(self.code(address)));
                true
            }
            _ => false,
        }
    }

    /// The frame with this return address.
    fn caller(&self, address: u64) -> CallFrame {
        let mut bytes = [0; call::LONGEST];
        let start = address.wrapping_sub(call::LONGEST as u64);
        // Code at the start of a page may follow a page that isn't mapped.
        let follows_call = (0..call::LONGEST).any(|skipped| {
            let rest = bytes.get_mut(skipped..).unwrap_or_default();
            self.read_code(start.wrapping_add(skipped as u64), rest).is_ok()
                && call::is_at_end(rest)
        });
        let quality = if follows_call { Quality::Plausible } else { Quality::Guessed };
        CallFrame { address, quality, is_return_address: true }
    }

    /// The stack slot of the return address, if RBP isn't this function's own.
    fn early_caller(&self, registers: &Registers) -> Option<u64> {
        let mut bytes = [0; 5];
        let length = self.code_bytes(self.code(registers.rip), &mut bytes);
        let code = bytes.get(..length).unwrap_or_default();
        let rsp = self.fit(registers.rsp);
        match code {
            // The first instruction of a function (endbr64, endbr32 or push %rbp), or a form of
            // ret.
            [0xf3, 0x0f, 0x1e, 0xfa | 0xfb, ..]
            | [0x55 | 0xc3 | 0xc2, ..]
            | [0xf3 | 0xf2, 0xc3, ..] => Some(rsp),
            // mov %rsp,%rbp in both encodings: the caller's RBP is on top of the stack.
            [0x48, 0x89, 0xe5, ..] | [0x48, 0x8b, 0xec, ..] if self.word == 8 => {
                self.pushed(registers, rsp)
            }
            [0x89, 0xe5, ..] | [0x8b, 0xec, ..] if self.word == 4 => self.pushed(registers, rsp),
            _ => leaf::caller(self, registers),
        }
    }

    fn pushed(&self, registers: &Registers, rsp: u64) -> Option<u64> {
        let saved = self.stack_word(rsp)?;
        (saved == self.fit(registers.rbp)).then(|| rsp.wrapping_add(self.word))
    }

    fn read_code(&self, address: u64, buffer: &mut [u8]) -> Result<(), paging::Fault> {
        paging::read(self.system, self.memory, address, buffer)
    }

    /// Reads code up to the first byte that isn't mapped, and returns the number of bytes.
    fn code_bytes(&self, address: u64, buffer: &mut [u8]) -> usize {
        for (index, byte) in buffer.iter_mut().enumerate() {
            let address = address.wrapping_add(index as u64);
            if self.read_code(address, std::slice::from_mut(byte)).is_err() {
                return index;
            }
        }
        buffer.len()
    }
}

#[cfg(test)]
mod tests;
