//! The state of a vCPU that is not in its run page: FPU, MSRs, debug registers.

use std::fs::File;
use std::io;

use kvm_bindings::{KVM_MAX_MSR_ENTRIES, MsrList, Msrs, kvm_debugregs, kvm_msr_entry, kvm_xsave};

use super::{KVM_SET_MSRS, call};

const KVM_GET_MSR_INDEX_LIST: u64 = 0xc004_ae02;
const KVM_GET_MSRS: u64 = 0xc008_ae88;
const KVM_GET_DEBUGREGS: u64 = 0x8080_aea1;
const KVM_SET_DEBUGREGS: u64 = 0x4080_aea2;
const KVM_GET_XSAVE: u64 = 0x9000_aea4;
const KVM_SET_XSAVE: u64 = 0x5000_aea5;

/// MSRs that depend on time: the TSC, its adjustment, and its deadline.
const CLOCKS: [u32; 3] = [0x10, 0x3b, 0x6e0];

/// The state.
pub(super) struct Hidden {
    xsave: kvm_xsave,
    debug: kvm_debugregs,
    msrs: Msrs,
}

impl Hidden {
    pub(super) fn save(kvm: &File, vcpu: &File) -> io::Result<Self> {
        let (mut xsave, mut debug) = (kvm_xsave::default(), kvm_debugregs::default());
        call(vcpu, KVM_GET_XSAVE, &raw mut xsave as u64)?;
        call(vcpu, KVM_GET_DEBUGREGS, &raw mut debug as u64)?;
        let mut list = MsrList::new(KVM_MAX_MSR_ENTRIES).map_err(io::Error::other)?;
        call(kvm, KVM_GET_MSR_INDEX_LIST, list.as_mut_fam_struct_ptr() as u64)?;
        let indices = list.as_slice().iter().filter(|index| !CLOCKS.contains(index));
        // Some hosts list MSRs that can't be read or can't be written: these are left out.
        let mut kept = Vec::new();
        for index in indices {
            let entry = kvm_msr_entry { index: *index, ..Default::default() };
            let mut one = Msrs::from_entries(&[entry]).map_err(io::Error::other)?;
            if call(vcpu, KVM_GET_MSRS, one.as_mut_fam_struct_ptr() as u64)? == 1
                && call(vcpu, KVM_SET_MSRS, one.as_fam_struct_ptr() as u64)? == 1
            {
                kept.extend_from_slice(one.as_slice());
            }
        }
        let msrs = Msrs::from_entries(&kept).map_err(io::Error::other)?;
        Ok(Self { xsave, debug, msrs })
    }

    pub(super) fn restore(&self, vcpu: &File) -> io::Result<()> {
        call(vcpu, KVM_SET_XSAVE, &raw const self.xsave as u64)?;
        call(vcpu, KVM_SET_DEBUGREGS, &raw const self.debug as u64)?;
        let set = call(vcpu, KVM_SET_MSRS, self.msrs.as_fam_struct_ptr() as u64)?;
        if set as usize == self.msrs.as_slice().len() {
            Ok(())
        } else {
            Err(io::Error::other(format!("only {set} MSRs can be set")))
        }
    }
}
