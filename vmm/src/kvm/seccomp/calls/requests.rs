//! The requests of ioctl(2) that the filters allow.

use std::os::raw::c_ulong;

use kvm_bindings::{
    KVMIO, kvm_clock_data, kvm_cpuid2, kvm_debugregs, kvm_device_attr, kvm_dirty_log,
    kvm_enable_cap, kvm_guest_debug, kvm_interrupt, kvm_irq_level, kvm_lapic_state, kvm_mp_state,
    kvm_msi, kvm_msr_filter, kvm_msr_list, kvm_msrs, kvm_regs, kvm_sregs,
    kvm_userspace_memory_region, kvm_vcpu_events, kvm_xcrs, kvm_xsave,
};
use vmm_sys_util::{ioctl_io_nr, ioctl_ior_nr, ioctl_iow_nr, ioctl_iowr_nr};

use super::{Allowed, Sysno, used};

/// A request.
pub(super) struct Request {
    name: &'static str,
    number: fn() -> c_ulong,
    rare: Option<&'static str>,
}

impl Request {
    pub(super) fn allowed(&self) -> Allowed {
        let call = used(Sysno::ioctl).with(1, (self.number)());
        Allowed { request: Some(self.name), rare: self.rare, ..call }
    }
}

/// Defines requests of KVM by their numbers in its API (`include/uapi/linux/kvm.h`), and a list of
/// them.
macro_rules! requests {
    (@rare) => { None };
    (@rare $rare:literal) => { Some($rare) };
    ($(#[$about:meta])* $list:ident:
        $($make:ident $name:ident $number:literal $($of:ty)? $(: $rare:literal)?;)+) => {
        $($make!($name, KVMIO, $number $(, $of)?);)+
        $(#[$about])*
        pub(super) const $list: &[Request] = &[$(Request {
            name: stringify!($name),
            number: $name,
            rare: requests!(@rare $($rare)?),
        }),+];
    };
}

requests! {
    /// What a vCPU's thread asks of its vCPU and its machine, the most frequent request first.
    OF_VCPUS:
    ioctl_io_nr KVM_RUN 0x80;
    ioctl_ior_nr KVM_GET_MP_STATE 0x98 kvm_mp_state;
    ioctl_iow_nr KVM_SET_MP_STATE 0x99 kvm_mp_state: "hosts where a step into HLT doesn't stop";
    ioctl_ior_nr KVM_GET_REGS 0x81 kvm_regs;
    ioctl_iow_nr KVM_SET_REGS 0x82 kvm_regs;
    ioctl_ior_nr KVM_GET_SREGS 0x83 kvm_sregs;
    ioctl_iow_nr KVM_SET_SREGS 0x84 kvm_sregs: "hosts with other ways to stop a vCPU";
    ioctl_iow_nr KVM_SET_GUEST_DEBUG 0x9b kvm_guest_debug;
    ioctl_ior_nr KVM_GET_DEBUGREGS 0xa1 kvm_debugregs: "hosts with other ways to stop a vCPU";
    ioctl_iow_nr KVM_SET_DEBUGREGS 0xa2 kvm_debugregs: "hosts with other ways to stop a vCPU";
    ioctl_ior_nr KVM_GET_VCPU_EVENTS 0x9f kvm_vcpu_events: "hosts with other ways to stop a vCPU";
    ioctl_iow_nr KVM_SET_VCPU_EVENTS 0xa0 kvm_vcpu_events: "hosts with other ways to stop a vCPU";
    ioctl_ior_nr KVM_GET_LAPIC 0x8e kvm_lapic_state;
    ioctl_iowr_nr KVM_GET_MSRS 0x88 kvm_msrs;
    ioctl_iow_nr KVM_SET_MSRS 0x89 kvm_msrs;
    ioctl_io_nr KVM_NMI 0x9a;
    ioctl_io_nr KVM_GET_TSC_KHZ 0xa3;
    ioctl_io_nr KVM_SET_TSC_KHZ 0xa2: "faults, on hosts that scale the TSC";
    ioctl_iow_nr KVM_GET_DEVICE_ATTR 0xe2 kvm_device_attr: "faults, on hosts with TSC offsets";
    ioctl_iow_nr KVM_SET_DEVICE_ATTR 0xe1 kvm_device_attr: "faults, on hosts with TSC offsets";
    ioctl_iow_nr KVM_SIGNAL_MSI 0xa5 kvm_msi;
    ioctl_ior_nr KVM_GET_CLOCK 0x7c kvm_clock_data;
    ioctl_iow_nr KVM_SET_CLOCK 0x7b kvm_clock_data;
    ioctl_iow_nr KVM_IRQ_LINE 0x61 kvm_irq_level: "guests with drivers, such as Linux";
    ioctl_iow_nr KVM_SET_USER_MEMORY_REGION 0x46 kvm_userspace_memory_region: "pages trapped later";
}

requests! {
    /// What the other threads ask besides: they make machines, and run those of a search.
    OF_MACHINES:
    ioctl_io_nr KVM_CREATE_VM 0x01;
    ioctl_iowr_nr KVM_GET_MSR_INDEX_LIST 0x02 kvm_msr_list;
    ioctl_io_nr KVM_CHECK_EXTENSION 0x03;
    ioctl_io_nr KVM_GET_VCPU_MMAP_SIZE 0x04;
    ioctl_iowr_nr KVM_GET_SUPPORTED_CPUID 0x05 kvm_cpuid2;
    ioctl_io_nr KVM_CREATE_VCPU 0x41;
    ioctl_iow_nr KVM_GET_DIRTY_LOG 0x42 kvm_dirty_log;
    ioctl_io_nr KVM_SET_TSS_ADDR 0x47;
    ioctl_iow_nr KVM_SET_IDENTITY_MAP_ADDR 0x48 u64;
    ioctl_io_nr KVM_CREATE_IRQCHIP 0x60;
    ioctl_iow_nr KVM_INTERRUPT 0x86 kvm_interrupt;
    ioctl_iow_nr KVM_SET_CPUID2 0x90 kvm_cpuid2;
    ioctl_iow_nr KVM_SET_LAPIC 0x8f kvm_lapic_state;
    ioctl_iow_nr KVM_ENABLE_CAP 0xa3 kvm_enable_cap;
    ioctl_ior_nr KVM_GET_XSAVE 0xa4 kvm_xsave;
    ioctl_iow_nr KVM_SET_XSAVE 0xa5 kvm_xsave;
    ioctl_ior_nr KVM_GET_XCRS 0xa6 kvm_xcrs;
    ioctl_iow_nr KVM_SET_XCRS 0xa7 kvm_xcrs;
    ioctl_iow_nr KVM_X86_SET_MSR_FILTER 0xc6 kvm_msr_filter;
}

/// A request to a terminal or a socket.
macro_rules! other {
    ($name:ident) => {
        Request { name: stringify!($name), number: || libc::$name as c_ulong, rare: None }
    };
    ($name:ident: $rare:literal) => {
        Request { rare: Some($rare), ..other!($name) }
    };
}

/// What the other threads ask of terminals and sockets: whether a file is a terminal, its size and
/// settings, whether the program is in its foreground; and not to wait for a client.
pub(super) const OF_FILES: &[Request] = &[
    other!(TCGETS),
    other!(TCGETS2: "newer versions of glibc, instead of TCGETS"),
    other!(TCSETS2: "newer versions of glibc, instead of TCSETS"),
    other!(TCSETS),
    other!(TIOCGWINSZ: "a live line on a terminal"),
    other!(TIOCGPGRP),
    other!(FIONBIO),
];
