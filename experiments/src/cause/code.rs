//! Finds the instruction of an access in the guest's image.

use iced_x86::{Instruction, Mnemonic};
use inspect::{Symbols, image};
use vmm::disassemble::{self, Numbers};
use vmm::instruction::{MAX_INSTRUCTION, decode_all};

use super::trace::{Access, Kind};

/// The largest part of a function that is decoded, in bytes.
const FUNCTION: u64 = 4096;

/// The address and the text of an access's instruction. At an exit for a store, RIP may be after
/// the instruction. Code can't be decoded backwards, so it is decoded from the start of its
/// function.
pub(super) fn instruction(
    access: &Access,
    image: &[u8],
    symbols: Option<&Symbols>,
) -> (u64, Option<String>) {
    let behind = access.kind == Kind::Write;
    // One byte before RIP is inside the instruction.
    let inside = access.rip.wrapping_sub(u64::from(behind));
    let start = match symbols.and_then(|symbols| symbols.function(inside)) {
        Some((_, offset)) => inside.wrapping_sub(offset),
        None if behind => return (inside, None),
        None => inside,
    };
    let length = inside.wrapping_sub(start).saturating_add(MAX_INSTRUCTION as u64);
    let code = image::bytes(image, start, length).unwrap_or_default();
    let found = decode_all(code, start, 64).find(|it| (it.ip()..it.next_ip()).contains(&inside));
    found.map_or((inside, None), |found| (found.ip(), Some(text(&found))))
}

/// The CLI after an instruction, in the same function, if there is exactly one.
pub(super) fn interrupts_off(
    from: u64,
    image: &[u8],
    symbols: Option<&Symbols>,
) -> Option<(u64, String)> {
    let symbols = symbols?;
    let (_, offset) = symbols.function(from)?;
    let code = image::bytes(image, from, FUNCTION)?;
    let inside = |ip: u64| {
        let there = symbols.function(ip);
        there.is_some_and(|(_, at)| ip.wrapping_sub(at) == from.wrapping_sub(offset))
    };
    let own = decode_all(code, from, 64).take_while(|it| inside(it.ip()));
    let mut all = own.filter(|it| it.mnemonic() == Mnemonic::Cli);
    let only = all.next()?;
    all.next().is_none().then(|| (only.ip(), text(&only)))
}

fn text(instruction: &Instruction) -> String {
    disassemble::text(instruction, Numbers::Short)
}
