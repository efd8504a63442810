//! Exits at the guest's accesses to chosen model-specific registers.

use kvm_bindings::{
    KVM_CAP_X86_USER_SPACE_MSR, KVM_EXIT_X86_RDMSR, KVM_MSR_EXIT_REASON_FILTER, kvm_enable_cap,
};
use kvm_ioctls::{MsrFilterDefaultAction, MsrFilterRange, MsrFilterRangeFlags};

use super::{KvmCpu, Vm, failed};
use crate::error::Result;

impl Vm {
    /// Makes every access of the guest to this register exit. Only the latest call counts.
    pub fn exit_on_msr(&self, index: u32) -> Result<()> {
        let mut cap = kvm_enable_cap { cap: KVM_CAP_X86_USER_SPACE_MSR, ..Default::default() };
        cap.args[0] = KVM_MSR_EXIT_REASON_FILTER.into();
        self.fd().enable_cap(&cap).map_err(failed("KVM_ENABLE_CAP"))?;
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
}

impl KvmCpu {
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
