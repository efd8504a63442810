use proptest::prelude::*;
use vmm::memory::Memory;
use vmm::registers::{Registers, SystemRegisters};

use super::entry::{Base, Entry, Format, Kind};
use super::*;
use crate::linux::Finder;
use crate::linux::test_kernel::{Form, IMAGE, SYMBOLS, kernel, put, symbols, tables};
use crate::unwind::MAX_FRAMES;

const STACK: u64 = IMAGE + 0x10_0000;
const CODE: u64 = IMAGE + 0x100;
const CALLER: u64 = IMAGE + 0x200;
const OUTERMOST: u64 = IMAGE + 0x300;

/// An entry of code whose caller's SP is `offset` above SP.
fn call(offset: i16) -> Entry {
    let (sp, bp, kind) = (Base::Sp, Base::Undefined, Kind::Call);
    Entry { sp_offset: offset, bp_offset: 0, sp, bp, kind, is_signal: false }
}

fn words(memory: &Memory, address: u64, words: &[u64]) {
    for (at, word) in (address..).step_by(8).zip(words) {
        put(memory, at, &word.to_le_bytes());
    }
}

/// The addresses of the frames, and whether each is behind a call.
fn walk(
    memory: &Memory,
    system: &SystemRegisters,
    registers: &Registers,
    entry: impl Fn(u64) -> Option<Entry>,
) -> Vec<(u64, bool)> {
    let frames = walk::frames(&View::new(system, memory), registers, entry);
    frames.iter().map(|frame| (frame.address, frame.is_return_address)).collect()
}

fn at(rip: u64) -> Registers {
    Registers { rip, rsp: STACK, rbp: STACK + 0x80, r10: STACK + 0x40, ..Registers::default() }
}

#[test]
fn callers_by_each_base() {
    let (memory, system) = kernel(Form::Before);
    words(&memory, STACK, &[STACK + 0x30, 0, CALLER, 0, 0, 0, 0, OUTERMOST]);
    words(&memory, STACK + 0x70, &[IMAGE + 0x400, STACK + 0x10]);
    for (sp, offset, caller) in [
        (Base::Sp, 0x18, CALLER),
        (Base::Bp, -0x68, CALLER),
        (Base::Bp, -8, IMAGE + 0x400),
        (Base::R10, 0, OUTERMOST),
        // The word at SP, and 0x10 more.
        (Base::SpIndirect, 0x10, OUTERMOST),
    ] {
        let entry = |address| (address == CODE).then_some(Entry { sp, ..call(offset) });
        let frames = walk(&memory, &system, &at(CODE), entry);
        assert_eq!(frames, [(CODE, false), (caller, true)], "{sp:?}");
    }
    // The word at BP and the offset.
    let entry =
        |address| (address == CODE).then_some(Entry { sp: Base::BpIndirect, ..call(-0x80) });
    words(&memory, STACK, &[STACK + 0x18]);
    assert_eq!(walk(&memory, &system, &at(CODE), entry), [(CODE, false), (CALLER, true)]);
}

#[test]
fn a_return_address_is_looked_up_in_its_call() {
    let (memory, system) = kernel(Form::Before);
    words(&memory, STACK, &[CALLER, OUTERMOST]);
    let entry = |address| match address {
        CODE => Some(call(8)),
        address if address == CALLER - 1 => Some(call(8)),
        _ => None,
    };
    let frames = walk(&memory, &system, &at(CODE), entry);
    assert_eq!(frames, [(CODE, false), (CALLER, true), (OUTERMOST, true)]);
}

#[test]
fn bp_is_restored_from_the_stack() {
    let (memory, system) = kernel(Form::Before);
    // push %rbp at 8 above SP, and the return address above that.
    words(&memory, STACK, &[0, STACK + 0x50, CALLER]);
    words(&memory, STACK + 0x48, &[OUTERMOST]);
    let entry = |address| match address {
        CODE => Some(Entry { bp: Base::PreviousSp, bp_offset: -16, ..call(0x18) }),
        address if address == CALLER - 1 => Some(Entry { sp: Base::Bp, ..call(0) }),
        _ => None,
    };
    let frames = walk(&memory, &system, &at(CODE), entry);
    assert_eq!(frames, [(CODE, false), (CALLER, true), (OUTERMOST, true)]);
}

/// Registers at `STACK + 0x100` that were saved when `ip` was interrupted.
fn saved(memory: &Memory, ip: u64, selector: u64) {
    let mut regs = [0; 21];
    (regs[4], regs[7], regs[16], regs[17], regs[19]) =
        (STACK + 0x88, STACK + 0x208, ip, selector, STACK + 0x200);
    words(memory, STACK + 0x100, &regs);
}

#[test]
fn what_an_interrupt_interrupted_is_not_behind_a_call() {
    let (memory, system) = kernel(Form::Before);
    saved(&memory, CALLER, 0x10);
    words(&memory, STACK + 0x80, &[IMAGE + 0x500]);
    words(&memory, STACK + 0x200, &[OUTERMOST]);
    let interrupted = |kind| Entry { kind, is_signal: true, ..call(0x100) };
    // All registers, then only what the processor pushes; the caller of what was interrupted is
    // found by SP, by the saved BP, and by the saved R10.
    for (kind, offset, base, by, outermost) in [
        (Kind::Registers, 0x100, Base::Sp, 8, OUTERMOST),
        (Kind::Registers, 0x100, Base::Bp, 0, IMAGE + 0x500),
        (Kind::Registers, 0x100, Base::R10, 0, OUTERMOST),
        (Kind::InterruptFrame, 0x180, Base::Sp, 8, OUTERMOST),
    ] {
        let entry = |address| match address {
            CODE => Some(Entry { sp_offset: offset, ..interrupted(kind) }),
            CALLER => Some(Entry { sp: base, ..call(by) }),
            _ => None,
        };
        let frames = walk(&memory, &system, &at(CODE), entry);
        assert_eq!(frames, [(CODE, false), (CALLER, false), (outermost, true)], "{base:?}");
    }
}

#[test]
fn the_stack_ends_where_a_program_was_interrupted() {
    let (memory, system) = kernel(Form::Before);
    saved(&memory, 0x40_1000, 0x33);
    let entry = |_| Some(Entry { kind: Kind::Registers, is_signal: true, ..call(0x100) });
    assert_eq!(walk(&memory, &system, &at(CODE), entry), [(CODE, false)]);
}

#[test]
fn nothing_is_guessed() {
    let (memory, system) = kernel(Form::Before);
    words(&memory, STACK, &[CALLER, 0x1234]);
    // No entry; an end; registers that a call has changed; no stack; an address of a program.
    let (end, by_di) = (Entry { kind: Kind::End, ..call(8) }, Entry { sp: Base::Di, ..call(0) });
    let entries = [None, Some(end), Some(by_di), Some(call(i16::MAX)), Some(call(8))];
    for (number, outer) in entries.into_iter().enumerate() {
        let entry = |address| if address == CODE { Some(call(8)) } else { outer };
        let frames = walk(&memory, &system, &at(CODE), entry);
        assert_eq!(frames, [(CODE, false), (CALLER, true)], "{number}");
    }
    // A walk that stays in its place ends.
    words(&memory, STACK, &[CODE]);
    let entry = |_| Some(Entry { sp: Base::Bp, ..call(-0x78) });
    assert!(walk(&memory, &system, &at(CODE), entry).len() < 4);
}

/// Entries of 6 bytes: the caller's SP is 8 above SP; the stack's end; a fault's registers.
const ENTRIES: [(Format, [[u8; 6]; 3]); 3] = [
    (Format::V4_14, [[8, 0, 0, 0, 5, 0], [0, 0, 0, 0, 0, 4], [0, 0, 0, 0, 5, 1]]),
    (Format::V6_3, [[8, 0, 0, 0, 5, 0], [0, 0, 0, 0, 0, 8], [0, 0, 0, 0, 5, 5]]),
    (Format::V6_4, [[8, 0, 0, 0, 5, 2], [0, 0, 0, 0, 0, 1], [0, 0, 0, 0, 5, 0xb]]),
];

#[test]
fn each_format_is_decoded() {
    for (format, [caller, end, registers]) in ENTRIES {
        assert_eq!(format.entry(caller), Some(call(8)), "{format:?}");
        assert_eq!(format.entry(end).map(|entry| entry.kind), Some(Kind::End), "{format:?}");
        let expected = Entry { kind: Kind::Registers, is_signal: true, ..call(0) };
        assert_eq!(format.entry(registers), Some(expected), "{format:?}");
        for unused in [[0, 0, 0, 0, 5, 0x40], [0, 0, 0, 0, 0xa5, 0], [0, 0, 0, 0, 0xf, 0]] {
            assert_eq!(format.entry(unused), None, "{format:?}");
        }
    }
    // Entries of a later format are none of an earlier one.
    assert_eq!(Format::V4_14.entry([0, 0, 0, 0, 0, 8]), None);
}

/// A kernel with three entries, this banner, and perhaps a header with this hash.
fn with_tables(
    banner: &str,
    hash: Option<&[u8]>,
    entries: [[u8; 6]; 3],
) -> (Memory, SystemRegisters) {
    let (memory, system) = kernel(Form::Before);
    if let Some(hash) = hash {
        let mut symbols = symbols();
        let end = symbols.pop().expect("symbols");
        let header = IMAGE + 0xa100;
        symbols.push((header, "R__start_orc_header".into()));
        symbols.push((header + hash.len() as u64, "R__stop_orc_header".into()));
        symbols.push(end);
        put(&memory, SYMBOLS, &tables(Form::Before, &symbols));
        put(&memory, header, hash);
    }
    put(&memory, IMAGE + 0x9000, banner.as_bytes());
    put(&memory, IMAGE + 0xa010, &entries.concat());
    for (number, start) in [0, 0x1ff, 0x380].into_iter().enumerate() {
        let place = IMAGE + 0xa000 + 4 * number as u64;
        let relative = (IMAGE + start).wrapping_sub(place) as u32;
        put(&memory, place, &relative.to_le_bytes());
    }
    (memory, system)
}

fn problem(memory: &Memory, system: &SystemRegisters) -> Option<&'static str> {
    Finder::default().kernel(system, memory).expect("a kernel").orc_problem()
}

#[test]
fn the_version_or_the_header_tells_the_format() {
    const HASH: [u8; 20] = [
        0xfe, 0x5d, 0x32, 0xbf, 0x58, 0x1b, 0xd6, 0x3b, 0x2c, 0xa9, 0xa5, 0xc6, 0x5b, 0xa5, 0xa6,
        0x25, 0xea, 0xb3, 0xfe, 0x24,
    ];
    let old = "Linux version 6.1.0-57-cloud-amd64 (somebody)";
    let (memory, system) = with_tables(old, None, ENTRIES[0].1);
    assert_eq!(problem(&memory, &system), None);
    let (memory, system) = with_tables("Linux version 6.3.1-some (nobody)", None, ENTRIES[1].1);
    assert_eq!(problem(&memory, &system), None);
    let (memory, system) = with_tables(old, Some(&HASH), ENTRIES[2].1);
    assert_eq!(problem(&memory, &system), None);
    for (banner, hash, entries) in [
        (old, None, ENTRIES[1].1),
        ("Linux version 6.12.1-some (nobody)", None, ENTRIES[2].1),
        ("", None, ENTRIES[0].1),
        (old, Some(&[7; 20][..]), ENTRIES[2].1),
        (old, Some(&HASH[1..]), ENTRIES[2].1),
    ] {
        let (memory, system) = with_tables(banner, hash, entries);
        assert!(problem(&memory, &system).is_some(), "{banner} {hash:?}");
    }
}

#[test]
fn a_stack_is_unwound_by_tables_in_memory() {
    let (memory, system) = with_tables("Linux version 5.10.0-8-amd64 (x)", None, ENTRIES[0].1);
    words(&memory, STACK, &[IMAGE + 0x100, CALLER, 0]);
    let inspector = crate::Inspector::default();
    let frames = inspector.unwind(&at(CODE), &system, &memory);
    let addresses: Vec<u64> = frames.iter().map(|frame| frame.address).collect();
    assert_eq!(addresses, [CODE, IMAGE + 0x100, CALLER]);
    assert!(frames.iter().all(|frame| frame.quality == crate::unwind::Quality::Exact));
    let names = inspector.stack(&addresses).to_string();
    assert_eq!(names, "function_15+0x0 < function_14+0x10 < function_30+0x10");
    assert!(inspector.stack(&[1]).to_string() == "0x1");
    let nameless = crate::Inspector::new(None, true);
    assert_eq!(nameless.unwind(&at(CODE), &system, &memory).len(), 3);
    assert!(nameless.symbols().is_none());
}

#[test]
fn an_interrupted_first_instruction_has_the_name_of_its_function() {
    let entries = [[0, 0, 0, 0, 5, 1], [0, 0, 0, 0, 0, 4], [0, 0, 0, 0, 0, 4]];
    let (memory, system) = with_tables("Linux version 5.10.0-8-amd64 (x)", None, entries);
    saved(&memory, CALLER, 0x10);
    let registers = Registers { rsp: STACK + 0x100, ..at(CODE) };
    let inspector = crate::Inspector::default();
    let frames = inspector.unwind(&registers, &system, &memory);
    let names = inspector.name(&frames).to_string();
    assert_eq!(names, "function_15+0x0 < function_31+0x0");
    // The text of a script's stack has the addresses alone.
    assert_eq!(inspector.stack(&[CODE, CALLER]).to_string(), names);
}

proptest! {
    #[test]
    fn any_tables_and_any_stack_end(
        words in proptest::collection::vec(any::<u64>(), 0..200),
        entries in proptest::collection::vec(any::<[u8; 6]>(), 1..20),
        rip: u64, rsp in 0_u64..0x1000, rbp in 0_u64..0x1000, format in 0_usize..3,
    ) {
        let (memory, system) = kernel(Form::Before);
        for (index, word) in words.iter().enumerate() {
            // Many words are addresses on this stack.
            let word = if word & 1 == 0 { STACK + (word & 0xfff) } else { *word };
            put(&memory, STACK + 8 * index as u64, &word.to_le_bytes());
        }
        let entry = |address: u64| ENTRIES[format].0.entry(entries[address as usize % entries.len()]);
        let registers = Registers { rip, rsp: STACK + rsp, rbp: STACK + rbp, ..at(rip) };
        let frames = walk(&memory, &system, &registers, entry);
        prop_assert!((1..=MAX_FRAMES).contains(&frames.len()));
    }
}
