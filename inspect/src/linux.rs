//! A running Linux kernel, found in the guest's memory.
//!
//! A distribution's kernel has no symbols in its file, and with address-space layout randomisation
//! (KASLR) a file would not tell its addresses. But the kernel carries what it needs for its own
//! messages: its symbols ([`kallsyms`]), tables to unwind its stacks ([`orc`]), and the layout of
//! its structures ([`btf`]), by which its tasks ([`task`]) and [`modules`] are found. A stopped
//! vCPU leads to them: its interrupt descriptor table names the page-fault handler, whose address
//! is inside the kernel.

mod btf;
mod finder;
mod kallsyms;
mod layouts;
mod modules;
mod orc;
mod task;
#[cfg(test)]
mod test_kernel;
mod variables;
mod view;

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use vmm::paging::PhysicalMemory;
use vmm::registers::{Registers, SystemRegisters};

use crate::symbols::{Kind, Symbol, Symbols, Whole};
use crate::unwind::CallFrame;
pub use finder::Finder;
use kallsyms::Kallsyms;
use layouts::{Layouts, Places};
use modules::Named;
use orc::Orc;
pub use task::{Task, data_of};
pub use variables::{NoVariable, physical};
use view::View;

/// A symbol of a running kernel or of one of its modules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The name.
    pub name: String,
    /// Its address.
    pub start: u64,
    /// Its size in bytes, if it is known. Of the kernel itself it is the distance to the next
    /// symbol, which can be more than the variable has.
    pub size: Option<u64>,
    /// Whether it is code or data.
    pub kind: Kind,
    /// The module's name; `None` for the kernel itself.
    pub module: Option<String>,
}

/// A Linux kernel in a guest's memory.
#[derive(Debug)]
pub struct Kernel {
    /// The address of its page-fault handler, by which it is recognised.
    handler: u64,
    symbols: Arc<Symbols>,
    code: Vec<Range<u64>>,
    orc: Result<Orc, &'static str>,
    places: Places,
    /// The layouts of its structures; read when they are first needed.
    layouts: OnceLock<Result<Layouts, &'static str>>,
}

impl Kernel {
    /// Finds the kernel with this page-fault handler.
    fn find<M: PhysicalMemory + ?Sized>(view: &View<'_, M>, handler: u64) -> Option<Self> {
        let table = Kallsyms::find(view, handler)?;
        let code = code(&table);
        Some(Self {
            handler,
            symbols: Arc::new(symbols(&table, &code)),
            orc: Orc::find(view, &table),
            code,
            places: Places::of(&table),
            layouts: OnceLock::new(),
        })
    }

    /// Its symbols: functions, and data that has an address. Their names are those of the kernel's
    /// own `/proc/kallsyms`; modules are not included.
    pub fn symbols(&self) -> &Arc<Symbols> {
        &self.symbols
    }

    /// Why its stacks are not unwound by ORC; `None` if they are.
    pub fn orc_problem(&self) -> Option<&'static str> {
        self.orc.as_ref().err().copied()
    }

    /// The task that a vCPU runs, whose own data is at `data`; or why it can't be told.
    pub(crate) fn task<M: PhysicalMemory + ?Sized>(
        &self,
        system: &SystemRegisters,
        data: u64,
        memory: &M,
    ) -> Result<Task, &'static str> {
        let view = View::new(system, memory);
        // A program's page tables may not map the kernel's data.
        let isolated = || view.isolated().filter(|_| view.word(data).is_none());
        let isolated = isolated();
        let view = isolated.as_ref().unwrap_or(&view);
        let tasks = self.layouts(view)?.tasks.as_ref().map_err(|problem| *problem)?;
        tasks.task(view, data).ok_or("the vCPU has no task yet")
    }

    /// The symbols with this name, of the kernel and of the modules that are loaded now; with
    /// `module:name`, only those of this module. An error says why modules can't be looked into.
    pub(crate) fn named<M: PhysicalMemory + ?Sized>(
        &self,
        name: &str,
        system: &SystemRegisters,
        memory: &M,
    ) -> Result<Vec<Found>, &'static str> {
        let (module, name) = match name.split_once(':') {
            Some((module, name)) => (Some(module), name),
            None => (None, name),
        };
        let own = |kind| self.symbols.matching(kind, |known| module.is_none() && known == name);
        let mut found: Vec<Found> = Vec::new();
        for kind in [Kind::Function, Kind::Data] {
            let whole = |symbol: Symbol| {
                let Symbol { name, start, size } = symbol;
                Found { name, start, size, kind, module: None }
            };
            found.extend(own(kind).into_iter().map(whole));
        }
        match self.named_in_modules(name, module, system, memory) {
            Ok(more) => found.extend(more.into_iter().map(Found::from)),
            Err(problem) if found.is_empty() => return Err(problem),
            Err(_) => {}
        }
        Ok(found)
    }

    fn named_in_modules<M: PhysicalMemory + ?Sized>(
        &self,
        name: &str,
        module: Option<&str>,
        system: &SystemRegisters,
        memory: &M,
    ) -> Result<Vec<Named>, &'static str> {
        let view = View::new(system, memory);
        // A program's page tables may not map the kernel's data.
        let isolated = view.isolated().filter(|_| !self.places.is_mapped(&view));
        let view = isolated.as_ref().unwrap_or(&view);
        let modules = self.layouts(view)?.modules.as_ref();
        let modules = modules.ok_or("the BTF of the guest's kernel does not describe modules")?;
        modules.named(view, name, module)
    }

    /// The functions of modules that contain these addresses, in the same order. Those of the
    /// kernel itself are not looked up.
    pub(crate) fn functions_of_modules<M: PhysicalMemory + ?Sized>(
        &self,
        addresses: &[u64],
        system: &SystemRegisters,
        memory: &M,
    ) -> Vec<Option<Found>> {
        let view = self.mapped(system, memory);
        let modules = self.layouts(&view).ok().and_then(|layouts| layouts.modules.as_ref());
        let Some(modules) = modules else { return vec![None; addresses.len()] };
        let functions = modules.functions(&view, addresses);
        functions.into_iter().map(|function| function.map(Found::from)).collect()
    }

    /// Whether an address is in the kernel's own code.
    pub(crate) fn has_code_at(&self, address: u64) -> bool {
        self.code.iter().any(|range| range.contains(&address))
    }

    fn layouts<M: PhysicalMemory + ?Sized>(
        &self,
        view: &View<'_, M>,
    ) -> Result<&Layouts, &'static str> {
        let layouts = self.layouts.get_or_init(|| Layouts::find(view, &self.places));
        layouts.as_ref().map_err(|problem| *problem)
    }

    /// The frames of a vCPU in kernel mode, by ORC; `None` if this kernel has no ORC tables that
    /// can be used.
    pub(crate) fn unwind<M: PhysicalMemory + ?Sized>(
        &self,
        registers: &Registers,
        system: &SystemRegisters,
        memory: &M,
    ) -> Option<Vec<CallFrame>> {
        let orc = self.orc.as_ref().ok()?;
        let view = View::new(system, memory);
        let tables = |address| {
            if self.has_code_at(address) {
                return Some(*orc);
            }
            let layouts = self.layouts(&self.mapped(system, memory)).ok()?;
            layouts.modules.as_ref()?.orc(&view, orc, address)
        };
        Some(Orc::unwind(&view, registers, tables))
    }
}

impl From<Named> for Found {
    fn from(named: Named) -> Self {
        let Named { name, start, size, kind, module } = named;
        Self { name, start, size: (size > 0).then_some(size), kind, module: Some(module) }
    }
}

/// The kernel's code: the part that stays, and that which is only for the start.
fn code(table: &Kallsyms) -> Vec<Range<u64>> {
    let range = |start, end| Some(table.address(start)?..table.address(end)?);
    [range("_stext", "_etext"), range("_sinittext", "_einittext")].into_iter().flatten().collect()
}

/// The symbols in the form of those of files. A function ends at the next symbol, and only what is
/// in the code is a function: no address behind the code gets the name of the last function.
fn symbols(table: &Kallsyms, code: &[Range<u64>]) -> Symbols {
    let all = table.all();
    let mut next = u64::MAX;
    let mut above = u64::MAX;
    let mut whole = Vec::with_capacity(all.len());
    for symbol in all.iter().rev() {
        if symbol.address != above {
            next = above;
            above = symbol.address;
        }
        let in_code = code.iter().find(|range| range.contains(&symbol.address));
        let (kind, end) = match (symbol.kind.to_ascii_lowercase(), in_code) {
            // Absolute symbols are offsets into per-CPU areas.
            (b'a', _) => continue,
            (b't' | b'w', Some(range)) => (Kind::Function, next.min(range.end)),
            (_, None) if !symbol.kind.eq_ignore_ascii_case(&b't') => (Kind::Data, next),
            _ => continue,
        };
        let (start, size) = (symbol.address, end.saturating_sub(symbol.address));
        whole.push(Whole { start, size, kind, name: symbol.name.clone() });
    }
    whole.reverse();
    Symbols::from_kernel("the kernel's own symbols", whole)
}
