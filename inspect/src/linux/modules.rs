//! The kernel's modules: which of them contains an address, its ORC tables, and its symbols.
//!
//! `modules` is the head of the list of all `struct module` (`include/linux/module.h`). Each has
//! ORC tables of its own, for its code and for that of its start, and a symbol table ([`symbols`]).
//! Nothing of a module is remembered: it can be unloaded, and another be loaded in its place.

mod symbols;

use std::iter;

use vmm::paging::PhysicalMemory;

use super::btf::Btf;
use super::orc::Orc;
use super::view::View;
pub(super) use symbols::Named;
use symbols::{ModuleSymbols, Table};

/// The most modules that are looked at.
const MAX_MODULES: usize = 1024;

/// Where things are in a `struct module`.
#[derive(Debug)]
pub(super) struct Modules {
    /// The address of the list's head.
    head: u64,
    list: u64,
    areas: Vec<Area>,
    orc: Option<OrcPlaces>,
    symbols: Option<ModuleSymbols>,
}

/// Where the address and the size of a part of a module's memory are.
#[derive(Clone, Copy, Debug)]
struct Area {
    base: u64,
    size: u64,
    has_code: bool,
}

/// Where a module's ORC tables are told.
#[derive(Debug)]
struct OrcPlaces {
    count: u64,
    starts: u64,
    entries: u64,
}

impl OrcPlaces {
    fn find(btf: &Btf) -> Option<Self> {
        let arch = btf.offset("module", "arch")?;
        let orc = |member| Some(arch + btf.offset("mod_arch_specific", member)?);
        Some(Self {
            count: orc("num_orcs")?,
            starts: orc("orc_unwind_ip")?,
            entries: orc("orc_unwind")?,
        })
    }
}

impl Modules {
    /// Reads the layout; `None` if the kernel's types do not have it.
    pub(super) fn find(btf: &Btf, head: Option<u64>) -> Option<Self> {
        Some(Self {
            head: head?,
            list: btf.offset("module", "list")?,
            areas: Self::with_layouts(btf).or_else(|| Self::with_memory(btf))?,
            orc: OrcPlaces::find(btf),
            symbols: ModuleSymbols::find(btf),
        })
    }

    /// Up to 6.3: one area for what stays, and one for the start.
    fn with_layouts(btf: &Btf) -> Option<Vec<Area>> {
        let part = |name| {
            let area = btf.offset("module", name)?;
            let member = |member| Some(area + btf.offset("module_layout", member)?);
            Some(Area { base: member("base")?, size: member("size")?, has_code: true })
        };
        ["core_layout", "init_layout"].into_iter().map(part).collect()
    }

    /// From 6.4 on: an array of areas (`enum mod_mem_type`).
    fn with_memory(btf: &Btf) -> Option<Vec<Area>> {
        const TEXT: u64 = 0;
        const INIT_TEXT: u64 = 4;
        /// `MOD_MEM_NUM_TYPES`.
        const TYPES: u64 = 7;
        let (array, size) = (btf.offset("module", "mem")?, btf.size("module_memory")?);
        let part = |index: u64| {
            let area = array + index * size;
            let member = |member| Some(area + btf.offset("module_memory", member)?);
            let has_code = matches!(index, TEXT | INIT_TEXT);
            Some(Area { base: member("base")?, size: member("size")?, has_code })
        };
        (0..TYPES).map(part).collect()
    }

    /// The addresses of all `struct module`.
    fn all<M: PhysicalMemory + ?Sized>(&self, view: &View<'_, M>) -> impl Iterator<Item = u64> {
        let mut node = self.head;
        let next = move || {
            node = view.word(node)?;
            // The list ends at its head.
            (node != self.head && node >> 63 == 1).then(|| node.wrapping_sub(self.list))
        };
        iter::from_fn(next).fuse().take(MAX_MODULES)
    }

    /// Whether `address` is in a part of this module; with `in_code`, in a part that has code.
    fn contains<M: PhysicalMemory + ?Sized>(
        &self,
        view: &View<'_, M>,
        module: u64,
        address: u64,
        in_code: bool,
    ) -> bool {
        let contains = |area: &Area| {
            let base = view.word(module.wrapping_add(area.base))?;
            let size = view.half(module.wrapping_add(area.size))?;
            Some(address.checked_sub(base)? < u64::from(size))
        };
        let mut areas = self.areas.iter().filter(|area| area.has_code || !in_code);
        areas.any(|area| contains(area) == Some(true))
    }

    /// The module whose code contains `address`.
    fn around<M: PhysicalMemory + ?Sized>(&self, view: &View<'_, M>, address: u64) -> Option<u64> {
        self.all(view).find(|module| self.contains(view, *module, address, true))
    }

    /// The ORC tables of the module that contains `address`, which have the format of the kernel's.
    pub(super) fn orc<M: PhysicalMemory + ?Sized>(
        &self,
        view: &View<'_, M>,
        kernel: &Orc,
        address: u64,
    ) -> Option<Orc> {
        let places = self.orc.as_ref()?;
        let module = self.around(view, address)?;
        let member = |offset: u64| module.wrapping_add(offset);
        let count = view.half(member(places.count))?;
        let (starts, entries) =
            (view.word(member(places.starts))?, view.word(member(places.entries))?);
        kernel.like(starts, entries, count)
    }

    /// The functions of modules that contain these addresses, in the same order.
    pub(super) fn functions<M: PhysicalMemory + ?Sized>(
        &self,
        view: &View<'_, M>,
        addresses: &[u64],
    ) -> Vec<Option<Named>> {
        let Some(symbols) = &self.symbols else { return vec![None; addresses.len()] };
        // A stack's frames are often in the same module.
        let mut last: Option<(u64, Option<Table>)> = None;
        let mut function = |&address: &u64| {
            let module = self.around(view, address)?;
            if last.as_ref().is_none_or(|(known, _)| *known != module) {
                last = Some((module, symbols.table(view, module)));
            }
            let table = last.as_ref()?.1.as_ref()?;
            let is_inside = |start| self.contains(view, module, start, true);
            table.function(view, address).filter(|named| is_inside(named.start))
        };
        addresses.iter().map(&mut function).collect()
    }

    /// The names of the modules that are loaded.
    pub(super) fn names<M: PhysicalMemory + ?Sized>(&self, view: &View<'_, M>) -> Vec<String> {
        let name = |module| self.symbols.as_ref()?.name(view, module);
        self.all(view).filter_map(name).collect()
    }

    /// The name of the module whose code or data contains `address`.
    pub(super) fn name_at<M: PhysicalMemory + ?Sized>(
        &self,
        view: &View<'_, M>,
        address: u64,
    ) -> Option<String> {
        let module = self.all(view).find(|module| self.contains(view, *module, address, false))?;
        self.symbols.as_ref()?.name(view, module)
    }

    /// The symbols with this name, of all modules or of one, or why they can't be read.
    pub(super) fn named<M: PhysicalMemory + ?Sized>(
        &self,
        view: &View<'_, M>,
        name: &str,
        module: Option<&str>,
    ) -> Result<Vec<Named>, &'static str> {
        const UNKNOWN: &str =
            "the BTF of the guest's kernel does not describe its modules' symbols";
        let symbols = self.symbols.as_ref().ok_or(UNKNOWN)?;
        let mut found = Vec::new();
        for address in self.all(view) {
            let Some(table) = symbols.table(view, address) else { continue };
            if module.is_none_or(|module| is_same_module(module, table.module())) {
                // Symbols of the data of each CPU have no address of their own.
                let is_inside = |named: &Named| self.contains(view, address, named.start, false);
                found.extend(table.named(view, name).into_iter().filter(is_inside));
            }
        }
        Ok(found)
    }
}

/// Whether these are names of one module: the kernel writes `_` where a file's name can have `-`.
pub(super) fn is_same_module(one: &str, other: &str) -> bool {
    one.replace('-', "_") == other.replace('-', "_")
}

#[cfg(test)]
#[path = "modules_tests.rs"]
mod tests;
