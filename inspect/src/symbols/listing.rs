//! Listings of symbols: Linux' `System.map` and `kallsyms`, and `WinDbg`'s `x module!*`.
//!
//! ```text
//! ffffffff81000000 T _stext
//! ffffffffc0001000 t init_module   [e1000]
//! fffff800`02a5c1d0 nt!KeBugCheck = <no type information>
//! 804d9ae0          nt!KeBugCheck = <no type information>
//! ```

use super::Whole;
use super::table::{Candidate, Kind, Table};

/// The symbols in the order of the file.
#[derive(Debug)]
pub(super) struct Listing(Vec<Entry>);

#[derive(Debug)]
struct Entry {
    start: u64,
    /// 0 if unknown.
    size: u64,
    kind: Kind,
    global: bool,
    name: Box<str>,
}

impl Listing {
    /// Reads a listing. Lines that aren't symbols are skipped; it is an error if no line is a
    /// symbol.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let entries: Vec<Entry> = text.lines().filter_map(entry).collect();
        if entries.is_empty() {
            return Err("neither an ELF file nor a listing of symbols, whose lines look like \
                        'ffffffff81000000 T name' or '804d9ae0 module!name'"
                .into());
        }
        if entries.iter().all(|entry| entry.start == 0) {
            return Err("all its addresses are 0: the guest's kernel.kptr_restrict hides them \
                        from who isn't root"
                .into());
        }
        Ok(Self(entries))
    }

    /// The symbols of a running kernel. Of those at one address, the first is used.
    pub(super) fn of(symbols: impl IntoIterator<Item = Whole>) -> Self {
        let entry =
            |Whole { start, size, kind, name }| Entry { start, size, kind, global: true, name };
        Self(symbols.into_iter().map(entry).collect())
    }

    /// The address of a symbol, and its size or 0.
    pub(super) fn symbol(&self, name: &str) -> Option<(u64, u64)> {
        let found = self.0.iter().find(|entry| &*entry.name == name);
        found.map(|entry| (entry.start, entry.size))
    }

    pub(super) fn candidates(&self, kind: Kind) -> impl Iterator<Item = Candidate<'_>> {
        let candidate = |entry| {
            let Entry { start, size, global, name, .. }: &Entry = entry;
            Candidate { start: *start, size: *size, section_end: u64::MAX, global: *global, name }
        };
        self.0.iter().filter(move |entry| entry.kind == kind).map(candidate)
    }

    pub(super) fn table(&self, kind: Kind) -> Table {
        Table::of(self.candidates(kind).collect())
    }
}

fn entry(line: &str) -> Option<Entry> {
    let mut words = line.split_whitespace();
    let (address, second) = (words.next()?, words.next()?);
    // WinDbg prints a backquote between the halves of an address.
    let digits: String = address.chars().filter(|&c| c != '`').collect();
    if !digits.starts_with(|c: char| c.is_ascii_hexdigit()) {
        return None;
    }
    let start = u64::from_str_radix(&digits, 16).ok()?;
    if second.contains('!') {
        return Some(Entry {
            start,
            size: 0,
            kind: Kind::Function,
            global: true,
            name: second.into(),
        });
    }
    let mut letters = second.chars();
    let (letter, None) = (letters.next()?, letters.next()) else { return None };
    let kind = match letter {
        'T' | 't' | 'W' | 'w' | 'i' => Kind::Function,
        'D' | 'd' | 'B' | 'b' | 'R' | 'r' | 'V' | 'v' | 'G' | 'g' | 'S' | 's' => Kind::Data,
        // Undefined symbols are left out, and so are absolute ones, which are offsets into per-CPU
        // areas.
        _ => return None,
    };
    let name = words.next()?.into();
    Some(Entry { start, size: 0, kind, global: letter.is_ascii_uppercase(), name })
}
