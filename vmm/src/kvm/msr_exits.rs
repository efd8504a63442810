//! Exits at the guest's accesses to chosen model-specific registers.

use kvm_bindings::{
    KVM_CAP_X86_MSR_FILTER, KVM_CAP_X86_USER_SPACE_MSR, KVM_EXIT_X86_RDMSR,
    KVM_MSR_EXIT_REASON_FILTER, kvm_enable_cap, kvm_msr_entry,
};
use kvm_ioctls::{MsrFilterDefaultAction, MsrFilterRange, MsrFilterRangeFlags};

use super::save::msr_list;
use super::{Host, KvmCpu, Vm, failed};
use crate::error::Result;

/// `IA32_APIC_BASE`, `IA32_EFER`, `IA32_FS_BASE`, `IA32_GS_BASE`: they are also in `kvm_sregs`.
pub(super) const IN_SYSTEM_REGISTERS: [u32; 4] = [0x1b, 0xc000_0080, 0xc000_0100, 0xc000_0101];

impl Vm {
    /// Makes every access of the guest to this register exit. Only the latest call counts.
    pub fn exit_on_msr(&self, index: u32) -> Result<()> {
        self.leave_filtered_msrs_to_us()?;
        // A clear bit denies the access, which then exits.
        let range = MsrFilterRange {
            flags: MsrFilterRangeFlags::READ | MsrFilterRangeFlags::WRITE,
            base: index,
            msr_count: 1,
            bitmap: &[0],
        };
        self.fd()
            .set_msr_filter(MsrFilterDefaultAction::ALLOW, &[range])
            .map_err(failed("KVM_X86_SET_MSR_FILTER"))
    }

    /// Makes writes of MSRs exit, but for those that are part of the system registers. False if this
    /// host can't do that.
    pub(crate) fn exit_on_msr_writes(&self, host: &Host) -> Result<bool> {
        if [KVM_CAP_X86_USER_SPACE_MSR, KVM_CAP_X86_MSR_FILTER]
            .iter()
            .any(|cap| host.capability(*cap) == 0)
        {
            return Ok(false);
        }
        self.leave_filtered_msrs_to_us()?;
        // All that KVM has: architectural, Hyper-V's, KVM's own, AMD's. A clear bit denies.
        let mut bitmaps =
            [(0, 0x2000), (0x4000_0000, 0x200), (0x4b56_4d00, 0x10), (0xc000_0000, 0x2000)]
                .map(|(base, count)| (base, vec![0; count / 8]));
        for (base, bitmap) in &mut bitmaps {
            for offset in IN_SYSTEM_REGISTERS.iter().filter_map(|msr| msr.checked_sub(*base)) {
                if let Some(byte) = bitmap.get_mut(offset as usize / 8) {
                    *byte |= 1u8 << (offset % 8);
                }
            }
        }
        let ranges = bitmaps.each_ref().map(|(base, bitmap)| MsrFilterRange {
            flags: MsrFilterRangeFlags::WRITE,
            base: *base,
            msr_count: bitmap.len() as u32 * 8,
            bitmap,
        });
        self.fd()
            .set_msr_filter(MsrFilterDefaultAction::ALLOW, &ranges)
            .map_err(failed("KVM_X86_SET_MSR_FILTER"))?;
        Ok(true)
    }

    fn leave_filtered_msrs_to_us(&self) -> Result<()> {
        let mut cap = kvm_enable_cap { cap: KVM_CAP_X86_USER_SPACE_MSR, ..Default::default() };
        cap.args[0] = KVM_MSR_EXIT_REASON_FILTER.into();
        self.fd().enable_cap(&cap).map_err(failed("KVM_ENABLE_CAP"))
    }
}

impl KvmCpu {
    /// Does an MSR write that exited; the guest gets a #GP if KVM refuses it.
    pub(crate) fn write_msr(&mut self, index: u32, value: u64) -> Result<()> {
        let entry = kvm_msr_entry { index, data: value, ..Default::default() };
        let written = self.fd().set_msrs(&msr_list(&[entry])?).map_err(failed("KVM_SET_MSRS"))?;
        self.fd().get_kvm_run().__bindgen_anon_1.msr.error = (written == 0).into();
        Ok(())
    }

    /// Answers an MSR read that exited; false if the latest exit is none.
    pub fn answer_msr(&mut self, value: u64) -> bool {
        let run = self.fd().get_kvm_run();
        let is_read = run.exit_reason == KVM_EXIT_X86_RDMSR;
        if is_read {
            run.__bindgen_anon_1.msr.data = value;
        }
        is_read
    }
}
