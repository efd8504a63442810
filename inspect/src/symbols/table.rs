//! Symbols, sorted by address.

use std::cmp::Reverse;

use object::{Object, ObjectSection, ObjectSymbol, SectionFlags, SymbolKind};

/// The kind of a symbol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Code.
    Function,
    /// Data.
    Data,
}

/// Symbols that don't overlap, by ascending address.
#[derive(Debug, Default)]
pub(super) struct Table(Vec<Entry>);

#[derive(Debug)]
struct Entry {
    start: u64,
    /// The first address after the symbol.
    end: u64,
    name: Box<str>,
}

/// A symbol from which a table is built.
pub(super) struct Candidate<'a> {
    pub(super) start: u64,
    /// Its size in bytes; 0 if unknown.
    pub(super) size: u64,
    pub(super) section_end: u64,
    pub(super) global: bool,
    pub(super) name: &'a str,
}

impl Table {
    /// Reads a file's symbol table. Damaged symbols are left out.
    pub(super) fn read(file: &object::File, kind: Kind) -> Self {
        Self::of(candidates(file, kind))
    }

    /// Sorts symbols and determines where each of them ends.
    pub(super) fn of(mut candidates: Vec<Candidate>) -> Self {
        // Of several names for one address, the one with a size is kept, then the global one.
        candidates.sort_by_key(|c| (c.start, Reverse(c.size), Reverse(c.global)));
        candidates.dedup_by_key(|c| c.start);
        let mut entries: Vec<Entry> = Vec::with_capacity(candidates.len());
        let mut rest = candidates.iter().peekable();
        while let Some(symbol) = rest.next() {
            // A label without a size inside a function with a size is a place in that function, and
            // not another function.
            if symbol.size == 0 && entries.last().is_some_and(|last| symbol.start < last.end) {
                continue;
            }
            // In assembly, symbols often have no size. Such a symbol extends to the next symbol or
            // the end of its section.
            let next = rest.peek().map_or(u64::MAX, |next| next.start);
            let end = if symbol.size == 0 {
                next.min(symbol.section_end)
            } else {
                symbol.start.saturating_add(symbol.size)
            };
            entries.push(Entry { start: symbol.start, end, name: symbol.name.into() });
        }
        Self(entries)
    }

    /// Whether the table has a symbol with this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|entry| &*entry.name == name)
    }

    /// The names of all symbols.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|entry| &*entry.name)
    }

    /// The symbol that contains `address`, and the offset of `address` in it.
    pub(super) fn find(&self, address: u64) -> Option<(&str, u64)> {
        self.entry(address).map(|entry| (&*entry.name, address - entry.start))
    }

    /// The end of the symbol that contains `address`.
    pub(super) fn end(&self, address: u64) -> Option<u64> {
        self.entry(address).map(|entry| entry.end)
    }

    fn entry(&self, address: u64) -> Option<&Entry> {
        let behind = self.0.partition_point(|entry| entry.start <= address);
        self.0.get(behind.checked_sub(1)?).filter(|entry| address < entry.end)
    }
}

/// A file's symbols of a kind, in the order of the file. Damaged symbols are left out.
pub(super) fn candidates<'a>(file: &object::File<'a>, kind: Kind) -> Vec<Candidate<'a>> {
    file.symbols().filter_map(|symbol| candidate(file, &symbol, kind)).collect()
}

fn candidate<'a>(
    file: &object::File<'a>,
    symbol: &object::Symbol<'a, '_>,
    kind: Kind,
) -> Option<Candidate<'a>> {
    let section = file.section_by_index(symbol.section_index()?).ok()?;
    let in_code = match section.flags() {
        SectionFlags::Elf { sh_flags, .. } => sh_flags.0 & object::elf::SHF_EXECINSTR.0 != 0,
        _ => false,
    };
    let fits = match symbol.kind() {
        SymbolKind::Text => kind == Kind::Function,
        SymbolKind::Data => kind == Kind::Data,
        // Labels in assembly have no type. Their section determines their kind.
        SymbolKind::Unknown | SymbolKind::Label => (kind == Kind::Function) == in_code,
        _ => false,
    };
    let name = symbol.name().ok().filter(|name| !name.is_empty())?;
    fits.then(|| Candidate {
        start: symbol.address(),
        size: symbol.size(),
        section_end: section.address().saturating_add(section.size()),
        global: symbol.is_global(),
        name,
    })
}
