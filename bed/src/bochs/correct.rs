//! Corrects two errors of Bochs 2.7 in the machine code of Debian 12's build (docs/bochs-bugs.md).

use object::read::elf::{ElfFile64, ProgramHeader};
use object::{LittleEndian, Object, ObjectSymbol, elf};

/// `VMLAUNCH`, which also does the work of `VMRESUME`.
const ENTRY: &str = "_ZN8BX_CPU_C8VMLAUNCHEP15bxInstruction_c";
/// Works out which events the processor takes.
const MASK_CHANGE: &str = "_ZN8BX_CPU_C25handleInterruptMaskChangeEv";
/// Saves the guest's state when it exits.
const SAVE: &str = "_ZN8BX_CPU_C20VMexitSaveGuestStateEv";
/// The bytes of [`ENTRY`] and of [`SAVE`] in which the code is expected.
const ENTRY_LENGTH: usize = 0x300;
const SAVE_LENGTH: usize = 0x800;

/// A byte of expected code. `None` matches every byte.
type Pattern = [Option<u8>];

/// Corrects both errors. The message says why the code is not the expected one.
pub(crate) fn correct(program: &mut [u8]) -> Result<(), String> {
    let (entry, mask_change, save) = {
        let file = ElfFile64::<LittleEndian>::parse(&*program)
            .map_err(|error| format!("not an ELF program: {error}"))?;
        (function(&file, ENTRY)?, function(&file, MASK_CHANGE)?, function(&file, SAVE)?)
    };
    correct_entry(body(program, entry, ENTRY_LENGTH)?, entry.address, mask_change.address)?;
    correct_save(body(program, save, SAVE_LENGTH)?)
}

/// A function in memory and in the file.
#[derive(Clone, Copy)]
struct Function {
    address: u64,
    offset: u64,
}

fn function(file: &ElfFile64<LittleEndian>, name: &str) -> Result<Function, String> {
    let symbol = file.dynamic_symbols().find(|symbol| symbol.name() == Ok(name));
    let address = symbol.ok_or_else(|| format!("it exports no {name}"))?.address();
    let endian = file.endian();
    let inside = |header: &&elf::ProgramHeader64<LittleEndian>| {
        let start = header.p_vaddr(endian);
        header.p_type(endian) == elf::PT_LOAD
            && (start..start.saturating_add(header.p_filesz(endian))).contains(&address)
    };
    let segment = file.elf_program_headers().iter().find(inside);
    let segment = segment.ok_or_else(|| format!("{name} is in none of its segments"))?;
    let offset = address - segment.p_vaddr(endian) + segment.p_offset(endian);
    Ok(Function { address, offset })
}

fn body(program: &mut [u8], function: Function, length: usize) -> Result<&mut [u8], String> {
    let start = function.offset as usize;
    let end = start.saturating_add(length);
    program.get_mut(start..end).ok_or_else(|| "a function is cut short".to_owned())
}

/// Makes the entry into a guest set "in guest" first and then work out the interrupt mask. There is
/// room for the call because it does what a test and a jump did.
fn correct_entry(body: &mut [u8], address: u64, mask_change: u64) -> Result<(), String> {
    const ANY: [Option<u8>; 4] = [None; 4];
    let pattern = [
        &known(&[0x83, 0xa3])[..], // and [rbx + mask], ~4
        &ANY,
        &known(&[0xfb, 0xc6, 0x83]), // mov byte [rbx + guest], 1
        &ANY,
        &known(&[0x01, 0xf6, 0x83]), // test byte [rbx + pending], 4
        &ANY,
        &known(&[0x04, 0x74, 0x0a, 0xc7, 0x83]), // je; mov dword [rbx + async], 1
        &ANY,
        &known(&[1, 0, 0, 0]),
    ]
    .concat();
    let at = only_place(&pattern, body).ok_or("VMLAUNCH is not the expected code")?;
    let code = &mut body[at..at + pattern.len()];
    let (mask, guest, events) = (code[2..6].to_vec(), code[9..13].to_vec(), code[25..29].to_vec());
    let mut new = [&[0xc6, 0x83][..], &guest, &[0x01, 0x83, 0xa3], &mask, &[0xfb]].concat();
    new.extend([0x48, 0x89, 0xdf, 0xe8]); // mov rdi, rbx; call
    let next = address + (at + new.len() + 4) as u64;
    let distance = i32::try_from(mask_change.wrapping_sub(next).cast_signed())
        .map_err(|_| "handleInterruptMaskChange is too far away".to_owned())?;
    new.extend(distance.to_le_bytes());
    new.extend([&[0xc7, 0x83][..], &events, &[1, 0, 0, 0]].concat());
    replace(code, &new);
    Ok(())
}

/// Makes an exit from a guest save no pending debug exception.
fn correct_save(body: &mut [u8]) -> Result<(), String> {
    // mov eax, [rbx + debug_trap]; mov esi, 0x6822 (guest pending debug exceptions)
    let pattern =
        [&known(&[0x8b, 0x83])[..], &[None; 4], &known(&[0xbe, 0x22, 0x68, 0, 0])].concat();
    let at = only_place(&pattern, body).ok_or("VMexitSaveGuestState is not the expected code")?;
    replace(&mut body[at..at + 6], &[0x31, 0xc0]); // xor eax, eax
    Ok(())
}

fn known(bytes: &[u8]) -> Vec<Option<u8>> {
    bytes.iter().copied().map(Some).collect()
}

/// The place of a pattern, if there is exactly one.
fn only_place(pattern: &Pattern, body: &[u8]) -> Option<usize> {
    let matches = |window: &[u8]| {
        pattern.iter().zip(window).all(|(known, byte)| known.is_none_or(|known| known == *byte))
    };
    let windows = body.windows(pattern.len());
    let mut places = windows.enumerate().filter(|(_, window)| matches(window)).map(|(at, _)| at);
    let place = places.next()?;
    places.next().is_none().then_some(place)
}

/// Replaces code, and fills the rest of it with `nop`.
fn replace(code: &mut [u8], new: &[u8]) {
    const NOP: u8 = 0x90;
    code.fill(NOP);
    code[..new.len()].copy_from_slice(new);
}

#[cfg(test)]
#[path = "correct_tests.rs"]
mod tests;
