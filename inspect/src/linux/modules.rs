//! The kernel's modules: which of them contains an address, and its ORC tables.
//!
//! `modules` is the head of the list of all `struct module` (`include/linux/module.h`). Each has
//! ORC tables of its own, for its code and for that of its start.

use vmm::paging::PhysicalMemory;

use super::btf::Btf;
use super::orc::Orc;
use super::view::View;

/// The most modules that are looked at.
const MAX_MODULES: usize = 1024;

/// Where things are in a `struct module`.
#[derive(Debug)]
pub(super) struct Modules {
    /// The address of the list's head.
    head: u64,
    list: u64,
    /// For what stays of the code and for that of the start: where the address and the size are.
    code: [(u64, u64); 2],
    count: u64,
    starts: u64,
    entries: u64,
}

impl Modules {
    /// Reads the layout; `None` if the kernel's types do not have it.
    pub(super) fn find(btf: &Btf, head: Option<u64>) -> Option<Self> {
        let arch = btf.offset("module", "arch")?;
        let orc = |member| Some(arch + btf.offset("mod_arch_specific", member)?);
        Some(Self {
            head: head?,
            list: btf.offset("module", "list")?,
            code: Self::with_layouts(btf).or_else(|| Self::with_memory(btf))?,
            count: orc("num_orcs")?,
            starts: orc("orc_unwind_ip")?,
            entries: orc("orc_unwind")?,
        })
    }

    /// Up to 6.3: one area for what stays, and one for the start.
    fn with_layouts(btf: &Btf) -> Option<[(u64, u64); 2]> {
        let part = |area: u64| {
            let member = |member| Some(area + btf.offset("module_layout", member)?);
            Some((member("base")?, member("size")?))
        };
        let area = |name| part(btf.offset("module", name)?);
        Some([area("core_layout")?, area("init_layout")?])
    }

    /// From 6.4 on: an array of areas (`enum mod_mem_type`).
    fn with_memory(btf: &Btf) -> Option<[(u64, u64); 2]> {
        const TEXT: u64 = 0;
        const INIT_TEXT: u64 = 4;
        let (array, size) = (btf.offset("module", "mem")?, btf.size("module_memory")?);
        let part = |index: u64| {
            let area = array + index * size;
            let member = |member| Some(area + btf.offset("module_memory", member)?);
            Some((member("base")?, member("size")?))
        };
        Some([part(TEXT)?, part(INIT_TEXT)?])
    }

    /// The ORC tables of the module that contains `address`, which have the format of the kernel's.
    pub(super) fn orc<M: PhysicalMemory + ?Sized>(
        &self,
        view: &View<'_, M>,
        kernel: &Orc,
        address: u64,
    ) -> Option<Orc> {
        let mut node = view.word(self.head)?;
        for _ in 0..MAX_MODULES {
            // The list ends at its head.
            if node == self.head || node >> 63 == 0 {
                return None;
            }
            let member = |offset: u64| node.wrapping_sub(self.list).wrapping_add(offset);
            let contains = |&(base, size): &(u64, u64)| {
                let (base, size) = (view.word(member(base))?, view.half(member(size))?);
                Some(address.checked_sub(base)? < u64::from(size))
            };
            if self.code.iter().any(|area| contains(area) == Some(true)) {
                let count = view.half(member(self.count))?;
                let (starts, entries) =
                    (view.word(member(self.starts))?, view.word(member(self.entries))?);
                return kernel.like(starts, entries, count);
            }
            node = view.word(node)?;
        }
        None
    }
}

#[cfg(test)]
#[path = "modules_tests.rs"]
mod tests;
