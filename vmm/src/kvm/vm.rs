//! A virtual machine: its memory slots, irqchip and vCPUs.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use kvm_bindings::{
    KVM_CAP_EXIT_ON_EMULATION_FAILURE, kvm_enable_cap, kvm_userspace_memory_region,
};
use kvm_ioctls::{Cap, VmFd};

use super::{Host, KvmCpu, failed};
use crate::error::{Error, Result};
use crate::memory::{Memory, Region};

/// The addresses at which KVM on Intel places three pages of its own (a TSS) and one more (an
/// identity map): among the device addresses, which guests don't use for this.
const TSS: u64 = 0xfffb_d000;
const IDENTITY_MAP: u64 = 0xfffb_c000;

/// KVM's model of the interrupt controllers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Irqchip {
    /// In the kernel: LAPICs, IOAPIC and PICs.
    InKernel,
    /// No irqchip in KVM: HLT exits, LAPIC accesses exit as MMIO, and user space injects
    /// interrupts.
    None,
}

/// A KVM virtual machine.
#[derive(Debug)]
pub struct Vm {
    shared: Arc<SharedVm>,
    /// The slots of the RAM, by number.
    slots: Vec<Region>,
    /// The ranges whose slots are read-only, in ascending order.
    pub(super) read_only: Vec<Range<u64>>,
    /// Whether KVM logs stores to the RAM's slots.
    pub(super) logs: bool,
    sync_registers: bool,
    max_vcpus: usize,
}

/// The parts that exist as long as the machine is referenced.
#[derive(Debug)]
pub(super) struct SharedVm {
    fd: VmFd,
    // Declared, and so dropped, after `fd`: KVM must not use the mapping after it is gone.
    memory: Arc<Memory>,
}

impl SharedVm {
    pub(super) fn fd(&self) -> &VmFd {
        &self.fd
    }
}

impl Vm {
    /// Creates a machine with this memory and irqchip, and no vCPUs.
    pub fn new(host: &Host, memory: Arc<Memory>, irqchip: Irqchip) -> Result<Self> {
        let fd = create(host)?;
        fd.set_identity_map_address(IDENTITY_MAP).map_err(failed("KVM_SET_IDENTITY_MAP_ADDR"))?;
        fd.set_tss_address(TSS as usize).map_err(failed("KVM_SET_TSS_ADDR"))?;
        if irqchip == Irqchip::InKernel {
            host.require(Cap::Irqchip, "KVM_CAP_IRQCHIP", "deliver interrupts")?;
            fd.create_irq_chip().map_err(failed("KVM_CREATE_IRQCHIP"))?;
            // No PIT is created: the guests don't need one, and a VM with a PIT takes 16 ms longer
            // to close on some hosts, which is more than everything else together.
        }
        if host.capability(KVM_CAP_EXIT_ON_EMULATION_FAILURE) > 0 {
            // KVM then reports the instruction's bytes with its internal error.
            let mut cap =
                kvm_enable_cap { cap: KVM_CAP_EXIT_ON_EMULATION_FAILURE, ..Default::default() };
            cap.args[0] = 1;
            fd.enable_cap(&cap).map_err(failed("KVM_ENABLE_CAP"))?;
        }
        let vm = Self {
            slots: memory.slots(),
            read_only: Vec::new(),
            logs: false,
            shared: Arc::new(SharedVm { fd, memory }),
            sync_registers: host.has(Cap::SyncRegs),
            max_vcpus: host.max_vcpus(),
        };
        for (slot, region) in (0..).zip(&vm.slots) {
            vm.map(slot, *region, 0)?;
        }
        Ok(vm)
    }

    /// The memory that the guest runs on.
    pub fn memory(&self) -> &Arc<Memory> {
        &self.shared.memory
    }

    /// The slots of the RAM, by number.
    pub(super) fn slots(&self) -> &[Region] {
        &self.slots
    }

    /// Replaces the slots of the RAM, whose numbers are those of their places.
    pub(super) fn set_slots(&mut self, slots: Vec<Region>) {
        self.slots = slots;
    }

    /// The file descriptor, for the other files of this module.
    pub(super) fn fd(&self) -> &VmFd {
        &self.shared.fd
    }

    pub(super) fn map(&self, slot: u32, region: Region, flags: u32) -> Result<()> {
        let region = kvm_userspace_memory_region {
            slot,
            flags,
            guest_phys_addr: region.start,
            memory_size: region.size,
            userspace_addr: region.host,
        };
        // SAFETY: the region is part of `shared.memory`, which is dropped after the VM, and no
        // other slot covers it: the regions of a memory don't overlap.
        unsafe { self.shared.fd.set_user_memory_region(region) }
            .map_err(failed("KVM_SET_USER_MEMORY_REGION"))
    }

    /// Adds vCPU `id`.
    pub fn create_cpu(&self, id: u32) -> Result<KvmCpu> {
        let fd = self.shared.fd.create_vcpu(id.into()).map_err(|errno| {
            let source = io::Error::from(errno);
            let hint = match errno.errno() {
                libc::EMFILE | libc::ENFILE => {
                    "no file descriptors left: raise `ulimit -n`, or use fewer --cpus".into()
                }
                libc::ENOMEM => "the host has no memory left: use fewer --cpus".into(),
                _ => format!("this host's KVM takes at most {} a machine", self.max_vcpus),
            };
            Error::VcpuLimit { vcpu: id, hint, source }
        })?;
        KvmCpu::new(fd, self.shared.clone(), self.sync_registers)
    }

    /// The interrupt lines of the in-kernel irqchip.
    pub fn irqchip(&self) -> KvmIrqchip {
        KvmIrqchip { machine: self.shared.clone() }
    }
}

/// Calls `KVM_CREATE_VM`, again when a signal interrupts it (the call sleeps).
fn create(host: &Host) -> Result<VmFd> {
    loop {
        match host.kvm().create_vm() {
            Ok(fd) => return Ok(fd),
            Err(errno) if errno.errno() == libc::EINTR => {}
            Err(errno) => return Err(failed("KVM_CREATE_VM")(errno)),
        }
    }
}

/// The interrupt lines of the in-kernel irqchip. KVM answers the accesses to its registers.
#[derive(Clone, Debug)]
pub struct KvmIrqchip {
    machine: Arc<SharedVm>,
}

impl devices::device::InterruptController for KvmIrqchip {
    fn set_line(&mut self, line: u32, high: bool) {
        // KVM_IRQ_LINE fails only for a machine without an irqchip. A line that can't be set must
        // not stop the guest: a device doesn't notice either.
        let _ = self.machine.fd.set_irq_line(line, high);
    }
}
