//! A vCPU's time-stamp counter, as far as it differs from the host's, and KVM's clock for guests.
//!
//! Its offset is set by an attribute of the vCPU (Linux documentation, virt/kvm/devices/vcpu.rst).
//! Writes of the MSR would not do: KVM takes values within a second of another vCPU's for attempts
//! to synchronise the two, and ignores the difference.

use kvm_bindings::{
    KVM_VCPU_TSC_CTRL, KVM_VCPU_TSC_OFFSET, KVMIO, kvm_clock_data, kvm_device_attr,
};
use vmm_sys_util::ioctl::ioctl_with_ref;
use vmm_sys_util::ioctl_iow_nr;

use super::{KvmCpu, failed};
use crate::cpu::Cpu;
use crate::error::Result;

ioctl_iow_nr!(KVM_SET_DEVICE_ATTR, KVMIO, 0xe1, kvm_device_attr);
ioctl_iow_nr!(KVM_GET_DEVICE_ATTR, KVMIO, 0xe2, kvm_device_attr);

impl KvmCpu {
    /// Whether the offset of its TSC can be changed: some hosts have no such attribute, or accept a
    /// value and ignore it.
    pub(crate) fn can_move_tsc(&mut self) -> bool {
        const FAR: u64 = 1 << 40;
        let Ok(before) = self.tsc_offset() else { return false };
        let moved = before.wrapping_add(FAR);
        let set = self.set_tsc_offset(moved).is_ok();
        let is_moved = self.tsc_offset().is_ok_and(|offset| offset == moved);
        let set_back = self.set_tsc_offset(before).is_ok();
        set && is_moved && set_back
    }

    /// Has its TSC jump by this many nanoseconds.
    pub(super) fn move_tsc(&mut self, nanoseconds: i64) -> Result<bool> {
        let ticks = i128::from(nanoseconds) * i128::from(self.tsc_khz()?) / 1_000_000;
        let moved = self.tsc_offset()?.wrapping_add_signed(ticks as i64);
        self.set_tsc_offset(moved)?;
        Ok(self.tsc_offset()? == moved)
    }

    /// Changes the rate of its TSC by this many millionths. Where KVM can't do that
    /// (`KVM_CAP_TSC_CONTROL`), it fails.
    pub(super) fn change_tsc_rate(&mut self, ppm: i32) -> Result<bool> {
        let khz = i64::from(self.tsc_khz()?);
        let wanted = (khz + khz * i64::from(ppm) / 1_000_000) as u32;
        self.fd().set_tsc_khz(wanted).map_err(failed("KVM_SET_TSC_KHZ"))?;
        Ok(self.tsc_khz()? == wanted)
    }

    /// Has the machine's clock jump (MSR 0x4b564d01) by this many nanoseconds. Returns false if it
    /// would be before the machine's start.
    pub(super) fn move_clock(&mut self, nanoseconds: i64) -> Result<bool> {
        let machine = self.machine().fd();
        let now = machine.get_clock().map_err(failed("KVM_GET_CLOCK"))?.clock;
        let Some(clock) = now.checked_add_signed(nanoseconds) else { return Ok(false) };
        let moved = kvm_clock_data { clock, ..Default::default() };
        machine.set_clock(&moved).map_err(failed("KVM_SET_CLOCK"))?;
        Ok(true)
    }

    fn tsc_offset(&mut self) -> Result<u64> {
        let mut offset = 0u64;
        let attribute = attribute(&raw mut offset);
        // SAFETY: the descriptor is a vCPU's, and KVM writes 8 bytes at the address in the
        // structure, which is that of `offset`.
        let done = unsafe { ioctl_with_ref(self.fd(), KVM_GET_DEVICE_ATTR(), &attribute) };
        if done == 0 { Ok(offset) } else { Err(failed("KVM_GET_DEVICE_ATTR")(last())) }
    }

    fn set_tsc_offset(&mut self, offset: u64) -> Result<()> {
        let mut offset = offset;
        let attribute = attribute(&raw mut offset);
        // SAFETY: as above, but KVM reads these bytes.
        let done = unsafe { ioctl_with_ref(self.fd(), KVM_SET_DEVICE_ATTR(), &attribute) };
        if done == 0 { Ok(()) } else { Err(failed("KVM_SET_DEVICE_ATTR")(last())) }
    }
}

/// The attribute of the TSC's offset, whose value is at this address.
fn attribute(value: *mut u64) -> kvm_device_attr {
    kvm_device_attr {
        group: KVM_VCPU_TSC_CTRL,
        attr: KVM_VCPU_TSC_OFFSET.into(),
        addr: value as u64,
        ..Default::default()
    }
}

fn last() -> kvm_ioctls::Error {
    kvm_ioctls::Error::last()
}
