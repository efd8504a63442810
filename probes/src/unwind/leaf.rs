//! The caller of a function without a frame.
//!
//! Its return address is near the top of the stack, among what the function has pushed itself. A
//! word there is taken for it only if the call before it says so: a direct call, to a place shortly
//! before RIP, with no frame set up between that place and RIP. A left-over return address of some
//! other call doesn't pass: either its target is elsewhere, or the prologue of the function that
//! RIP is in lies between.

use vmm::registers::Registers;

use super::Guest;
use crate::paging::PhysicalMemory;

/// How many words may lie above the return address on the stack.
const WORDS: u64 = 8;
/// The longest function that is looked at, in bytes.
const REACH: usize = 4096;
/// `call rel32` and its length.
const CALL: u8 = 0xe8;
const CALL_LENGTH: u64 = 5;

/// Where on the stack the return address is.
pub(super) fn caller<M: PhysicalMemory + ?Sized>(
    guest: &Guest<M>,
    registers: &Registers,
) -> Option<u64> {
    let (rip, rsp, rbp) =
        (guest.fit(registers.rip), guest.fit(registers.rsp), guest.fit(registers.rbp));
    (0..WORDS)
        .map(|index| rsp.wrapping_add(index * guest.word))
        // What lies above RBP belongs to the callers.
        .take_while(|&slot| rbp < rsp || slot < rbp)
        .find(|&slot| {
            let target = guest.stack_word(slot).and_then(|address| call_target(guest, address));
            target.is_some_and(|target| target <= rip && !sets_up_frame(guest, target, rip))
        })
}

/// Where the direct call goes that returns to `address`.
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

/// Whether the code from `start` to `end` sets a frame up, or may do so because it can't be read.
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
