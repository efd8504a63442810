//! Finds the instruction of an access in the guest's image.

use iced_x86::{Decoder, DecoderOptions, Formatter, GasFormatter, Instruction, Mnemonic};
use inspect::Symbols;
use object::LittleEndian as LE;
use object::elf::{FileHeader64, PT_LOAD};
use object::read::elf::{FileHeader as _, ProgramHeader as _};

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
    let Some(code) = bytes(image, start, inside.wrapping_sub(start).saturating_add(15)) else {
        return (inside, None);
    };
    let decoder = Decoder::with_ip(64, code, start, DecoderOptions::NONE);
    for instruction in decoder {
        if instruction.is_invalid() || instruction.ip() > inside {
            break;
        }
        if inside < instruction.next_ip() {
            return (instruction.ip(), Some(text(&instruction)));
        }
    }
    (inside, None)
}

/// The CLI after an instruction, in the same function, if there is exactly one.
pub(super) fn interrupts_off(
    from: u64,
    image: &[u8],
    symbols: Option<&Symbols>,
) -> Option<(u64, String)> {
    let symbols = symbols?;
    let (_, offset) = symbols.function(from)?;
    let code = bytes(image, from, FUNCTION)?;
    let decoder = Decoder::with_ip(64, code, from, DecoderOptions::NONE);
    let inside = |ip: u64| {
        let there = symbols.function(ip);
        there.is_some_and(|(_, at)| ip.wrapping_sub(at) == from.wrapping_sub(offset))
    };
    let own = decoder.into_iter().take_while(|it| !it.is_invalid() && inside(it.ip()));
    let mut all = own.filter(|it| it.mnemonic() == Mnemonic::Cli);
    let only = all.next()?;
    all.next().is_none().then(|| (only.ip(), text(&only)))
}

fn text(instruction: &Instruction) -> String {
    let mut text = String::new();
    let mut formatter = GasFormatter::new();
    formatter.options_mut().set_uppercase_hex(false);
    formatter.format(instruction, &mut text);
    text
}

/// At most `length` bytes of the image at a linear address.
fn bytes(image: &[u8], address: u64, length: u64) -> Option<&[u8]> {
    let header = FileHeader64::<LE>::parse(image).ok()?;
    let segments = header.program_headers(LE, image).ok()?;
    segments.iter().filter(|segment| segment.p_type(LE) == PT_LOAD).find_map(|segment| {
        let offset = address.checked_sub(segment.p_vaddr(LE))?;
        let left = segment.p_filesz(LE).checked_sub(offset).filter(|left| *left > 0)?;
        let start = usize::try_from(segment.p_offset(LE).checked_add(offset)?).ok()?;
        image.get(start..start.checked_add(length.min(left) as usize)?)
    })
}
