//! Names and lines for addresses, from the guest's ELF file.
//!
//! Opening a file only checks that it is one. Its symbol table is read when the first name is
//! asked for, its DWARF when the first line is; a run that prints no stack pays for neither.

mod lines;
mod table;

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use object::Object as _;

use lines::Lines;
use table::Table;

/// A file that gives no symbols.
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

/// The symbols of one ELF file. Threads may share it.
#[derive(Debug)]
pub struct Symbols {
    name: String,
    bytes: Arc<[u8]>,
    tables: OnceLock<Tables>,
    /// Looking a line up fills caches, hence the lock; `None` until the first look-up.
    lines: Mutex<Option<Result<Lines, String>>>,
}

#[derive(Debug, Default)]
struct Tables {
    functions: Table,
    data: Table,
}

impl Symbols {
    /// Takes an ELF file's bytes. `name` is how messages call it.
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
                return Ok(Self { name, bytes, tables: OnceLock::new(), lines: Mutex::new(None) });
            }
        };
        Err(SymbolError { file: name, problem })
    }

    /// The file's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The function that `address` is in, and how far.
    pub fn function(&self, address: u64) -> Option<(&str, u64)> {
        self.tables().functions.find(address)
    }

    /// Whether there is a function of that name.
    pub fn has_function(&self, name: &str) -> bool {
        self.tables().functions.has(name)
    }

    /// The variable that `address` is in, and how far.
    pub fn data(&self, address: u64) -> Option<(&str, u64)> {
        self.tables().data.find(address)
    }

    /// The source line of the instruction at `address`.
    pub fn line(&self, address: u64) -> Option<Line> {
        self.with_lines(|lines| lines.ok().and_then(|lines| lines.find(address)))
    }

    /// Why there are no lines; `None` if there are. This reads the DWARF.
    pub fn line_problem(&self) -> Option<String> {
        self.with_lines(|lines| lines.err().map(str::to_owned))
    }

    fn with_lines<T>(&self, look: impl FnOnce(Result<&Lines, &str>) -> T) -> T {
        // A thread that panicked here left at worst a cache without an entry.
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = lines.get_or_insert_with(|| Lines::read(&self.bytes));
        look(lines.as_ref().map_err(String::as_str))
    }

    fn tables(&self) -> &Tables {
        self.tables.get_or_init(|| match object::File::parse(&*self.bytes) {
            Ok(file) => Tables {
                functions: Table::read(&file, table::Kind::Function),
                data: Table::read(&file, table::Kind::Data),
            },
            // It could be parsed when it was opened, and has not changed.
            Err(_) => Tables::default(),
        })
    }
}

#[cfg(test)]
mod tests;
