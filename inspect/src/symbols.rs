//! Names and source lines for addresses, from the guest's ELF file or from a listing of its
//! symbols.
//!
//! Opening a file only checks its format. The symbol table is read when the first name is looked
//! up, and the DWARF when the first line is looked up; a run that prints no stack needs neither.

mod lines;
mod listing;
mod table;

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use object::{Object as _, ObjectSymbol as _};

use lines::Lines;
use listing::Listing;
pub use table::Kind;
use table::{Candidate, Table};

/// The error that a file yields no symbols.
#[derive(Debug, thiserror::Error)]
#[error("symbols of {file}: {problem}")]
pub struct SymbolError {
    /// The file's name.
    pub file: String,
    /// What is wrong with it.
    pub problem: String,
}

/// A place in the source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The file, with its path as the compiler recorded it.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
}

/// A named place in the guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Symbol {
    /// The name.
    pub name: String,
    /// Its address.
    pub start: u64,
    /// Its size in bytes, if the file gives one.
    pub size: Option<u64>,
}

/// A symbol of a running kernel, whose size is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Whole {
    pub(crate) start: u64,
    /// The number of bytes.
    pub(crate) size: u64,
    pub(crate) kind: Kind,
    pub(crate) name: Box<str>,
}

/// The symbols of one file, which threads can share.
#[derive(Debug)]
pub struct Symbols {
    name: String,
    file: File,
    tables: OnceLock<Tables>,
    /// The line tables; `None` before the first look-up. Look-ups fill caches, and so need the
    /// lock.
    lines: Mutex<Option<Result<Lines, String>>>,
}

#[derive(Debug)]
enum File {
    Elf(Arc<[u8]>),
    Listing(Listing),
}

#[derive(Debug, Default)]
struct Tables {
    functions: Table,
    data: Table,
}

impl Symbols {
    /// Reads an ELF file. `name` is the file's name in messages.
    pub fn from_elf(
        name: impl Into<String>,
        bytes: impl Into<Arc<[u8]>>,
    ) -> Result<Self, SymbolError> {
        let (name, bytes) = (name.into(), bytes.into());
        let problem = match object::File::parse(&*bytes) {
            Err(error) => format!("not a readable ELF file: {error}"),
            Ok(file) if file.symbol_table().is_none() => {
                "it has no symbol table; use the file before it was stripped".into()
            }
            Ok(_) => {
                return Ok(Self::new(name, File::Elf(bytes)));
            }
        };
        Err(SymbolError { file: name, problem })
    }

    /// Reads a listing: a Linux guest's `System.map` or `/proc/kallsyms`, or the output of
    /// `WinDbg`'s `x module!*`.
    pub fn from_listing(name: impl Into<String>, text: &str) -> Result<Self, SymbolError> {
        let name = name.into();
        match Listing::read(text) {
            Ok(listing) => Ok(Self::new(name, File::Listing(listing))),
            Err(problem) => Err(SymbolError { file: name, problem }),
        }
    }

    /// The symbols of a kernel that were found in memory. `name` is what messages call them. Of
    /// several symbols at one address, the first gives the name.
    pub(crate) fn from_kernel(name: &str, symbols: Vec<Whole>) -> Self {
        Self::new(name.into(), File::Listing(Listing::of(symbols)))
    }

    /// Reads an ELF file or a listing.
    pub fn from_file(
        name: impl Into<String>,
        bytes: impl Into<Arc<[u8]>>,
    ) -> Result<Self, SymbolError> {
        let bytes = bytes.into();
        match std::str::from_utf8(&bytes) {
            Ok(text) if !bytes.starts_with(b"\x7fELF") => Self::from_listing(name, text),
            _ => Self::from_elf(name, bytes),
        }
    }

    fn new(name: String, file: File) -> Self {
        Self { name, file, tables: OnceLock::new(), lines: Mutex::new(None) }
    }

    /// The address of a symbol. If several symbols have the name, the first in the file is used.
    pub fn address(&self, name: &str) -> Option<u64> {
        self.symbol(name).map(|symbol| symbol.start)
    }

    /// The symbol with this name. If several symbols have the name, the first in the file is used.
    pub fn symbol(&self, name: &str) -> Option<Symbol> {
        let (start, size) = match &self.file {
            File::Listing(listing) => listing.symbol(name)?,
            File::Elf(bytes) => {
                let file = object::File::parse(&**bytes).ok()?;
                let named = |symbol: &object::Symbol| {
                    symbol.name() == Ok(name) && symbol.section_index().is_some()
                };
                file.symbols().find(named).map(|symbol| (symbol.address(), symbol.size()))?
            }
        };
        Some(Symbol { name: name.into(), start, size: (size > 0).then_some(size) })
    }

    /// The symbols of a kind whose names `wanted` accepts, one for each address, by ascending
    /// address.
    pub fn matching(&self, kind: Kind, wanted: impl Fn(&str) -> bool) -> Vec<Symbol> {
        let pick = |candidates: Vec<Candidate>| {
            let mut picked: Vec<_> =
                candidates.into_iter().filter(|candidate| wanted(candidate.name)).collect();
            picked.sort_by_key(|candidate| (candidate.start, !candidate.global));
            picked.dedup_by_key(|candidate| candidate.start);
            let symbol = |candidate: &Candidate| Symbol {
                name: candidate.name.into(),
                start: candidate.start,
                size: (candidate.size > 0).then_some(candidate.size),
            };
            picked.iter().map(symbol).collect()
        };
        match &self.file {
            File::Listing(listing) => pick(listing.candidates(kind).collect()),
            File::Elf(bytes) => object::File::parse(&**bytes)
                .map_or_else(|_| Vec::new(), |file| pick(table::candidates(&file, kind))),
        }
    }

    /// The end of the function that contains `address`.
    pub fn end_of_function(&self, address: u64) -> Option<u64> {
        self.tables().functions.end(address)
    }

    /// The most similar known name.
    pub fn nearest(&self, name: &str) -> Option<String> {
        // Comparing with a million names would take seconds.
        const MAX_COMPARED_NAMES: usize = 20_000;
        let tables = self.tables();
        let known = tables.functions.names().chain(tables.data.names()).take(MAX_COMPARED_NAMES);
        crate::suggest::nearest(name, known).map(str::to_owned)
    }

    /// The file's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The function that contains `address`, and the offset of `address` in it.
    pub fn function(&self, address: u64) -> Option<(&str, u64)> {
        self.tables().functions.find(address)
    }

    /// Whether there is a function with this name.
    pub fn has_function(&self, name: &str) -> bool {
        self.tables().functions.has(name)
    }

    /// The variable that contains `address`, and the offset of `address` in it.
    pub fn data(&self, address: u64) -> Option<(&str, u64)> {
        self.tables().data.find(address)
    }

    /// The source line of the instruction at `address`.
    pub fn line(&self, address: u64) -> Option<Line> {
        self.with_lines(|lines| lines.ok().and_then(|lines| lines.find(address)))
    }

    /// Why source lines are not available; `None` if they are. Reads the DWARF.
    pub fn line_problem(&self) -> Option<String> {
        self.with_lines(|lines| lines.err().map(str::to_owned))
    }

    fn with_lines<T>(&self, look: impl FnOnce(Result<&Lines, &str>) -> T) -> T {
        // A panic in another thread leaves at worst a cache without an entry.
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = lines.get_or_insert_with(|| match &self.file {
            File::Elf(bytes) => Lines::read(bytes),
            File::Listing(_) => Err("a listing of symbols has no line numbers".into()),
        });
        look(lines.as_ref().map_err(String::as_str))
    }

    fn tables(&self) -> &Tables {
        self.tables.get_or_init(|| match &self.file {
            File::Listing(listing) => Tables {
                functions: listing.table(table::Kind::Function),
                data: listing.table(table::Kind::Data),
            },
            File::Elf(bytes) => match object::File::parse(&**bytes) {
                Ok(file) => Tables {
                    functions: Table::read(&file, table::Kind::Function),
                    data: Table::read(&file, table::Kind::Data),
                },
                // The file could be parsed when it was opened, and has not changed since.
                Err(_) => Tables::default(),
            },
        })
    }
}

#[cfg(test)]
mod tests;
