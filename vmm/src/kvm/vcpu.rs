//! One KVM vCPU as a [`Cpu`].

mod finish;

use std::os::fd::AsRawFd;
use std::sync::Arc;

use kvm_bindings::{
    CpuId, KVM_EXIT_IO_IN, KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES,
    KVM_MP_STATE_HALTED, KVM_MP_STATE_INIT_RECEIVED, KVM_MP_STATE_UNINITIALIZED, Msrs,
    kvm_mp_state, kvm_msr_entry, kvm_sync_regs,
};
use kvm_ioctls::{SyncReg, VcpuExit, VcpuFd};

use super::kick::{Bound, RunFlag};
use super::vm::SharedVm;
use super::{failed, state};
use crate::cpu::Cpu;
use crate::error::{Error, Result};
use crate::exit::{Bytes, Entry, Exit};
use crate::identity::CpuidEntry;
use crate::memory::PAGE_SIZE;
use crate::registers::{Activity, DebugRegisters, Registers, SystemRegisters};

/// A KVM vCPU. It belongs to the thread that runs it.
#[derive(Debug)]
pub struct KvmCpu {
    // Dropped before the file descriptor whose page it maps.
    flag: RunFlag,
    fd: VcpuFd,
    sync: Sync,
    /// The number of consecutive EAGAIN results of `KVM_RUN`.
    again: u32,
    /// The work that KVM still does for the latest exit, on the next `KVM_RUN`.
    unfinished: Unfinished,
    /// Whether the latest return without an exit was caused by a kick.
    kicked: bool,
    /// The kernel keeps the VM while it has a vCPU, so its memory and its descriptor have to stay,
    /// too.
    machine: Arc<SharedVm>,
}

/// The remaining work of an access after the exit that reported it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unfinished {
    /// None: the exit reported no access, or the access is complete.
    Nothing,
    /// A completely reported store: KVM only has to forget it.
    Store,
    /// An `out` at this linear address: KVM advances RIP if it is still at this address.
    Out(u64),
    /// KVM still writes registers or memory, or may report another part of the access.
    More,
}

/// The vector of the exception that INT3 raises (Intel SDM vol. 3, 6.15).
const BP_VECTOR: u32 = 3;

/// An AP that waits for its SIPI causes EAGAIN once or twice when it is woken. KVM also returns
/// EAGAIN, for ever, when it can't start its worker thread (`RLIMIT_NPROC`), and then the guest
/// never runs.
const MAX_EAGAIN_RETRIES: u32 = 1000;

/// The registers in the run page, which need no ioctl.
#[derive(Clone, Copy, Debug, Default)]
struct Sync {
    /// Whether KVM copies the general-purpose and system registers to the page on every exit.
    /// (Measured: 40 ns more for an exit of 8 us, where one `KVM_GET_SREGS` costs 7 us.)
    registers: bool,
    /// Whether the page's copy is that of the latest exit; false before the first exit.
    fresh: bool,
}

impl KvmCpu {
    pub(super) fn new(fd: VcpuFd, machine: Arc<SharedVm>, sync_registers: bool) -> Result<Self> {
        let flag = RunFlag::map(fd.as_raw_fd())?;
        let sync = Sync { registers: sync_registers, fresh: false };
        let unfinished = Unfinished::Nothing;
        let mut cpu = Self { flag, fd, sync, again: 0, unfinished, kicked: false, machine };
        if sync_registers {
            cpu.fd.set_sync_valid_reg(SyncReg::Register);
            cpu.fd.set_sync_valid_reg(SyncReg::SystemRegister);
        }
        Ok(cpu)
    }

    /// The machine that it belongs to.
    pub(super) fn machine(&self) -> &SharedVm {
        &self.machine
    }

    /// Makes the calling thread the one that runs this vCPU: kicks of the thread reach it while the
    /// guard exists and the thread is not bound to another vCPU.
    pub fn bind_to_thread(&self) -> Bound {
        self.flag.bind()
    }

    /// CR8 at the latest exit. For machines without an in-kernel irqchip, where CR8 is the task
    /// priority of the local APIC that the caller emulates.
    pub fn cr8(&mut self) -> u8 {
        self.fd.get_kvm_run().cr8 as u8
    }

    /// Sets CR8 for the next entry; KVM takes it from the run page, whatever the system registers
    /// contain.
    pub fn set_cr8(&mut self, value: u8) {
        self.fd.get_kvm_run().cr8 = value.into();
    }

    /// Sets the CPUID leaves that the guest sees.
    pub fn set_cpuid(&mut self, entries: &[CpuidEntry]) -> Result<()> {
        let entries: Vec<_> = entries.iter().map(state::cpuid_to_kvm).collect();
        let cpuid = CpuId::from_entries(&entries).map_err(|_| Error::Config {
            setting: "CPUID",
            value: format!("{} leaves", entries.len()),
            problem: "more than KVM takes".into(),
        })?;
        self.fd.set_cpuid2(&cpuid).map_err(failed("KVM_SET_CPUID2"))
    }

    /// Replaces the segment, table and control registers.
    pub fn set_system_registers(&mut self, registers: &SystemRegisters) -> Result<()> {
        if self.sync.registers && self.sync.fresh {
            let sregs = &mut self.fd.sync_regs_mut().sregs;
            *sregs = state::system_registers_to_kvm(registers, sregs);
            self.fd.set_sync_dirty_reg(SyncReg::SystemRegister);
            return Ok(());
        }
        let pending = self.fd.get_sregs().map_err(failed("KVM_GET_SREGS"))?;
        self.fd
            .set_sregs(&state::system_registers_to_kvm(registers, &pending))
            .map_err(failed("KVM_SET_SREGS"))
    }

    /// Sets the local interrupt pins as a PC's firmware does: LINT0 to the PICs, LINT1 to NMI.
    ///
    /// This call also makes the last vCPU reachable. KVM has a map from APIC ids to vCPUs, and a
    /// vCPU that has just been created is not in it until some LAPIC changes: until then, an INIT
    /// and SIPI to it are dropped. (Observed on Linux 6.18: a guest that started its APs without
    /// the customary delays lost the last one in 8 of 10 boots.)
    pub fn wire_local_interrupts(&mut self) -> Result<()> {
        const LVT_LINT0: usize = 0x350;
        const LVT_LINT1: usize = 0x360;
        const MODE_NMI: u32 = 4 << 8;
        const MODE_EXTINT: u32 = 7 << 8;
        let mut lapic = self.fd.get_lapic().map_err(failed("KVM_GET_LAPIC"))?;
        let mut put = |offset: usize, value: u32| {
            for (register, byte) in
                lapic.regs[offset..offset + 4].iter_mut().zip(value.to_le_bytes())
            {
                *register = byte.cast_signed();
            }
        };
        put(LVT_LINT0, MODE_EXTINT);
        put(LVT_LINT1, MODE_NMI);
        self.fd.set_lapic(&lapic).map_err(failed("KVM_SET_LAPIC"))
    }

    /// Translates a linear address by the guest's page tables; `None` if it is not mapped.
    pub fn translate(&self, linear: u64) -> Result<Option<u64>> {
        let found = self.fd.translate_gva(linear).map_err(failed("KVM_TRANSLATE"))?;
        Ok((found.valid != 0).then_some(found.physical_address))
    }

    /// The file descriptor, for self-tests that try KVM's own calls.
    pub(crate) fn fd(&mut self) -> &mut VcpuFd {
        &mut self.fd
    }

    /// Gives KVM the values that have been written to the run page, which it otherwise takes only
    /// on the next `KVM_RUN`. Call this before every call that reads registers or events, or queues
    /// an event.
    pub(super) fn flush(&mut self) -> Result<()> {
        let dirty = std::mem::take(&mut self.fd.get_kvm_run().kvm_dirty_regs);
        let is = |part: SyncReg| dirty & part as u64 != 0;
        let sync = *self.fd.sync_regs_mut();
        // System registers are set first, because setting general-purpose registers drops a pending
        // exception. Events are set last, because they restore it.
        if is(SyncReg::SystemRegister) {
            self.fd.set_sregs(&sync.sregs).map_err(failed("KVM_SET_SREGS"))?;
        }
        if is(SyncReg::Register) {
            self.fd.set_regs(&sync.regs).map_err(failed("KVM_SET_REGS"))?;
        }
        if is(SyncReg::VcpuEvents) {
            self.fd.set_vcpu_events(&sync.events).map_err(failed("KVM_SET_VCPU_EVENTS"))?;
        }
        Ok(())
    }

    /// The registers in the run page, for reading and writing; `None` if they are not there.
    pub(super) fn shared_registers(&mut self) -> Option<&mut kvm_sync_regs> {
        (self.sync.registers && self.sync.fresh).then(|| self.fd.sync_regs_mut())
    }

    /// The remaining work of the access that the latest exit reported.
    pub(super) fn unfinished(&self) -> Unfinished {
        self.unfinished
    }

    fn leftover(&mut self, exit: &Exit) -> Unfinished {
        match exit {
            // A store that crosses the end of the page, or is longer than 8 bytes, has a second
            // exit.
            Exit::MmioWrite { address, data }
                if data.len() < 8 && !(address + data.len() as u64).is_multiple_of(PAGE_SIZE) =>
            {
                Unfinished::Store
            }
            Exit::PortWrite { .. } => self.shared_registers().map_or(Unfinished::More, |sync| {
                Unfinished::Out(state::linear_rip(&sync.regs, &sync.sregs))
            }),
            Exit::MmioWrite { .. }
            | Exit::MmioRead { .. }
            | Exit::PortRead { .. }
            | Exit::MsrRead { .. }
            | Exit::MsrWrite { .. } => Unfinished::More,
            _ => Unfinished::Nothing,
        }
    }

    fn answer(&mut self, entry: &Entry) {
        let Entry::Data(bytes) = entry else { return };
        let run = self.fd.get_kvm_run();
        if run.exit_reason == kvm_bindings::KVM_EXIT_MMIO {
            // SAFETY: the exit reason says that this member of the union is the valid one.
            let mmio = unsafe { &mut run.__bindgen_anon_1.mmio };
            let length = bytes.len().min(mmio.data.len());
            mmio.data[..length].copy_from_slice(&bytes[..length]);
        } else if run.exit_reason == kvm_bindings::KVM_EXIT_IO {
            // SAFETY: as above.
            let io = unsafe { run.__bindgen_anon_1.io };
            if u32::from(io.direction) != KVM_EXIT_IO_IN {
                return;
            }
            let length = bytes.len().min(io.count as usize * usize::from(io.size));
            let page = std::ptr::from_mut(run).cast::<u8>();
            // SAFETY: KVM guarantees that the data of this exit are the `count * size` bytes at
            // `data_offset` from the start of the run page, and all of them are mapped.
            unsafe {
                let target = page.add(io.data_offset as usize);
                std::ptr::copy_nonoverlapping(bytes.as_ptr(), target, length);
            }
        }
    }

    fn internal_error(&mut self) -> Exit {
        let run = self.fd.get_kvm_run();
        // SAFETY: `emulation_failure` overlays `internal`, begins with the same suberror, and every
        // bit pattern is valid for both; the checks below decide which fields are meaningful.
        let failure = unsafe { run.__bindgen_anon_1.emulation_failure };
        let mut instruction = Bytes::new();
        let has_bytes =
            failure.flags & u64::from(KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES) != 0;
        if failure.suberror == kvm_bindings::KVM_INTERNAL_ERROR_EMULATION
            && failure.ndata >= 1
            && has_bytes
        {
            // SAFETY: the flag says that these bytes are valid.
            let bytes = unsafe { failure.__bindgen_anon_1.__bindgen_anon_1 };
            let length = usize::from(bytes.insn_size).min(bytes.insn_bytes.len());
            instruction.extend_from_slice(&bytes.insn_bytes[..length]);
        }
        Exit::InternalError { suberror: failure.suberror, instruction }
    }

    fn element_size(&mut self) -> u8 {
        // SAFETY: called for KVM_EXIT_IO only, for which `io` is the valid member.
        unsafe { self.fd.get_kvm_run().__bindgen_anon_1.io }.size
    }
}

impl Cpu for KvmCpu {
    fn run(&mut self, entry: Entry) -> Result<Exit> {
        self.answer(&entry);
        let ran = self.fd.run();
        let exit = match ran {
            Ok(VcpuExit::IoOut(port, data)) => {
                Exit::PortWrite { port, size: 0, data: Bytes::from_slice(data) }
            }
            Ok(VcpuExit::IoIn(port, data)) => {
                Exit::PortRead { port, size: 0, count: data.len() as u32 }
            }
            Ok(VcpuExit::MmioRead(address, data)) => {
                Exit::MmioRead { address, size: data.len() as u8 }
            }
            Ok(VcpuExit::MmioWrite(address, data)) => {
                Exit::MmioWrite { address, data: Bytes::from_slice(data) }
            }
            Ok(VcpuExit::Hlt) => Exit::Halt,
            Ok(VcpuExit::IrqWindowOpen) => Exit::InterruptWindow,
            // For an INT3, KVM does not set DR6.
            Ok(VcpuExit::Debug(debug)) if debug.exception == BP_VECTOR => {
                Exit::Int3 { pc: debug.pc }
            }
            Ok(VcpuExit::Debug(debug)) => Exit::Debug { pc: debug.pc, dr6: debug.dr6 },
            Ok(VcpuExit::SetTpr) => Exit::TaskPriority,
            Ok(VcpuExit::Shutdown) => Exit::Shutdown,
            Ok(VcpuExit::FailEntry(reason, _)) => Exit::FailEntry { reason },
            Ok(VcpuExit::InternalError) => self.internal_error(),
            Ok(VcpuExit::Intr) => Exit::Kicked,
            Ok(VcpuExit::X86Rdmsr(read)) => Exit::MsrRead { index: read.index },
            Ok(VcpuExit::X86Wrmsr(write)) => {
                Exit::MsrWrite { index: write.index, value: write.data }
            }
            Ok(_) => Exit::Unexpected { reason: self.fd.get_kvm_run().exit_reason },
            Err(errno) if errno.errno() == libc::EINTR => {
                self.kicked = self.flag.clear();
                Exit::Kicked
            }
            // An AP that waits for its SIPI was woken: KVM has taken the INIT or SIPI and wants to
            // be called again.
            Err(errno) if errno.errno() == libc::EAGAIN && self.again < MAX_EAGAIN_RETRIES => {
                self.again += 1;
                return Ok(Exit::ApStart);
            }
            Err(errno) if errno.errno() == libc::EAGAIN => {
                let what = "KVM can't run a vCPU: it needs a thread of its own, raise `ulimit -u`";
                return Err(Error::System { what, source: errno.into() });
            }
            Err(errno) => return Err(failed("KVM_RUN")(errno)),
        };
        self.again = 0;
        self.sync.fresh = true;
        self.unfinished = self.leftover(&exit);
        Ok(match exit {
            Exit::PortWrite { port, data, .. } => {
                Exit::PortWrite { port, size: self.element_size(), data }
            }
            Exit::PortRead { port, count: bytes, .. } => {
                let size = self.element_size();
                Exit::PortRead { port, size, count: bytes / u32::from(size.max(1)) }
            }
            other => other,
        })
    }

    fn registers(&mut self) -> Result<Registers> {
        if self.sync.registers && self.sync.fresh {
            return Ok(state::registers_from_kvm(&self.fd.sync_regs_mut().regs));
        }
        let regs = self.fd.get_regs().map_err(failed("KVM_GET_REGS"))?;
        Ok(state::registers_from_kvm(&regs))
    }

    fn set_registers(&mut self, registers: &Registers) -> Result<()> {
        let regs = state::registers_to_kvm(registers);
        if self.sync.registers && self.sync.fresh {
            self.fd.sync_regs_mut().regs = regs;
            self.fd.set_sync_dirty_reg(SyncReg::Register);
            return Ok(());
        }
        self.fd.set_regs(&regs).map_err(failed("KVM_SET_REGS"))
    }

    fn system_registers(&mut self) -> Result<SystemRegisters> {
        if self.sync.registers && self.sync.fresh {
            return Ok(state::system_registers_from_kvm(&self.fd.sync_regs_mut().sregs));
        }
        let sregs = self.fd.get_sregs().map_err(failed("KVM_GET_SREGS"))?;
        Ok(state::system_registers_from_kvm(&sregs))
    }

    fn debug_registers(&mut self) -> Result<DebugRegisters> {
        let regs = self.fd.get_debug_regs().map_err(failed("KVM_GET_DEBUGREGS"))?;
        Ok(state::debug_registers_from_kvm(&regs))
    }

    fn msr(&mut self, index: u32) -> Result<u64> {
        let mut msrs = Msrs::from_entries(&[kvm_msr_entry { index, ..Default::default() }])
            .map_err(|_| no_such_msr())?;
        // KVM returns the number of MSRs that it could read; a short count is not an error of the
        // call.
        match self.fd.get_msrs(&mut msrs).map_err(failed("KVM_GET_MSRS"))? {
            1 => Ok(msrs.as_slice()[0].data),
            _ => Err(no_such_msr()),
        }
    }

    fn tsc_khz(&mut self) -> Result<u32> {
        self.fd.get_tsc_khz().map_err(failed("KVM_GET_TSC_KHZ"))
    }

    fn activity(&mut self) -> Result<Activity> {
        let kvm_mp_state { mp_state } =
            self.fd.get_mp_state().map_err(failed("KVM_GET_MP_STATE"))?;
        Ok(match mp_state {
            KVM_MP_STATE_UNINITIALIZED | KVM_MP_STATE_INIT_RECEIVED => Activity::WaitForSipi,
            KVM_MP_STATE_HALTED => Activity::Halted,
            _ => Activity::Running,
        })
    }
}

fn no_such_msr() -> Error {
    Error::Kvm { call: "KVM_GET_MSRS", source: std::io::ErrorKind::Unsupported.into() }
}

#[cfg(test)]
#[path = "vcpu_tests.rs"]
mod tests;
