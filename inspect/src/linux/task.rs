//! The task that a vCPU runs.

use vmm::cpu::Cpu;
use vmm::error::Result as VmmResult;
use vmm::paging::PhysicalMemory;
use vmm::registers::SystemRegisters;

use super::btf::Btf;
use super::view::View;

/// `IA32_KERNEL_GS_BASE` (AMD APM vol. 2, appendix A): the base that SWAPGS exchanges with that of
/// GS.
const KERNEL_GS_BASE: u32 = 0xc000_0102;
/// The size of `task_struct.comm` (`TASK_COMM_LEN`).
const NAME: usize = 16;

/// The task that a vCPU runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// The address of its `task_struct`.
    pub address: u64,
    /// The process: what programs call its pid, and the kernel `tgid`.
    pub process: u32,
    /// The thread: what the kernel calls its pid. The idle task of each vCPU has 0.
    pub thread: u32,
    /// The name of the program or of the kernel's thread, up to 15 bytes.
    pub name: Vec<u8>,
}

/// The address of the kernel's data for a vCPU, whether it is in the kernel or in a program. Fails
/// if the vCPU's registers can't be read.
pub fn data_of(cpu: &mut dyn Cpu, system: &SystemRegisters) -> VmmResult<u64> {
    // The kernel's data is in the upper half of the addresses, where no program's GS can be.
    if system.gs.base >> 63 == 1 { Ok(system.gs.base) } else { cpu.msr(KERNEL_GS_BASE) }
}

/// Where things are that lead to a task.
#[derive(Debug)]
pub(super) struct Tasks {
    /// The offset of the pointer to the current task in a vCPU's own data.
    current: u64,
    tgid: u64,
    pid: u64,
    comm: u64,
}

impl Tasks {
    /// Reads the layout, or says why there is none.
    ///
    /// The pointer to the current task is a variable of its own, `current`, up to 6.1 and from 6.15
    /// on; in between it is in `pcpu_hot`, at `hot`.
    pub(super) fn find(
        btf: &Btf,
        current: Option<u64>,
        hot: Option<u64>,
    ) -> Result<Self, &'static str> {
        let member = |structure, member| btf.offset(structure, member);
        let in_hot = || hot?.checked_add(member("pcpu_hot", "current_task")?);
        let layout = || {
            Some(Self {
                current: in_hot().or(current)?,
                tgid: member("task_struct", "tgid")?,
                pid: member("task_struct", "pid")?,
                comm: member("task_struct", "comm")?,
            })
        };
        layout().ok_or("the BTF of the guest's kernel does not describe its tasks")
    }

    /// The task of a vCPU whose own data is at `data`.
    pub(super) fn task<M: PhysicalMemory + ?Sized>(
        &self,
        view: &View<'_, M>,
        data: u64,
    ) -> Option<Task> {
        let address = view.word(data.wrapping_add(self.current))?;
        if address >> 63 == 0 {
            return None;
        }
        let member = |offset: u64| address.wrapping_add(offset);
        let mut name = view.bytes(member(self.comm), NAME)?;
        name.truncate(name.iter().position(|byte| *byte == 0).unwrap_or(NAME));
        Some(Task {
            address,
            process: view.half(member(self.tgid))?,
            thread: view.half(member(self.pid))?,
            name,
        })
    }
}

#[cfg(test)]
#[path = "task_tests.rs"]
mod tests;
