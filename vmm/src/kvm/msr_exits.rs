//! Exits at the guest's accesses to model-specific registers.

use kvm_bindings::{
    KVM_CAP_X86_MSR_FILTER, KVM_CAP_X86_USER_SPACE_MSR, KVM_MSR_EXIT_REASON_FILTER, kvm_enable_cap,
    kvm_msr_entry,
};
use kvm_ioctls::{MsrFilterDefaultAction, MsrFilterRange, MsrFilterRangeFlags};

use super::save::{IN_SYSTEM_REGISTERS, msr_list};
use super::{Host, KvmCpu, Vm, failed};
use crate::cpu::Cpu;
use crate::error::{Error, Result};

/// All MSRs that KVM has (architectural, Hyper-V's, KVM's own, AMD's): first number and count.
const RANGES: [(u32, u32); 4] =
    [(0, 0x2000), (0x4000_0000, 0x200), (0x4b56_4d00, 0x10), (0xc000_0000, 0x2000)];
/// `IA32_TIME_STAMP_COUNTER`.
const TSC: u32 = 0x10;
/// The x2APIC's MSRs: KVM doesn't filter them.
const X2APIC: std::ops::Range<u32> = 0x800..0x900;

/// The MSR accesses that exit.
#[derive(Clone, Debug, Default)]
pub(crate) struct MsrExits {
    /// All writes exit, except to the MSRs that are part of the system registers.
    pub(crate) writes: bool,
    /// All accesses to these MSRs exit.
    pub(crate) chosen: Vec<u32>,
}

impl MsrExits {
    /// Fails if accesses to a chosen MSR can't exit, and names the MSR.
    pub(crate) fn check(&self, host: &Host) -> Result<()> {
        let refuse = |index: u32, problem: &str| {
            let value = format!("{index:#x}");
            Err(Error::Config {
                setting: "model-specific register",
                value,
                problem: problem.into(),
            })
        };
        let known = |index: u32| RANGES.iter().any(|range| is_in(index, *range));
        match self.chosen.iter().find(|index| X2APIC.contains(index) || !known(**index)) {
            Some(index) if X2APIC.contains(index) => {
                return refuse(*index, "one of the x2APIC, which KVM keeps to itself");
            }
            Some(index) => return refuse(*index, "KVM has none of this number"),
            None => {}
        }
        if !self.chosen.is_empty() && !has_msr_filter(host) {
            let capability = "KVM_CAP_X86_MSR_FILTER";
            return Err(Error::Capability { capability, purpose: "show accesses to MSRs" });
        }
        Ok(())
    }

    fn denies(&self, index: u32, flag: MsrFilterRangeFlags) -> bool {
        let write = flag == MsrFilterRangeFlags::WRITE;
        self.chosen.contains(&index)
            || write && self.writes && !IN_SYSTEM_REGISTERS.contains(&index)
    }
}

fn is_in(index: u32, (base, count): (u32, u32)) -> bool {
    index.checked_sub(base).is_some_and(|offset| offset < count)
}

/// Whether accesses to chosen MSRs can exit on this host.
pub fn has_msr_filter(host: &Host) -> bool {
    [KVM_CAP_X86_USER_SPACE_MSR, KVM_CAP_X86_MSR_FILTER]
        .iter()
        .all(|cap| host.capability(*cap) != 0)
}

impl Vm {
    /// Makes these accesses exit. A later call replaces an earlier one.
    pub(crate) fn exit_on_msrs(&self, exits: &MsrExits) -> Result<()> {
        let mut cap = kvm_enable_cap { cap: KVM_CAP_X86_USER_SPACE_MSR, ..Default::default() };
        cap.args[0] = KVM_MSR_EXIT_REASON_FILTER.into();
        self.fd().enable_cap(&cap).map_err(failed("KVM_ENABLE_CAP"))?;
        let mut bitmaps = Vec::new();
        for flag in [MsrFilterRangeFlags::READ, MsrFilterRangeFlags::WRITE] {
            for (base, count) in RANGES {
                // A set bit allows the access; a denied access exits.
                let mut bitmap = vec![0u8; count as usize / 8];
                for offset in (0..count).filter(|offset| !exits.denies(base + offset, flag)) {
                    bitmap[offset as usize / 8] |= 1 << (offset % 8);
                }
                if bitmap.iter().any(|byte| *byte != u8::MAX) {
                    bitmaps.push((flag, base, count, bitmap));
                }
            }
        }
        let ranges: Vec<_> = bitmaps
            .iter()
            .map(|(flags, base, count, bitmap)| MsrFilterRange {
                flags: *flags,
                base: *base,
                msr_count: *count,
                bitmap,
            })
            .collect();
        self.fd()
            .set_msr_filter(MsrFilterDefaultAction::ALLOW, &ranges)
            .map_err(failed("KVM_X86_SET_MSR_FILTER"))
    }

    /// Makes reads of the TSC exit, and writes of all MSRs except those that are part of the system
    /// registers. Returns false if this host can't do that.
    pub(crate) fn exit_on_msr_writes(&self, host: &Host) -> Result<bool> {
        if has_msr_filter(host) {
            self.exit_on_msrs(&MsrExits { writes: true, chosen: vec![TSC] })?;
        }
        Ok(has_msr_filter(host))
    }
}

impl KvmCpu {
    /// Performs an MSR write that exited. If KVM refuses it, the guest gets a #GP.
    pub(crate) fn write_msr(&mut self, index: u32, value: u64) -> Result<()> {
        self.flush()?;
        let entry = kvm_msr_entry { index, data: value, ..Default::default() };
        let written = self.fd().set_msrs(&msr_list(&[entry])?).map_err(failed("KVM_SET_MSRS"))?;
        self.fd().get_kvm_run().__bindgen_anon_1.msr.error = (written == 0).into();
        if written != 0 && IN_SYSTEM_REGISTERS.contains(&index) {
            self.leave_wrmsr()?;
        }
        Ok(())
    }

    /// Completes the WRMSR, so that the registers in the run page are those behind it. A host whose
    /// emulation mode changed with the register may be about to begin the instruction again.
    fn leave_wrmsr(&mut self) -> Result<()> {
        const LENGTH: u64 = 2;
        let at = self.registers()?.rip;
        self.refresh()?;
        let mut registers = self.registers()?;
        if registers.rip == at {
            registers.rip = at.wrapping_add(LENGTH);
            self.set_registers(&registers)?;
        }
        Ok(())
    }

    /// Performs an MSR read that exited. If KVM has no such register, the guest gets a #GP, and the
    /// result is `None`.
    pub(crate) fn read_msr(&mut self, index: u32) -> Result<Option<u64>> {
        self.flush()?;
        let mut list = msr_list(&[kvm_msr_entry { index, ..Default::default() }])?;
        let read = self.fd().get_msrs(&mut list).map_err(failed("KVM_GET_MSRS"))?;
        let value = (read != 0).then(|| list.as_slice()[0].data);
        self.answer_msr(value);
        Ok(value)
    }

    /// Answers an MSR read that exited.
    pub(crate) fn answer_msr(&mut self, value: Option<u64>) {
        let run = self.fd().get_kvm_run();
        run.__bindgen_anon_1.msr.error = value.is_none().into();
        run.__bindgen_anon_1.msr.data = value.unwrap_or(0);
    }
}
