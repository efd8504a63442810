//! Symbols sorted by address.

use std::cmp::Reverse;

use object::{Object, ObjectSection, ObjectSymbol, SectionFlags, SymbolKind};

/// What a symbol names.
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
    /// The first address behind it.
    end: u64,
    name: Box<str>,
}

/// A symbol while the table is made.
pub(super) struct Candidate<'a> {
    pub(super) start: u64,
    /// 0 if nobody says.
    pub(super) size: u64,
    pub(super) section_end: u64,
    pub(super) global: bool,
    pub(super) name: &'a str,
}

impl Table {
    /// Reads a file's symbol table. Symbols that are damaged are left out.
    pub(super) fn read(file: &object::File, kind: Kind) -> Self {
        Self::of(candidates(file, kind))
    }

    /// Sorts symbols, and finds out where each ends.
    pub(super) fn of(mut candidates: Vec<Candidate>) -> Self {
        // Of several names for one address: the one with a size, then the global one.
        candidates.sort_by_key(|c| (c.start, Reverse(c.size), Reverse(c.global)));
        candidates.dedup_by_key(|c| c.start);
        let mut entries: Vec<Entry> = Vec::with_capacity(candidates.len());
        let mut rest = candidates.iter().peekable();
        while let Some(symbol) = rest.next() {
            // A label inside a function that has a size is a place in it, not a function.
            if symbol.size == 0 && entries.last().is_some_and(|last| symbol.start < last.end) {
                continue;
            }
            // Assembly often gives no size: such a symbol goes on to the next, in its section.
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

    /// Whether it has a symbol of that name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|entry| &*entry.name == name)
    }

    /// All names.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|entry| &*entry.name)
    }

    /// The symbol that holds `address`, and how far it is in.
    pub(super) fn find(&self, address: u64) -> Option<(&str, u64)> {
        self.entry(address).map(|entry| (&*entry.name, address - entry.start))
    }

    /// Where the symbol that holds `address` ends.
    pub(super) fn end(&self, address: u64) -> Option<u64> {
        self.entry(address).map(|entry| entry.end)
    }

    fn entry(&self, address: u64) -> Option<&Entry> {
        let behind = self.0.partition_point(|entry| entry.start <= address);
        self.0.get(behind.checked_sub(1)?).filter(|entry| address < entry.end)
    }
}

/// A file's symbols of a kind, as they come. Those that are damaged are left out.
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
        // Assembly's labels have no type: where they are tells.
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
