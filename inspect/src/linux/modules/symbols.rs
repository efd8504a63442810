//! A module's symbols (`kernel/module/kallsyms.c`).
//!
//! `module.kallsyms` points to a `struct mod_kallsyms`: while the module starts, to one with the
//! symbols of its start, too. Its table has the form of an ELF file's (`Elf64_Sym` in
//! `include/uapi/linux/elf.h`), with addresses as values.

use vmm::paging::PhysicalMemory;

use crate::linux::btf::Btf;
use crate::linux::view::View;
use crate::symbols::Kind;

/// The most symbols of a module. A table with more is not read.
const MAX_SYMBOLS: u32 = 1 << 17;
/// The size of an `Elf64_Sym`.
const SYMBOL: usize = 24;
/// The longest name, with its NUL (`KSYM_NAME_LEN`, `include/linux/kallsyms.h`).
const MAX_SYMBOL_NAME: usize = 512;
/// The longest name of a module, with its NUL (`MODULE_NAME_LEN`, `include/linux/module.h`).
const MAX_MODULE_NAME: usize = 56;
/// The most of the assembler's labels, or symbols without a name, that are passed over before a
/// function.
const MAX_LABELS: usize = 64;
/// The state of a module that is being set up (`MODULE_STATE_UNFORMED`).
const UNFORMED: u32 = 3;

/// Where things are that lead to a module's symbols.
#[derive(Debug)]
pub(super) struct ModuleSymbols {
    state: u64,
    name: u64,
    kallsyms: u64,
    symtab: u64,
    count: u64,
    strtab: u64,
    /// From 5.2 on; before, the types are in the symbols.
    typetab: Option<u64>,
}

/// A symbol of a module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::linux) struct Named {
    pub(in crate::linux) name: String,
    pub(in crate::linux) start: u64,
    /// The number of bytes; 0 if the table does not tell.
    pub(in crate::linux) size: u64,
    pub(in crate::linux) kind: Kind,
    /// The module's name.
    pub(in crate::linux) module: String,
}

/// The symbols of one module.
pub(super) struct Table {
    module: String,
    symbols: Vec<u8>,
    names: u64,
    types: Option<Vec<u8>>,
}

/// A symbol as it is in the table.
struct Entry {
    /// The offset of the name.
    name: u32,
    kind: Kind,
    start: u64,
    size: u64,
}

impl ModuleSymbols {
    pub(super) fn find(btf: &Btf) -> Option<Self> {
        let member = |name| btf.offset("mod_kallsyms", name);
        Some(Self {
            state: btf.offset("module", "state")?,
            name: btf.offset("module", "name")?,
            kallsyms: btf.offset("module", "kallsyms")?,
            symtab: member("symtab")?,
            count: member("num_symtab")?,
            strtab: member("strtab")?,
            typetab: member("typetab"),
        })
    }

    /// The name of the `struct module` at `module`; `None` if it is being set up or taken apart.
    pub(super) fn name<M: PhysicalMemory + ?Sized>(
        &self,
        view: &View<'_, M>,
        module: u64,
    ) -> Option<String> {
        let member = |offset: u64| module.wrapping_add(offset);
        if view.half(member(self.state))? == UNFORMED {
            return None;
        }
        view.text(member(self.name), MAX_MODULE_NAME).filter(|name| !name.is_empty())
    }

    /// Reads the table of the `struct module` at `module`; `None` if it has none, or none that can
    /// be read as a whole.
    pub(super) fn table<M: PhysicalMemory + ?Sized>(
        &self,
        view: &View<'_, M>,
        module: u64,
    ) -> Option<Table> {
        let name = self.name(view, module)?;
        let kallsyms = view.word(module.wrapping_add(self.kallsyms))?;
        let word = |offset: u64| view.word(kallsyms.wrapping_add(offset));
        let count = view.half(kallsyms.wrapping_add(self.count))?;
        if count > MAX_SYMBOLS {
            return None;
        }
        let count = count as usize;
        let types = match self.typetab {
            Some(types) => Some(view.bytes(word(types)?, count)?),
            None => None,
        };
        let symbols = view.bytes(word(self.symtab)?, SYMBOL * count)?;
        Some(Table { module: name, symbols, names: word(self.strtab)?, types })
    }
}

impl Table {
    /// The module's name.
    pub(super) fn module(&self) -> &str {
        &self.module
    }

    /// The functions and data, in the order of the table.
    fn entries(&self) -> impl Iterator<Item = Entry> {
        let (symbols, _) = self.symbols.as_chunks::<SYMBOL>();
        symbols.iter().enumerate().filter_map(|(index, symbol)| {
            let number = |at| symbol.get(at..)?.first_chunk().copied().map(u64::from_le_bytes);
            let name = symbol.first_chunk().copied().map(u32::from_le_bytes)?;
            let [info, _, section @ ..] = symbol.get(4..8)? else { return None };
            let letter = match &self.types {
                Some(types) => types.get(index)?,
                None => info,
            };
            // The kernel's own letters, as `nm` writes them (`elf_type`).
            let kind = match letter.to_ascii_lowercase() {
                b't' | b'w' => Kind::Function,
                b'd' | b'b' | b'r' | b's' | b'v' => Kind::Data,
                _ => return None,
            };
            let is_defined = section.iter().any(|byte| *byte != 0);
            let (start, size) = (number(8)?, number(16)?);
            is_defined.then_some(Entry { name, kind, start, size })
        })
    }

    fn symbol(&self, entry: &Entry, name: String) -> Named {
        let &Entry { kind, start, size, .. } = entry;
        Named { name, start, size, kind, module: self.module.clone() }
    }

    /// The function that contains `address`: as for the kernel, the first of those that begin
    /// nearest before it; none if that ends before it, too.
    pub(super) fn function<M: PhysicalMemory + ?Sized>(
        &self,
        view: &View<'_, M>,
        address: u64,
    ) -> Option<Named> {
        let functions = || self.entries().filter(|entry| entry.kind == Kind::Function);
        let (mut limit, mut labels) = (address, 0);
        loop {
            let starts = functions().map(|entry| entry.start).filter(|start| *start <= limit);
            let nearest = starts.max()?;
            for entry in functions().filter(|entry| entry.start == nearest) {
                let name =
                    view.text(self.names.wrapping_add(entry.name.into()), MAX_SYMBOL_NAME)?;
                if !is_label(&name) {
                    let is_inside = entry.size == 0 || address - entry.start < entry.size;
                    return is_inside.then(|| self.symbol(&entry, name));
                }
                labels += 1;
                if labels == MAX_LABELS {
                    return None;
                }
            }
            limit = nearest.checked_sub(1)?;
        }
    }

    /// The symbols with this name.
    pub(super) fn named<M: PhysicalMemory + ?Sized>(
        &self,
        view: &View<'_, M>,
        wanted: &str,
    ) -> Vec<Named> {
        let is_wanted = |entry: &Entry| {
            let mut bytes = vec![0; wanted.len() + 1];
            view.read(self.names.wrapping_add(entry.name.into()), &mut bytes)
                && bytes.strip_prefix(wanted.as_bytes()) == Some(&[0])
        };
        let symbol = |entry: Entry| self.symbol(&entry, wanted.to_owned());
        self.entries().filter(is_wanted).map(symbol).collect()
    }
}

/// Whether this is no name but a label of the assembler's (`is_mapping_symbol`,
/// `include/linux/module_symbol.h`).
fn is_label(name: &str) -> bool {
    name.is_empty() || ["$", ".L", "L0"].iter().any(|start| name.starts_with(start))
}
