use vmm::memory::Memory;
use vmm::registers::{Registers, SystemRegisters};

use crate::Inspector;
use crate::linux::btf::tests::whole;
use crate::linux::test_kernel::{CODE_END, Form, IMAGE, SYMBOLS, guest, put, symbols, tables};

const STRUCT: u32 = 4 << 24;
const HEAD: u64 = IMAGE + 0xb100;
const TYPES: u64 = IMAGE + 0x13_0000;
const STACK: u64 = IMAGE + 0x10_0000;
/// The `list` of the modules' structures; their code; the tables of the second.
const LISTS: [u64; 2] = [IMAGE + 0x14_0008, IMAGE + 0x14_1008];
const CODE: [u64; 2] = [IMAGE + 0x15_0000, IMAGE + 0x15_8000];
const STARTS: u64 = IMAGE + 0x16_0000;
const ENTRIES: u64 = IMAGE + 0x16_1000;
/// The code of the second module's start.
const START: u64 = IMAGE + 0x17_0000;

/// `struct module { list at 8; ...; arch at 0x40 }`, with areas at 0x80: `core_layout` and, 0x20
/// further, `init_layout`, or `mem`, whose elements have 8 bytes less.
fn types(has_layouts: bool) -> Vec<u8> {
    let names =
        b"\0module\0list\0arch\0core_layout\0init_layout\0mem\0mod_arch_specific\0num_orcs\0\
        orc_unwind_ip\0orc_unwind\0module_layout\0module_memory\0base\0size\0task_struct\0";
    let name = |text: &str| {
        let wanted = format!("\0{text}\0");
        let at = names.windows(wanted.len()).position(|bytes| bytes == wanted.as_bytes());
        at.map_or(0, |at| at as u32 + 1)
    };
    let member = |text: &str, bytes: u32| [name(text), 0, 8 * bytes];
    let areas = if has_layouts {
        [member("core_layout", 0x80), member("init_layout", 0xa0)]
    } else {
        [member("mem", 0x80), [0, 0, 0]]
    };
    let area = if has_layouts { "module_layout" } else { "module_memory" };
    let words = [
        vec![name("module"), STRUCT | 4, 0x200],
        [[member("list", 8), member("arch", 0x40)], areas].concat().concat(),
        vec![name("mod_arch_specific"), STRUCT | 3, 0x18],
        [member("num_orcs", 0), member("orc_unwind_ip", 8), member("orc_unwind", 0x10)].concat(),
        vec![name(area), STRUCT | 2, 0x18],
        [member("base", 0), member("size", 0x10)].concat(),
    ];
    whole(&words.concat(), names)
}

fn words(memory: &Memory, address: u64, words: &[u64]) {
    for (at, word) in (address..).step_by(8).zip(words) {
        put(memory, at, &word.to_le_bytes());
    }
}

/// A kernel with two modules, of which the second calls from its code at 0x10, and from its start.
fn with_modules(has_layouts: bool) -> (Memory, SystemRegisters) {
    let (memory, system) = guest();
    let mut symbols = symbols();
    let types = types(has_layouts);
    let end = symbols.pop().expect("symbols");
    symbols.push((HEAD, "Dmodules".into()));
    symbols.push((TYPES, "R__start_BTF".into()));
    symbols.push((TYPES + types.len() as u64, "R__stop_BTF".into()));
    symbols.push((TYPES + 0x8000, end.1));
    put(&memory, SYMBOLS, &tables(Form::Before, &symbols));
    put(&memory, TYPES, &types);
    put(&memory, IMAGE + 0x9000, b"Linux version 6.1.0-57-cloud-amd64 (x)");
    // The kernel's own tables: the caller's SP is 8 above SP.
    let relative = |place: u64, start: u64| (start.wrapping_sub(place) as u32).to_le_bytes();
    for number in 0..3 {
        let place = IMAGE + 0xa000 + 4 * number;
        put(&memory, place, &relative(place, IMAGE + number));
    }
    put(&memory, IMAGE + 0xa010, &[8, 0, 0, 0, 5, 0].repeat(3));
    // The modules.
    words(&memory, HEAD, &[LISTS[0]]);
    for (list, code, next) in [(LISTS[0], CODE[0], LISTS[1]), (LISTS[1], CODE[1], HEAD)] {
        words(&memory, list, &[next]);
        words(&memory, list - 8 + 0x80, &[code, 0, 0x1000]);
    }
    let start = if has_layouts { 0xa0 } else { 0x80 + 4 * 0x18 };
    words(&memory, LISTS[1] - 8 + start, &[START, 0, 0x1000]);
    words(&memory, LISTS[1] - 8 + 0x40, &[2, STARTS, ENTRIES]);
    // In its code, the caller's SP is 0x10 above SP, in its start 0x18.
    put(&memory, STARTS, &relative(STARTS, CODE[1]));
    put(&memory, STARTS + 4, &relative(STARTS + 4, START));
    put(&memory, ENTRIES, &[0x10, 0, 0, 0, 5, 0, 0x18, 0, 0, 0, 5, 0]);
    (memory, system)
}

fn stack(memory: &Memory, system: &SystemRegisters, rip: u64) -> Vec<u64> {
    let registers = Registers { rip, rsp: STACK, ..Registers::default() };
    let frames = Inspector::default().unwind(&registers, system, memory);
    frames.iter().map(|frame| frame.address).collect()
}

#[test]
fn a_stack_goes_through_modules() {
    for has_layouts in [true, false] {
        let (memory, system) = with_modules(has_layouts);
        // From the second module's start through its code into the kernel.
        words(&memory, STACK, &[0, 0, CODE[1] + 0x15, 0, IMAGE + 0x105, 0]);
        let expected = [START + 0x20, CODE[1] + 0x15, IMAGE + 0x105];
        assert_eq!(stack(&memory, &system, START + 0x20), expected, "{has_layouts}");
    }
}

#[test]
fn a_stack_ends_in_what_has_no_tables() {
    let (memory, system) = with_modules(true);
    words(&memory, STACK, &[IMAGE + 0x105; 8]);
    // The first module has none; behind the second; outside of everything.
    for rip in [CODE[0] + 4, CODE[1] + 0x1000, CODE_END + 8, 0x40_0000] {
        assert_eq!(stack(&memory, &system, rip), [rip]);
    }
}

#[test]
fn a_list_without_end_is_left() {
    let (memory, system) = with_modules(true);
    words(&memory, LISTS[1], &[LISTS[0]]);
    assert_eq!(stack(&memory, &system, CODE_END + 8), [CODE_END + 8]);
    for next in [0, 0x1000, u64::MAX, IMAGE - 0x1000] {
        words(&memory, LISTS[0], &[next]);
        assert_eq!(stack(&memory, &system, CODE[1] + 8), [CODE[1] + 8], "{next:#x}");
    }
}
