//! Variables of a running kernel, by their names.

use std::ops::Range;

use vmm::paging::{PAGE_SIZE, PhysicalMemory};
use vmm::registers::SystemRegisters;

use super::Kernel;
use super::modules::is_same_module;
use super::view::View;
use crate::symbols::Kind;

/// The kernel frees what is between these symbols after its start (`free_initmem`).
const START_ONLY: [&str; 2] = ["__init_begin", "__init_end"];

/// The most modules that a message names.
const MAX_LISTED: usize = 40;

/// Why no variable of a module is meant by a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoVariable {
    /// No module that is loaded can have it: what was sought, and what is loaded.
    #[error("{0}")]
    NotLoaded(String),
    /// The module is there, but the name can't be used, or the modules can't be read: why.
    #[error("{0}")]
    Refused(String),
}

impl From<&str> for NoVariable {
    fn from(reason: &str) -> Self {
        Self::Refused(reason.into())
    }
}

impl Kernel {
    /// The linear addresses of a variable of the kernel's own, which end at the next symbol. `None`
    /// if it has no symbol with this name; an error says why another can't be meant.
    pub fn variable(&self, name: &str) -> Result<Option<Range<u64>>, String> {
        let symbols = self.symbols();
        let found = symbols.matching(Kind::Data, |known| known == name);
        match &found[..] {
            [] if symbols.has_function(name) => Err(format!("{name} is a function")),
            [] => Ok(None),
            [variable] => {
                let start = variable.start;
                let [begin, end] = START_ONLY.map(|name| symbols.address(name));
                if begin.zip(end).is_some_and(|(begin, end)| (begin..end).contains(&start)) {
                    return Err(format!("the kernel uses {name} only during its start"));
                }
                Ok(Some(start..start.saturating_add(variable.size.unwrap_or(0))))
            }
            several => Err(format!("{} variables of the kernel are called {name}", several.len())),
        }
    }

    /// The linear addresses of a variable of a module that is loaded now, and the module's name; or
    /// why there is none. Without `module`, all modules are looked through. Where the module's
    /// table does not tell a size, the range is empty.
    pub fn variable_of_module<M: PhysicalMemory + ?Sized>(
        &self,
        module: Option<&str>,
        name: &str,
        system: &SystemRegisters,
        memory: &M,
    ) -> Result<(Range<u64>, String), NoVariable> {
        let found = self.named_in_modules(name, module, system, memory)?;
        let (data, others): (Vec<_>, Vec<_>) =
            found.into_iter().partition(|named| named.kind == Kind::Data);
        match &data[..] {
            [] if !others.is_empty() => Err(NoVariable::Refused(format!("{name} is a function"))),
            [] => Err(self.absent(module, name, system, memory)?),
            [one] => Ok((one.start..one.start.saturating_add(one.size), one.module.clone())),
            several => {
                let modules: Vec<_> = several.iter().map(|named| &*named.module).collect();
                Err(NoVariable::Refused(format!(
                    "{} variables are called {name}, in {}",
                    several.len(),
                    modules.join(", ")
                )))
            }
        }
    }

    /// The name of the module that contains an address.
    pub fn module_at<M: PhysicalMemory + ?Sized>(
        &self,
        address: u64,
        system: &SystemRegisters,
        memory: &M,
    ) -> Option<String> {
        let view = self.mapped(system, memory);
        self.layouts(&view).ok()?.modules.as_ref()?.name_at(&view, address)
    }

    /// Says that no module has a variable.
    fn absent<M: PhysicalMemory + ?Sized>(
        &self,
        module: Option<&str>,
        name: &str,
        system: &SystemRegisters,
        memory: &M,
    ) -> Result<NoVariable, &'static str> {
        let view = self.mapped(system, memory);
        let modules = self.layouts(&view)?.modules.as_ref();
        let names = modules.map(|modules| modules.names(&view)).unwrap_or_default();
        let is_loaded = |module| names.iter().any(|known| is_same_module(known, module));
        let what = match module {
            Some(module) if is_loaded(module) => {
                return Ok(NoVariable::Refused(format!(
                    "the module {module} has no variable {name} with a single address"
                )));
            }
            Some(module) => format!("no module {module} is loaded"),
            None => format!(
                "neither the kernel nor a module has a variable {name} with a single address"
            ),
        };
        let listed = names.iter().take(MAX_LISTED).map(String::as_str).collect::<Vec<_>>();
        Ok(NoVariable::NotLoaded(match names.len() {
            0 => format!("{what}; no module is loaded"),
            all if all > MAX_LISTED => {
                let more = all - MAX_LISTED;
                format!("{what}; loaded modules: {} and {more} more", listed.join(", "))
            }
            _ => format!("{what}; loaded modules: {}", listed.join(", ")),
        }))
    }

    /// The memory with the kernel's data, which a program's page tables may not map.
    pub(super) fn mapped<'a, M: PhysicalMemory + ?Sized>(
        &self,
        system: &SystemRegisters,
        memory: &'a M,
    ) -> View<'a, M> {
        let view = View::new(system, memory);
        let isolated = view.isolated().filter(|_| !self.places.is_mapped(&view));
        isolated.unwrap_or(view)
    }
}

/// Where a vCPU's page tables have this linear range of the kernel's; or why there is no single
/// guest-physical range.
pub fn physical<M: PhysicalMemory + ?Sized>(
    linear: &Range<u64>,
    system: &SystemRegisters,
    memory: &M,
) -> Result<Range<u64>, &'static str> {
    let view = View::new(system, memory);
    match (contiguous(linear, &view), view.isolated()) {
        (Err(_), Some(isolated)) => contiguous(linear, &isolated),
        (found, _) => found,
    }
}

fn contiguous<M: PhysicalMemory + ?Sized>(
    linear: &Range<u64>,
    view: &View<'_, M>,
) -> Result<Range<u64>, &'static str> {
    let size = linear.end.saturating_sub(linear.start);
    let start = view.physical(linear.start).ok_or("its address is not mapped")?;
    for part in parts(linear).skip(1) {
        match view.physical(part) {
            Some(physical) if physical == start + (part - linear.start) => {}
            Some(_) => return Err("it is on several pages that are not in one piece of memory"),
            None => return Err("not all of it is mapped"),
        }
    }
    Ok(start..start + size)
}

/// The first byte of a range, and the start of each further page on which it is.
fn parts(range: &Range<u64>) -> impl Iterator<Item = u64> {
    let next = (range.start & !(PAGE_SIZE - 1)).saturating_add(PAGE_SIZE);
    std::iter::once(range.start).chain((next..range.end).step_by(PAGE_SIZE as usize))
}

#[cfg(test)]
#[path = "variables_tests.rs"]
mod tests;
