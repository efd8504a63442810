//! Finds the pages that a guest has stored to.

use kvm_bindings::{KVMIO, kvm_dirty_log, kvm_dirty_log__bindgen_ty_1};
use vmm_sys_util::ioctl::ioctl_with_ref;
use vmm_sys_util::ioctl_iow_nr;

use super::{Vm, failed};
use crate::error::Result;
use crate::memory::PAGE_SIZE;

ioctl_iow_nr!(KVM_GET_DIRTY_LOG, KVMIO, 0x42, kvm_dirty_log);

/// The buffer for a slot's dirty log. It is used at every restore, and not allocated anew each
/// time.
#[derive(Debug, Default)]
pub(crate) struct DirtyLog(Vec<u64>);

impl Vm {
    /// Calls `page` with each page in the RAM's own slots that the guest has stored to since the
    /// last call, in ascending order. Requires [`Self::log_stores`].
    pub(crate) fn take_dirty_pages(
        &self,
        log: &mut DirtyLog,
        mut page: impl FnMut(u64),
    ) -> Result<()> {
        for (slot, region) in (0..).zip(self.slots()) {
            let words = (region.size / PAGE_SIZE).div_ceil(64) as usize;
            if log.0.len() < words {
                log.0.resize(words, 0);
            }
            let request = kvm_dirty_log {
                slot,
                padding1: 0,
                __bindgen_anon_1: kvm_dirty_log__bindgen_ty_1 {
                    dirty_bitmap: log.0.as_mut_ptr().cast(),
                },
            };
            // SAFETY: KVM writes one bit for each of the slot's pages, in whole words, to the log,
            // which has at least this length.
            let done = unsafe { ioctl_with_ref(self.fd(), KVM_GET_DIRTY_LOG(), &request) };
            if done != 0 {
                return Err(failed("KVM_GET_DIRTY_LOG")(kvm_ioctls::Error::last()));
            }
            for (word, bits) in (0..).zip(&log.0[..words]) {
                let mut bits = *bits;
                while bits != 0 {
                    let number = word * 64 + u64::from(bits.trailing_zeros());
                    page(region.start + number * PAGE_SIZE);
                    bits &= bits - 1;
                }
            }
        }
        Ok(())
    }
}
