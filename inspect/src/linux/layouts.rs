//! The layouts of structures that are looked into, from the kernel's description of its types.

use vmm::paging::PhysicalMemory;

use super::btf::Btf;
use super::kallsyms::Kallsyms;
use super::modules::Modules;
use super::task::Tasks;
use super::view::View;

/// The most bytes of a description of types. Distributions' kernels have 4 to 8 MiB.
const MAX_BTF: u64 = 64 << 20;

/// The symbols that lead to the types and to what they describe.
#[derive(Debug)]
pub(super) struct Places {
    types: Option<(u64, u64)>,
    /// `current_task`.
    current: Option<u64>,
    /// `pcpu_hot`.
    hot: Option<u64>,
    /// `modules`, the head of the list of modules.
    modules: Option<u64>,
}

impl Places {
    pub(super) fn of(table: &Kallsyms) -> Self {
        Self {
            types: table.address("__start_BTF").zip(table.address("__stop_BTF")),
            current: table.address("current_task"),
            hot: table.address("pcpu_hot"),
            modules: table.address("modules"),
        }
    }

    /// Whether what is at these places is mapped.
    pub(super) fn is_mapped<M: PhysicalMemory + ?Sized>(&self, view: &View<'_, M>) -> bool {
        self.modules.is_some_and(|head| view.word(head).is_some())
    }
}

/// The layouts.
#[derive(Debug)]
pub(super) struct Layouts {
    pub(super) tasks: Result<Tasks, &'static str>,
    pub(super) modules: Option<Modules>,
}

impl Layouts {
    /// Reads the layouts, or says why there are none.
    pub(super) fn find<M: PhysicalMemory + ?Sized>(
        view: &View<'_, M>,
        places: &Places,
    ) -> Result<Self, &'static str> {
        let (start, end) = places.types.ok_or("the guest's kernel has no BTF")?;
        let size = end.saturating_sub(start);
        if size > MAX_BTF {
            return Err("the BTF of the guest's kernel is too large");
        }
        let bytes = view.bytes(start, size as usize);
        let bytes = bytes.ok_or("the BTF of the guest's kernel is not mapped")?;
        let btf = Btf::read(&bytes).ok_or("the BTF of the guest's kernel can't be read")?;
        Ok(Self {
            tasks: Tasks::find(&btf, places.current, places.hot),
            modules: Modules::find(&btf, places.modules),
        })
    }
}
