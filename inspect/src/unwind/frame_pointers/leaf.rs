//! Finds the caller of a function that sets up no frame.
//!
//! The return address is near the top of the stack, but what the function itself has pushed is
//! nearer. A word on the stack is accepted as the return address only if the instruction before the
//! address that it holds is a direct call, the call's target is shortly before RIP, and no frame is
//! set up between that target and RIP. A stale return address of another call fails this test:
//! either the target of that call is elsewhere, or the prologue of RIP's function is in between.

use vmm::paging::PhysicalMemory;
use vmm::registers::Registers;

use super::Guest;

/// How many words at the top of the stack are examined.
const WORDS: u64 = 8;
/// The longest function that is examined, in bytes.
const REACH: usize = 4096;
/// The opcode of `call rel32`, and the length of the instruction.
const CALL: u8 = 0xe8;
const CALL_LENGTH: u64 = 5;

/// The stack slot of the return address.
pub(super) fn caller<M: PhysicalMemory + ?Sized>(
    guest: &Guest<M>,
    registers: &Registers,
) -> Option<u64> {
    let (rip, rsp, rbp) =
        (guest.fit(registers.rip), guest.fit(registers.rsp), guest.fit(registers.rbp));
    (0..WORDS)
        .map(|index| rsp.wrapping_add(index * guest.word))
        // The words from RBP upwards belong to the callers.
        .take_while(|&slot| rbp < rsp || slot < rbp)
        .find(|&slot| {
            let target = guest.stack_word(slot).and_then(|address| call_target(guest, address));
            target.is_some_and(|target| target <= rip && !sets_up_frame(guest, target, rip))
        })
}

/// The target of the direct call that returns to `address`.
fn call_target<M: PhysicalMemory + ?Sized>(guest: &Guest<M>, address: u64) -> Option<u64> {
    let mut bytes = [0; CALL_LENGTH as usize];
    let call = address.checked_sub(CALL_LENGTH)?;
    if guest.code_bytes(guest.code(call), &mut bytes) < bytes.len() {
        return None;
    }
    let [CALL, distance @ ..] = bytes else { return None };
    let distance = i64::from(i32::from_le_bytes(distance));
    Some(guest.fit(address.wrapping_add_signed(distance)))
}

/// Whether the code from `start` to `end` sets up a frame. `true` if the code can't be read.
fn sets_up_frame<M: PhysicalMemory + ?Sized>(guest: &Guest<M>, start: u64, end: u64) -> bool {
    // push %rbp; mov %rsp,%rbp
    let prologues: [&[u8]; 2] = if guest.word == 8 {
        [&[0x55, 0x48, 0x89, 0xe5], &[0x55, 0x48, 0x8b, 0xec]]
    } else {
        [&[0x55, 0x89, 0xe5], &[0x55, 0x8b, 0xec]]
    };
    let mut code = [0; REACH];
    let length = usize::try_from(end.wrapping_sub(start)).unwrap_or(usize::MAX);
    let Some(code) = code.get_mut(..length) else { return true };
    if guest.read_code(guest.code(start), code).is_err() {
        return true;
    }
    prologues.iter().any(|prologue| code.windows(prologue.len()).any(|bytes| bytes == *prologue))
}
