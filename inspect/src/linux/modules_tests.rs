use vmm::memory::Memory;
use vmm::registers::{Registers, SystemRegisters};

use crate::Inspector;
use crate::linux::btf::tests::whole;
use crate::linux::test_kernel::{CODE_END, Form, IMAGE, SYMBOLS, guest, put, symbols, tables};
use crate::symbols::Kind;

/// The symbols of the second module.
const KALLSYMS: u64 = IMAGE + 0x18_0000;
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

/// `struct module { list at 8; state at 0x30; arch at 0x40; name at 0x140; kallsyms at 0x178 }`,
/// with areas at 0x80: `core_layout` and, 0x20 further, `init_layout`, or `mem`, whose elements
/// have 8 bytes less. In the second case, the types of symbols are in `typetab`.
fn types(has_layouts: bool) -> Vec<u8> {
    let names =
        b"\0module\0list\0arch\0core_layout\0init_layout\0mem\0mod_arch_specific\0num_orcs\0\
        orc_unwind_ip\0orc_unwind\0module_layout\0module_memory\0base\0size\0task_struct\0\
        state\0name\0kallsyms\0mod_kallsyms\0symtab\0num_symtab\0strtab\0typetab\0";
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
    let more = [member("state", 0x30), member("name", 0x140), member("kallsyms", 0x178)];
    let table = [member("symtab", 0), member("num_symtab", 8), member("strtab", 0x10)];
    let types = if has_layouts { [0, 0, 0] } else { member("typetab", 0x18) };
    let words = [
        vec![name("module"), STRUCT | 7, 0x200],
        [&[member("list", 8), member("arch", 0x40)], &areas[..], &more].concat().concat(),
        vec![name("mod_kallsyms"), STRUCT | 4, 0x20],
        [&table[..], &[types]].concat().concat(),
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

/// Gives the second module a name and these symbols: the letter, the name, its address and size.
fn put_symbols(memory: &Memory, symbols: &[(u8, &str, u64, u64)]) {
    let module = LISTS[1] - 8;
    put(memory, module + 0x140, b"one_module\0");
    words(memory, module + 0x178, &[KALLSYMS]);
    let [table, names, types] = [0x1000, 0x2000, 0x3000].map(|offset| KALLSYMS + offset);
    // The first symbol of a table is not one.
    words(memory, KALLSYMS, &[table, symbols.len() as u64 + 1, names, types]);
    words(memory, table, &[0; 3]);
    let mut end = 1;
    for (index, (letter, name, start, size)) in (1..).zip(symbols) {
        let defined = u64::from(*letter != b'U') << 48;
        let entry = [end | u64::from(*letter) << 32 | defined, *start, *size];
        words(memory, table + 24 * index, &entry);
        put(memory, types + index, &[*letter]);
        put(memory, names + end, name.as_bytes());
        put(memory, names + end + name.len() as u64, &[0]);
        end += name.len() as u64 + 1;
    }
}

const CODE_SYMBOLS: [(u8, &str, u64, u64); 9] = [
    (b'U', "printk", CODE[1] + 0x14, 0),
    (b'd', "counter", CODE[1] + 0x800, 8),
    (b't', "first", CODE[1], 0x10),
    (b'T', "second", CODE[1] + 0x10, 0x20),
    (b't', "alias", CODE[1] + 0x10, 0x20),
    (b't', ".L12", CODE[1] + 0x12, 0),
    (b't', "open", CODE[1] + 0x40, 0),
    (b't', "begin", START, 0x80),
    (b'd', "far", CODE[0] - 0x1000, 8),
];

/// The innermost frame at `rip`, with its name.
fn name(memory: &Memory, system: &SystemRegisters, rip: u64) -> String {
    let registers = Registers { rip, rsp: STACK, ..Registers::default() };
    let inspector = Inspector::default();
    let frames = inspector.unwind(&registers, system, memory);
    let named = inspector.name(&frames[..1]).to_string();
    assert_eq!(inspector.stack(&[rip]).to_string(), named);
    named
}

#[test]
fn functions_of_modules_have_names() {
    for has_layouts in [true, false] {
        let (memory, system) = with_modules(has_layouts);
        put_symbols(&memory, &CODE_SYMBOLS);
        let cases = [
            (CODE[1] + 4, "first+0x4 [one_module]"),
            (CODE[1] + 0x15, "second+0x5 [one_module]"),
            (CODE[1] + 0x50, "open+0x10 [one_module]"),
            (START + 0x20, "begin+0x20 [one_module]"),
        ];
        for (rip, expected) in cases {
            assert_eq!(name(&memory, &system, rip), expected, "{has_layouts}");
        }
        // Behind the last that has a size; in the other module; behind both.
        for rip in [CODE[1] + 0x38, CODE[0] + 4, CODE[1] + 0x1000] {
            assert_eq!(name(&memory, &system, rip), format!("{rip:#x}"));
        }
        // A return address is named after its call.
        words(&memory, STACK, &[0, 0, CODE[1] + 0x10, 0, IMAGE + 0x105, 0]);
        let inspector = Inspector::default();
        let registers = Registers { rip: START, rsp: STACK, ..Registers::default() };
        let frames = inspector.unwind(&registers, &system, &memory);
        let named = inspector.name(&frames).to_string();
        let expected = "begin+0x0 [one_module] < first+0x10 [one_module] < function_";
        assert!(named.starts_with(expected), "{named}");
        let addresses: Vec<u64> = frames.iter().map(|frame| frame.address).collect();
        assert_eq!(inspector.stack(&addresses).to_string(), named);
    }
}

#[test]
fn a_module_that_went_gives_no_name() {
    let (memory, system) = with_modules(true);
    put_symbols(&memory, &CODE_SYMBOLS);
    let rip = CODE[1] + 4;
    let registers = Registers { rip, rsp: STACK, ..Registers::default() };
    let inspector = Inspector::default();
    let name = || {
        let frames = inspector.unwind(&registers, &system, &memory);
        inspector.name(&frames[..1]).to_string()
    };
    assert_eq!(name(), "first+0x4 [one_module]");
    // It has gone, and is there again.
    words(&memory, LISTS[0], &[HEAD]);
    assert_eq!(name(), format!("{rip:#x}"));
    words(&memory, LISTS[0], &[LISTS[1]]);
    assert_eq!(name(), format!("{rip:#x}"));
    let nameless = Inspector::new(None, true);
    let frames = nameless.unwind(&registers, &system, &memory);
    assert_eq!(nameless.name(&frames[..1]).to_string(), format!("{rip:#x}"));
}

#[test]
fn damaged_symbols_of_a_module_give_no_names() {
    let rip = CODE[1] + 4;
    let module = LISTS[1] - 8;
    let damages: [&dyn Fn(&Memory); 9] = [
        // A module that is being set up; a name that is none, is empty, or has no end.
        &|memory| put(memory, module + 0x30, &[3]),
        &|memory| put(memory, module + 0x140, b"two\n"),
        &|memory| put(memory, module + 0x140, &[0]),
        &|memory| put(memory, module + 0x140, &[b'a'; 56]),
        // No table, and one that is too large, or not mapped.
        &|memory| words(memory, module + 0x178, &[u64::MAX - 3]),
        &|memory| words(memory, KALLSYMS + 8, &[u64::from(u32::MAX)]),
        &|memory| words(memory, KALLSYMS, &[0x4000]),
        // Names that are not mapped, and a function without end.
        &|memory| words(memory, KALLSYMS + 0x10, &[u64::MAX - 1]),
        &|memory| put(memory, KALLSYMS + 0x2000, &[b'a'; 0x1000]),
    ];
    for (number, damage) in damages.iter().enumerate() {
        let (memory, system) = with_modules(false);
        put_symbols(&memory, &CODE_SYMBOLS);
        damage(&memory);
        assert_eq!(name(&memory, &system, rip), format!("{rip:#x}"), "{number}");
        let found = Inspector::default().named("first", &system, &memory);
        assert_eq!(found, Ok(Vec::new()), "{number}");
    }
}

#[test]
fn symbols_are_found_in_the_kernel_and_in_its_modules() {
    let (memory, system) = with_modules(false);
    put_symbols(&memory, &CODE_SYMBOLS);
    // The module's data.
    words(&memory, LISTS[1] - 8 + 0x80 + 0x18, &[CODE[1] + 0x800, 0, 0x100]);
    let named = |name: &str| {
        let found = Inspector::default().named(name, &system, &memory).expect("a kernel");
        found.iter().map(|it| (it.start, it.size, it.kind, it.module.clone())).collect::<Vec<_>>()
    };
    let module = || Some("one_module".to_owned());
    let counter = (CODE[1] + 0x800, Some(8), Kind::Data, module());
    for name in ["counter", "one_module:counter", "one-module:counter"] {
        assert_eq!(named(name), std::slice::from_ref(&counter));
    }
    assert_eq!(named("open"), [(CODE[1] + 0x40, None, Kind::Function, module())]);
    assert_eq!(named("modules"), [(HEAD, Some(TYPES - HEAD), Kind::Data, None)]);
    assert_eq!(named("function_7"), [(IMAGE + 0x80, Some(0x10), Kind::Function, None)]);
    // What is only used there, what is outside of it, others, and parts of names.
    let none = ["printk", "far", "other:counter", "one_module:modules", ":modules", "counte", ""];
    for name in none {
        assert_eq!(named(name), [], "{name}");
    }
    assert!(Inspector::default().named("x", &SystemRegisters::default(), &memory).is_err());
}

#[test]
fn a_variable_is_told_with_its_module_or_why_there_is_none() {
    let (memory, system) = with_modules(false);
    put_symbols(&memory, &CODE_SYMBOLS);
    words(&memory, LISTS[1] - 8 + 0x80 + 0x18, &[CODE[1] + 0x800, 0, 0x100]);
    let kernel = Inspector::default().kernel(&system, &memory).expect("a kernel");
    let variable = |module: Option<&str>, name: &str| {
        kernel.variable_of_module(module, name, &system, &memory)
    };
    let counter = CODE[1] + 0x800..CODE[1] + 0x808;
    for module in [None, Some("one_module"), Some("one-module")] {
        let found = variable(module, "counter");
        assert_eq!(found, Ok((counter.clone(), "one_module".to_owned())));
    }
    let refused = |module, name| variable(module, name).expect_err("no variable").to_string();
    assert_eq!(refused(None, "open"), "open is a function");
    assert_eq!(
        refused(None, "x"),
        "neither the kernel nor a module has a variable x with a single address; loaded modules: one_module"
    );
    assert_eq!(
        refused(Some("other"), "counter"),
        "no module other is loaded; loaded modules: one_module"
    );
    assert_eq!(
        refused(Some("one-module"), "x"),
        "the module one-module has no variable x with a single address"
    );
    // Which module has an address, as long as it is there.
    let module = || kernel.module_at(counter.start, &system, &memory);
    assert_eq!(module().as_deref(), Some("one_module"));
    assert_eq!(kernel.module_at(IMAGE, &system, &memory), None);
    put(&memory, LISTS[1] - 8 + 0x30, &[3]);
    assert_eq!(module(), None);
    put(&memory, LISTS[1] - 8 + 0x30, &[0]);
    words(&memory, LISTS[0], &[HEAD]);
    assert_eq!(module(), None);
    assert_eq!(refused(Some("other"), "x"), "no module other is loaded; no module is loaded");
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
