//! Machines without an irqchip, with a hole in memory where the guest's shared page is: the minimum
//! for a scheduler that decides about every access to that page.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::Duration;

use kvm_bindings::{KVM_EXIT_IO, KVM_EXIT_MMIO, KVM_MEM_LOG_DIRTY_PAGES};

use super::mapping::Mapping;
use super::{KVM_CREATE_VM, KVM_RUN, MEMORY, Vcpu, call, load, made, map, open};
use crate::contest::Busy;
use crate::image::{END_PORT, PAGE, Program, SHARED};

/// A machine with a hole.
pub(crate) struct Bare {
    pub(super) vcpus: Vec<Vcpu>,
    pub(super) vm: File,
    // This field is dropped last.
    pub(super) memory: Mapping,
}

/// The guest-physical addresses of its slots.
pub(super) const SLOTS: [Range<u64>; 2] = [0..SHARED, SHARED + PAGE..MEMORY as u64];

/// Whether KVM logs the pages to which the guest stores.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stores {
    Plain = 0,
    Logged = KVM_MEM_LOG_DIRTY_PAGES as isize,
}

impl Bare {
    /// Makes a machine with a vCPU at each of these entries.
    pub(crate) fn new(
        device: &Path,
        program: &Program,
        entries: &[u64],
        stores: Stores,
    ) -> io::Result<Self> {
        let kvm = open(device)?;
        let vm = made(call(&kvm, KVM_CREATE_VM, 0)?);
        let memory = load(program)?;
        for (slot, range) in (0..).zip(SLOTS) {
            map(&vm, &memory, slot, range, stores as u32)?;
        }
        let mut vcpus = Vec::new();
        for (number, entry) in (0..).zip(entries) {
            let vcpu = Vcpu::new(&kvm, &vm, number)?;
            vcpu.begin(*entry, 0)?;
            vcpus.push(vcpu);
        }
        Ok(Self { vcpus, vm, memory })
    }

    /// The loop itself: each vCPU in turn runs to its next exit, until one writes to the end port.
    /// Loads read what happens to be in the run page. Returns how long the loop took, and the
    /// number of accesses to the hole; a locked instruction counts as two.
    pub(crate) fn run_to_end(&mut self) -> io::Result<(Duration, u64)> {
        let vcpus: Vec<_> =
            self.vcpus.iter().map(|vcpu| (vcpu.file.as_raw_fd(), vcpu.page())).collect();
        let mut accesses = 0;
        let start = Busy::start()?;
        loop {
            for (vcpu, page) in &vcpus {
                // SAFETY: KVM_RUN takes no argument; the memory is mapped as long as `self`.
                if unsafe { libc::ioctl(*vcpu, KVM_RUN, 0) } != 0 {
                    return Err(io::Error::last_os_error());
                }
                // SAFETY: this is the mapped run page, which KVM writes to during KVM_RUN only.
                match unsafe { (**page).exit_reason } {
                    KVM_EXIT_MMIO => accesses += 1,
                    // SAFETY: the exit reason says that `io` is the union's valid member.
                    KVM_EXIT_IO if unsafe { (**page).__bindgen_anon_1.io.port } == END_PORT => {
                        return Ok((start.elapsed()?, accesses));
                    }
                    reason => return Err(io::Error::other(format!("KVM exit {reason}"))),
                }
            }
        }
    }
}
