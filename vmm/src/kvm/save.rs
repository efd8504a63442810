//! Saves and restores a vCPU.
//!
//! An access that an exit reported is incomplete: KVM completes it on the next `KVM_RUN`, whatever
//! the registers are by then. So the order is always the same: first
//! [`KvmCpu::complete_pending_io`] completes the access, then registers are written. The exit of a
//! store or an `out` has reported everything, so the access is simply completed. A load or an `in`
//! is completed with zeroes, which have no effect, because the saved registers are those before the
//! instruction: it is executed again. For most stores and `out`s, completion changes nothing, and
//! is left to the following `KVM_RUN`.
//!
//! General-purpose and system registers and pending events are transferred in the run page.
//! Extended state (the FPU, MSRs and debug registers) is not part of it and takes one system call
//! each, which costs as much as an exit on some hosts; [`ExtendedRestore`] says whether these calls
//! can be omitted.

use std::ops::Range;
use std::sync::Arc;

use kvm_bindings::{
    Msrs, kvm_debugregs, kvm_msr_entry, kvm_regs, kvm_sregs, kvm_vcpu_events, kvm_xcrs, kvm_xsave,
};
use kvm_ioctls::{Cap, SyncReg};

use super::state::linear_rip;
use super::vcpu::Unfinished;
use super::{Host, KvmCpu, failed};
use crate::error::{Error, Result};
use crate::exit::{Entry, Exit};

/// `IA32_TIME_STAMP_COUNTER`, `IA32_TSC_DEADLINE`, and `HV_X64_MSR_VP_RUNTIME` and
/// `HV_X64_MSR_TIME_REF_COUNT` (Hyper-V TLFS), which `kvm-amd` lists: they hold time, which
/// advances by itself. `IA32_TSC_ADJUST` is not included: KVM moves its counter when the guest
/// writes this register, but only stores the value when the host writes it.
const CLOCKS: [u32; 4] = [0x10, 0x6e0, 0x4000_0010, 0x4000_0020];

/// `IA32_APIC_BASE`, `IA32_EFER`, `IA32_FS_BASE`, `IA32_GS_BASE`: these MSRs are also in
/// `kvm_sregs`.
pub(super) const IN_SYSTEM_REGISTERS: [u32; 4] = [0x1b, 0xc000_0080, 0xc000_0100, 0xc000_0101];

/// The maximum number of exits until an instruction is complete: a `rep` over a page takes fewer.
const MAX_EXITS: u32 = 5000;

/// The saved state of a vCPU.
#[derive(Clone)]
pub(crate) struct CpuState {
    regs: kvm_regs,
    sregs: kvm_sregs,
    events: kvm_vcpu_events,
    /// `if_flag` and `ready_for_interrupt_injection` of the run page.
    window: (u8, u8),
    extended: Arc<ExtendedState>,
}

/// The extended state, which is not part of the run page.
struct ExtendedState {
    xsave: kvm_xsave,
    xcrs: kvm_xcrs,
    debug: kvm_debugregs,
    msrs: Vec<kvm_msr_entry>,
}

impl std::fmt::Debug for CpuState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CpuState {{ rip: {:#x}, .. }}", self.regs.rip)
    }
}

/// The memory type range registers, which KVM has but doesn't list (Intel SDM vol. 3, 12.11):
/// variable ranges, fixed ranges, and the default type.
fn memory_types() -> impl Iterator<Item = u32> {
    (0x200..0x210).chain([0x250, 0x258, 0x259]).chain(0x268..0x270).chain([0x2ff])
}

/// Whether the extended state is restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExtendedRestore {
    /// It is restored.
    Restore,
    /// It can't have changed, so it is left as it is.
    Unchanged,
}

impl Host {
    /// The MSRs of a guest, without clocks and without those that are part of the system registers.
    pub(crate) fn msrs_to_save(&self) -> Result<Vec<u32>> {
        self.require(Cap::VcpuEvents, "KVM_CAP_VCPU_EVENTS", "save a vCPU")?;
        self.require(Cap::Xsave, "KVM_CAP_XSAVE", "save a vCPU")?;
        let list = self.kvm().get_msr_index_list().map_err(failed("KVM_GET_MSR_INDEX_LIST"))?;
        let wanted = |msr: &u32| !CLOCKS.contains(msr) && !IN_SYSTEM_REGISTERS.contains(msr);
        Ok(list.as_slice().iter().copied().chain(memory_types()).filter(wanted).collect())
    }
}

impl KvmCpu {
    /// Saves the vCPU's state, with those of `msrs` that can be read and written on this host.
    pub(crate) fn save(&mut self, msrs: &[u32]) -> Result<CpuState> {
        self.flush()?;
        let run = self.fd().get_kvm_run();
        let window = (run.if_flag, run.ready_for_interrupt_injection);
        let (regs, sregs) = match self.shared_registers() {
            Some(sync) => (sync.regs, sync.sregs),
            None => (
                self.fd().get_regs().map_err(failed("KVM_GET_REGS"))?,
                self.fd().get_sregs().map_err(failed("KVM_GET_SREGS"))?,
            ),
        };
        let fd = self.fd();
        let events = fd.get_vcpu_events().map_err(failed("KVM_GET_VCPU_EVENTS"))?;
        let extended = Arc::new(self.extended_state(msrs)?);
        Ok(CpuState { regs, sregs, events, window, extended })
    }

    fn extended_state(&mut self, msrs: &[u32]) -> Result<ExtendedState> {
        let fd = self.fd();
        Ok(ExtendedState {
            xsave: fd.get_xsave().map_err(failed("KVM_GET_XSAVE"))?,
            xcrs: fd.get_xcrs().map_err(failed("KVM_GET_XCRS"))?,
            debug: fd.get_debug_regs().map_err(failed("KVM_GET_DEBUGREGS"))?,
            msrs: self.writable_msrs(msrs)?,
        })
    }

    /// Restores a state. An incomplete access is completed first, if this matters.
    pub(crate) fn restore(&mut self, state: &CpuState, extended: ExtendedRestore) -> Result<()> {
        if !self.is_harmless_before(state) {
            self.complete_pending_io()?;
        }
        if extended == ExtendedRestore::Restore {
            self.restore_extended(&state.extended)?;
        }
        let run = self.fd().get_kvm_run();
        (run.if_flag, run.ready_for_interrupt_injection) = state.window;
        if let Some(sync) = self.shared_registers() {
            (sync.regs, sync.sregs, sync.events) = (state.regs, state.sregs, state.events);
            for part in [SyncReg::Register, SyncReg::SystemRegister, SyncReg::VcpuEvents] {
                self.fd().set_sync_dirty_reg(part);
            }
            return Ok(());
        }
        let fd = self.fd();
        // System registers are set first, because setting general-purpose registers drops a pending
        // exception. Events are set last, because they restore it.
        fd.set_sregs(&state.sregs).map_err(failed("KVM_SET_SREGS"))?;
        fd.set_regs(&state.regs).map_err(failed("KVM_SET_REGS"))?;
        fd.set_vcpu_events(&state.events).map_err(failed("KVM_SET_VCPU_EVENTS"))
    }

    /// Whether completing the pending access changes nothing after this state is restored: KVM
    /// first takes over the registers in the run page, and then completes an access. Otherwise
    /// [`Self::complete_pending_io`] is needed, a `KVM_RUN` that costs as much as an exit on some
    /// hosts.
    fn is_harmless_before(&mut self, state: &CpuState) -> bool {
        self.shared_registers().is_some()
            && match self.unfinished() {
                Unfinished::Nothing | Unfinished::Store => true,
                Unfinished::Out(at) => at != linear_rip(&state.regs, &state.sregs),
                Unfinished::More => false,
            }
    }

    /// Completes the access that an exit reported, if there is one. Loads get zeroes.
    pub(crate) fn complete_pending_io(&mut self) -> Result<()> {
        if self.unfinished() == Unfinished::Nothing {
            return Ok(());
        }
        let mut entry = Entry::Resume;
        for _ in 0..MAX_EXITS {
            let exit = self.finish(entry)?;
            entry = Entry::Resume;
            match exit {
                Exit::Kicked => return Ok(()),
                Exit::MmioRead { size, .. } => entry = Entry::zeroes(size.into()),
                Exit::PortRead { size, count, .. } => {
                    entry = Entry::zeroes(u32::from(size) * count);
                }
                // The access's next part, or a step that ends with it.
                _ => {}
            }
        }
        Err(Error::Snapshot { problem: "an instruction that never ends".into() })
    }

    fn restore_extended(&mut self, state: &ExtendedState) -> Result<()> {
        let fd = self.fd();
        // XCR0 is set first: it determines which parts of the XSAVE area are used.
        fd.set_xcrs(&state.xcrs).map_err(failed("KVM_SET_XCRS"))?;
        // SAFETY: KVM_GET_XSAVE filled the area on this vCPU, and guests don't enable features here
        // whose state is larger.
        unsafe { fd.set_xsave(&state.xsave) }.map_err(failed("KVM_SET_XSAVE"))?;
        fd.set_debug_regs(&state.debug).map_err(failed("KVM_SET_DEBUGREGS"))?;
        let msrs = msr_list(&state.msrs)?;
        match fd.set_msrs(&msrs).map_err(failed("KVM_SET_MSRS"))? {
            set if set == state.msrs.len() => Ok(()),
            set => Err(Error::Snapshot {
                problem: format!("MSR {:#x} can't be set any more", state.msrs[set].index),
            }),
        }
    }

    /// The values of those MSRs that can be read and written back.
    fn writable_msrs(&mut self, indices: &[u32]) -> Result<Vec<kvm_msr_entry>> {
        let mut found = Vec::new();
        let entry = |index: &u32| kvm_msr_entry { index: *index, ..Default::default() };
        let mut left: Vec<_> = indices.iter().map(entry).collect();
        // KVM stops at the first MSR that it refuses, and returns the number of MSRs before it.
        while !left.is_empty() {
            let mut msrs = msr_list(&left)?;
            let read = self.fd().get_msrs(&mut msrs).map_err(failed("KVM_GET_MSRS"))?;
            found.extend_from_slice(&msrs.as_slice()[..read]);
            left.drain(..(read + 1).min(left.len()));
        }
        let mut writable = Vec::new();
        while !found.is_empty() {
            let written = self.fd().set_msrs(&msr_list(&found)?).map_err(failed("KVM_SET_MSRS"))?;
            writable.extend(found.drain(..written));
            found.drain(..1.min(found.len()));
        }
        Ok(writable)
    }
}

impl CpuState {
    /// Whether the vCPU's extended state is still the saved one.
    pub(crate) fn extended_state_is_same(&self, cpu: &mut KvmCpu) -> Result<bool> {
        let indices: Vec<_> = self.extended.msrs.iter().map(|msr| msr.index).collect();
        let now = cpu.extended_state(&indices)?;
        let values = |state: &ExtendedState| state.msrs.iter().map(|msr| msr.data).collect();
        let [before, after]: [Vec<u64>; 2] = [values(&self.extended), values(&now)];
        Ok(before == after
            && same_fpu(&self.extended.xsave, &now.xsave)
            && self.extended.xcrs == now.xcrs
            && self.extended.debug == now.debug)
    }
}

/// Compares the contents of the components. `XSTATE_BV`, the header's first word, may differ
/// nevertheless: a processor need not notice that a component is in its initial state (Intel SDM
/// vol. 1, 13.6).
fn same_fpu(one: &kvm_xsave, other: &kvm_xsave) -> bool {
    const XSTATE_BV: Range<usize> = 512 / 4..520 / 4;
    let same = |range: Range<usize>| one.region[range.clone()] == other.region[range];
    same(0..XSTATE_BV.start) && same(XSTATE_BV.end..one.region.len())
}

pub(super) fn msr_list(entries: &[kvm_msr_entry]) -> Result<Msrs> {
    Msrs::from_entries(entries)
        .map_err(|_| Error::Snapshot { problem: "more MSRs than KVM takes".into() })
}

#[cfg(test)]
#[path = "save_tests.rs"]
mod tests;
