//! Finds the instruction before an address.

use super::{Decoded, MAX_INSTRUCTION, decode, decoder, fetch, linear};
use crate::memory::Memory;
use crate::registers::SystemRegisters;

/// The instruction that ends at `rip`. Code can't be decoded backwards, so it is decoded from many
/// places before `rip`: a decoder that starts in the middle of an instruction synchronises after a
/// few instructions. Returns the instruction that most attempts find, and whether nearly all find
/// it.
pub(super) fn before(
    rip: u64,
    system: &SystemRegisters,
    memory: &Memory,
) -> Option<(Decoded, bool)> {
    const BACK: usize = 64;
    /// The number of bytes that a decoder needs to synchronise.
    const LEAD: usize = 2 * MAX_INSTRUCTION;
    let bits = system.code_bits();
    let start = linear(rip, system).checked_sub(BACK as u64)?;
    let code = fetch(start, BACK, system, &memory.as_loaded());
    if code.len() < BACK {
        return None;
    }
    let mut votes = [0u32; MAX_INSTRUCTION + 1];
    for lead in 0..BACK - LEAD {
        let mut decoder = decoder(&code, rip.wrapping_sub(BACK as u64), bits);
        decoder.set_position(lead).ok()?;
        let mut last = lead;
        while decoder.can_decode() {
            last = decoder.position();
            if decoder.decode().is_invalid() {
                break;
            }
        }
        if decoder.position() == BACK && BACK - last <= MAX_INSTRUCTION {
            votes[BACK - last] += 1;
        }
    }
    let length = (1..=MAX_INSTRUCTION).max_by_key(|length| votes[*length])?;
    let sure = votes[length] > votes.iter().sum::<u32>() / 8 * 7;
    let decoded = decode(&code[BACK - length..], rip.wrapping_sub(length as u64), bits)?;
    (votes[length] > 0).then_some((decoded, sure))
}

#[cfg(test)]
#[path = "before_tests.rs"]
mod tests;
