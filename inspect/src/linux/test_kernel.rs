//! A kernel for tests: page tables, an interrupt descriptor table, and symbol tables in each of the
//! orders that kernels have had.

use vmm::memory::{Memory, MemorySize};
use vmm::registers::{Segment, SystemRegisters, Table};

/// The address of the image, and of its 2 MiB of memory.
pub(super) const IMAGE: u64 = 0xffff_ffff_8100_0000;
const PHYSICAL: u64 = 0x20_0000;
const TABLES: u64 = 0x10_0000;
/// The interrupt descriptor table is in the image's last page.
const IDT: u64 = IMAGE + 0x1f_f000;
pub(super) const HANDLER: u64 = IMAGE + 0x4000;
pub(super) const CODE_END: u64 = IMAGE + 0x8000;
/// Where the symbol tables are.
pub(super) const SYMBOLS: u64 = IMAGE + 0x1_0000;

/// The order and the form of the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Whole addresses before the names.
    Whole,
    /// Offsets before the names.
    Before,
    /// The same, with the order of the names before the tokens.
    WithOrder,
    /// Offsets behind the tokens.
    Behind,
    /// The same, without absolute symbols.
    Plain,
}

pub(super) const FORMS: [Form; 5] =
    [Form::Whole, Form::Before, Form::WithOrder, Form::Behind, Form::Plain];

/// Symbols by ascending address: the type, the name.
pub(super) fn symbols() -> Vec<(u64, String)> {
    let mut symbols = vec![(0x1_fb80, "Acurrent_task".to_owned())];
    symbols.extend([(IMAGE, "T_stext".into()), (IMAGE, "T_text".into())]);
    symbols.extend((0..500).map(|n| (IMAGE + 0x10 + 0x10 * n, format!("tfunction_{n}"))));
    let rest = [
        (HANDLER, "Tasm_exc_page_fault"),
        (HANDLER, "Tanother_name"),
        (CODE_END - 0x100, "Tlast_function"),
        (CODE_END, "T_etext"),
        (IMAGE + 0x9000, "Dlinux_banner"),
        (IMAGE + 0xa000, "R__start_orc_unwind_ip"),
        (IMAGE + 0xa00c, "R__stop_orc_unwind_ip"),
        (IMAGE + 0xa010, "R__start_orc_unwind"),
        (IMAGE + 0xa022, "R__stop_orc_unwind"),
        (IMAGE + 0xb000, "B_end"),
    ];
    symbols.extend(rest.map(|(address, name)| (address, name.to_owned())));
    symbols
}

fn pad(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(8), 0);
}

fn offsets(form: Form, symbols: &[(u64, String)]) -> Vec<u8> {
    let offset = |&(address, _): &(u64, String)| match form {
        Form::Plain => address.wrapping_sub(IMAGE) as u32,
        _ if address < IMAGE => address as u32,
        _ => (IMAGE - 1).wrapping_sub(address) as u32,
    };
    let mut bytes: Vec<u8> = symbols.iter().flat_map(|it| offset(it).to_le_bytes()).collect();
    pad(&mut bytes);
    bytes.extend(IMAGE.to_le_bytes());
    bytes
}

/// The tables as `scripts/kallsyms.c` writes them. Each character is a token of its own, and
/// `function` is one, too.
pub(super) fn tables(form: Form, symbols: &[(u64, String)]) -> Vec<u8> {
    const FUNCTION: u8 = 1;
    // The absolute symbol is the first.
    let symbols = if form == Form::Plain { symbols.get(1..).expect("symbols") } else { symbols };
    let mut bytes = match form {
        Form::Whole => symbols.iter().flat_map(|it| it.0.to_le_bytes()).collect(),
        Form::Before | Form::WithOrder => offsets(form, symbols),
        Form::Behind | Form::Plain => Vec::new(),
    };
    bytes.extend((symbols.len() as u64).to_le_bytes());
    let mut marks = Vec::new();
    let names = bytes.len();
    for (number, (_, name)) in symbols.iter().enumerate() {
        if number % 256 == 0 {
            marks.extend(((bytes.len() - names) as u32).to_le_bytes());
        }
        let name = name.replace("function", "\u{1}");
        match name.len() {
            length @ ..0x80 => bytes.push(length as u8),
            length => bytes.extend([length as u8 | 0x80, (length >> 7) as u8]),
        }
        bytes.extend(name.as_bytes());
    }
    pad(&mut bytes);
    bytes.extend(marks);
    pad(&mut bytes);
    if form == Form::WithOrder {
        bytes.extend((0..symbols.len()).flat_map(|n| [0, (n >> 8) as u8, n as u8]));
        pad(&mut bytes);
    }
    let (tokens, mut index) = (bytes.len(), Vec::new());
    for token in 0..=u8::MAX {
        index.extend(((bytes.len() - tokens) as u16).to_le_bytes());
        match token {
            FUNCTION => bytes.extend(b"function"),
            token if token.is_ascii_graphic() => bytes.push(token),
            _ => {}
        }
        bytes.push(0);
    }
    pad(&mut bytes);
    bytes.extend(index);
    if matches!(form, Form::Behind | Form::Plain) {
        bytes.extend(offsets(form, symbols));
    }
    bytes
}

/// A guest with such a kernel, without its symbols.
pub(super) fn guest() -> (Memory, SystemRegisters) {
    let memory = Memory::new(MemorySize::new(4 << 20).expect("a size")).expect("memory");
    let index = |shift: u32| (IMAGE >> shift & 0x1ff) * 8;
    let write = |address: u64, value: u64| memory.write(address, &value.to_le_bytes());
    write(TABLES + index(39), (TABLES + 0x1000) | 3).expect("RAM");
    write(TABLES + 0x1000 + index(30), (TABLES + 0x2000) | 3).expect("RAM");
    write(TABLES + 0x2000 + index(21), PHYSICAL | 0x83).expect("RAM");
    let (low, high) = (HANDLER & 0xffff, HANDLER >> 16 & 0xffff);
    put(&memory, IDT + 14 * 16, &(low | 0x10 << 16 | 0x8e00 << 32 | high << 48).to_le_bytes());
    put(&memory, IDT + 14 * 16 + 8, &(HANDLER >> 32).to_le_bytes());
    let system = SystemRegisters {
        cs: Segment { selector: 0x10, access: 0xa09b, limit: 0xffff_ffff, base: 0 },
        idt: Table { base: IDT, limit: 0xfff },
        cr0: SystemRegisters::CR0_PG | SystemRegisters::CR0_PE,
        cr3: TABLES,
        cr4: SystemRegisters::CR4_PAE,
        efer: SystemRegisters::EFER_LMA | SystemRegisters::EFER_LME,
        ..SystemRegisters::default()
    };
    (memory, system)
}

/// Writes to the kernel's memory.
pub(super) fn put(memory: &Memory, address: u64, bytes: &[u8]) {
    memory.write(address - IMAGE + PHYSICAL, bytes).expect("RAM");
}

/// A guest with such a kernel.
pub(super) fn kernel(form: Form) -> (Memory, SystemRegisters) {
    let (memory, system) = guest();
    put(&memory, SYMBOLS, &tables(form, &symbols()));
    (memory, system)
}
