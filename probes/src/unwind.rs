//! Who called whom: a walk up the guest's frame pointers.
//!
//! A function that keeps a frame pointer begins with `push %rbp; mov %rsp,%rbp`. From then on RBP
//! points at the caller's RBP, with the return address above it. Before the `mov` is done, and
//! again at the `ret`, RBP still (or already) is the caller's, and the walk would leave the caller
//! out; so the code at RIP is looked at, and the return address is taken from the stack there.
//! Compilers also leave the frame out of functions that call nobody, which is what spin loops are
//! made of; `unwind/leaf.rs` finds those callers.

mod leaf;

use vmm::registers::{Registers, SystemRegisters};

use crate::paging::{self, Mode, PhysicalMemory};
use crate::text::Text;

/// The most frames of a stack.
pub const MAX_FRAMES: usize = 64;

/// The addresses of a stack: RIP, then return addresses. In 16- and 32-bit code the base of CS is
/// added to them.
pub fn walk<M: PhysicalMemory + ?Sized>(
    registers: &Registers,
    system: &SystemRegisters,
    memory: &M,
) -> Vec<u64> {
    let word = match system.code_bits() {
        64 => 8,
        32 => 4,
        // Nobody agrees on frames in real mode.
        _ => return vec![linear(system.cs.base, registers.rip)],
    };
    let guest = Guest { system, memory, word, mode: Mode::of(system) };
    let mut frames = vec![guest.code(registers.rip)];
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
        // The walk has been here already if RIP is at a `ret` that is about to take this very slot.
        if early != Some(slot) && !guest.push_caller(slot, &mut frames) {
            break;
        }
        // Stacks grow down, so callers lie above. This also ends a circle.
        if next <= frame {
            break;
        }
        frame = next;
    }
    frames
}

/// `GUEST_0x..._0x...`: a stack as `VProbes` prints it, ended by `_...` where it doesn't fit.
pub fn guest_stack(frames: &[u64], text: &mut Text) {
    const CUT: &[u8] = b"_...";
    text.clear();
    text.push(b"GUEST");
    for (index, frame) in frames.iter().enumerate() {
        let item = format!("_{frame:#x}");
        let last = index + 1 == frames.len();
        let needed = item.len() + if last { 0 } else { CUT.len() };
        if text.as_bytes().len() + needed > Text::MAX {
            return text.push(CUT);
        }
        text.push(item.as_bytes());
    }
}

fn linear(base: u64, offset: u64) -> u64 {
    base.wrapping_add(offset) & 0xffff_ffff
}

/// The guest's memory as its code and its stack see it.
struct Guest<'a, M: ?Sized> {
    system: &'a SystemRegisters,
    memory: &'a M,
    /// Bytes in a word of the stack.
    word: u64,
    mode: Mode,
}

impl<M: PhysicalMemory + ?Sized> Guest<'_, M> {
    /// The linear address of code; only outside 64-bit code does CS have a base.
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

    /// Adds the return address that lies in a slot of the stack; `false` if none can be there.
    fn push_caller(&self, slot: u64, frames: &mut Vec<u64>) -> bool {
        match self.stack_word(slot) {
            Some(address) if address != 0 && self.mode.is_canonical(self.code(address)) => {
                frames.push(self.code(address));
                true
            }
            _ => false,
        }
    }

    /// Where the return address is if RBP is not this function's own.
    fn early_caller(&self, registers: &Registers) -> Option<u64> {
        let mut bytes = [0; 5];
        let length = self.code_bytes(self.code(registers.rip), &mut bytes);
        let code = bytes.get(..length).unwrap_or_default();
        let rsp = self.fit(registers.rsp);
        match code {
            // A function's first instruction (endbr64, endbr32, push %rbp), or one of the forms
            // of ret.
            [0xf3, 0x0f, 0x1e, 0xfa | 0xfb, ..]
            | [0x55 | 0xc3 | 0xc2, ..]
            | [0xf3 | 0xf2, 0xc3, ..] => Some(rsp),
            // mov %rsp,%rbp in both encodings: the caller's RBP has just been pushed.
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

    /// Reads as much code as is mapped.
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
