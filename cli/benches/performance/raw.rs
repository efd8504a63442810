//! The floor: KVM by plain `ioctl` calls and nothing else, as a C program of one page would use it.

pub(crate) mod bare;
mod hidden;
mod mapping;
pub(crate) mod reset;
pub(crate) mod retrace;
mod tape;

use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::fd::{AsRawFd, FromRawFd};
use std::path::Path;
use std::time::{Duration, Instant};

use kvm_bindings::{
    CpuId, KVM_EXIT_IO, KVM_EXIT_IO_OUT, KVM_MAX_CPUID_ENTRIES, kvm_dirty_log,
    kvm_dirty_log__bindgen_ty_1, kvm_regs, kvm_run, kvm_segment, kvm_sregs,
    kvm_userspace_memory_region,
};

use crate::image::{END_PORT, PAGE, Program};
use mapping::Mapping;

const KVM_CREATE_VM: u64 = 0xae01;
const KVM_GET_VCPU_MMAP_SIZE: u64 = 0xae04;
const KVM_GET_SUPPORTED_CPUID: u64 = 0xc008_ae05;
const KVM_CREATE_VCPU: u64 = 0xae41;
const KVM_SET_USER_MEMORY_REGION: u64 = 0x4020_ae46;
const KVM_GET_DIRTY_LOG: u64 = 0x4010_ae42;
const KVM_CREATE_IRQCHIP: u64 = 0xae60;
const KVM_RUN: u64 = 0xae80;
const KVM_SET_REGS: u64 = 0x4090_ae82;
const KVM_GET_SREGS: u64 = 0x8138_ae83;
const KVM_SET_SREGS: u64 = 0x4138_ae84;
const KVM_SET_MSRS: u64 = 0x4008_ae89;
const KVM_SET_CPUID2: u64 = 0x4008_ae90;

/// The memory that jitterbug gives a guest by default, in bytes.
const MEMORY: usize = 128 << 20;
/// COM1's line status register, and its value when it can take a byte.
const LINE_STATUS: u16 = 0x3fd;
const TRANSMITTER_EMPTY: u8 = 0x60;

/// What KVM copies to the run page at every exit (`kvm_run.kvm_valid_regs`).
#[derive(Clone, Copy, Debug)]
pub(crate) enum Synced {
    Nothing = 0,
    Registers = 1,
    RegistersAndSystem = 3,
}

/// One vCPU with KVM's irqchip, at a program's first instruction.
pub(crate) struct Raw {
    vcpu: Vcpu,
    // These are closed before the memory is unmapped.
    _vm: File,
    _memory: Mapping,
}

impl Raw {
    /// Opens the device and makes the machine, in 32-bit protected mode as PVH requires.
    pub(crate) fn new(device: &Path, program: &Program, cpuid: bool) -> io::Result<Self> {
        let kvm = open(device)?;
        let vm = made(call(&kvm, KVM_CREATE_VM, 0)?);
        call(&vm, KVM_CREATE_IRQCHIP, 0)?;
        let memory = load(program)?;
        map(&vm, &memory, 0, 0..MEMORY as u64, 0)?;
        let vcpu = Vcpu::new(&kvm, &vm, 0)?;
        if cpuid {
            let mut leaves = CpuId::new(KVM_MAX_CPUID_ENTRIES).map_err(io::Error::other)?;
            call(&kvm, KVM_GET_SUPPORTED_CPUID, leaves.as_mut_fam_struct_ptr() as u64)?;
            call(&vcpu.file, KVM_SET_CPUID2, leaves.as_fam_struct_ptr() as u64)?;
        }
        vcpu.begin(program.entry, program.start_info)?;
        Ok(Self { vcpu, _vm: vm, _memory: memory })
    }

    /// The loop itself: runs until the write to the end port, and looks only at the exit's reason
    /// and port. Returns how long that took.
    pub(crate) fn run_to_end(&mut self, synced: Synced) -> io::Result<Duration> {
        let vcpu = self.vcpu.file.as_raw_fd();
        let run = self.vcpu.page();
        // SAFETY: this is the whole mapped kvm_run, and KVM writes to it during `KVM_RUN` only.
        unsafe { (*run).kvm_valid_regs = synced as u64 };
        let start = Instant::now();
        loop {
            // SAFETY: KVM_RUN takes no argument; the guest's memory is mapped as long as `self`.
            if unsafe { libc::ioctl(vcpu, KVM_RUN, 0) } != 0 {
                return Err(io::Error::last_os_error());
            }
            // SAFETY: as above.
            let reason = unsafe { (*run).exit_reason };
            if reason != KVM_EXIT_IO {
                return Err(io::Error::other(format!("KVM exit {reason}")));
            }
            // SAFETY: the exit reason says that `io` is the union's valid member.
            let io = unsafe { (*run).__bindgen_anon_1.io };
            if io.port == END_PORT {
                return Ok(start.elapsed());
            }
            if u32::from(io.direction) != KVM_EXIT_IO_OUT {
                let answer = if io.port == LINE_STATUS { TRANSMITTER_EMPTY } else { 0xff };
                // SAFETY: KVM puts an access's data at that offset, inside the mapping.
                unsafe { run.cast::<u8>().add(io.data_offset as usize).write(answer) };
            }
        }
    }
}

/// A vCPU and its run page.
struct Vcpu {
    file: File,
    page: Mapping,
}

impl Vcpu {
    fn new(kvm: &File, vm: &File, number: u64) -> io::Result<Self> {
        let file = made(call(vm, KVM_CREATE_VCPU, number)?);
        let size = call(kvm, KVM_GET_VCPU_MMAP_SIZE, 0)?;
        let page = Mapping::new(Some(&file), size as usize)?;
        Ok(Self { file, page })
    }

    /// Puts the vCPU into 32-bit protected mode, as PVH requires, with the address of its start
    /// info.
    fn begin(&self, entry: u64, start_info: u64) -> io::Result<()> {
        let mut sregs = kvm_sregs::default();
        call(&self.file, KVM_GET_SREGS, &raw mut sregs as u64)?;
        protected_mode(&mut sregs);
        call(&self.file, KVM_SET_SREGS, &raw const sregs as u64)?;
        let regs = kvm_regs { rip: entry, rbx: start_info, rflags: 2, ..Default::default() };
        call(&self.file, KVM_SET_REGS, &raw const regs as u64)?;
        Ok(())
    }

    /// Its run page, which KVM writes to during `KVM_RUN` only.
    fn page(&self) -> *mut kvm_run {
        self.page.start().cast()
    }
}

/// Opens the device.
fn open(device: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(device)
}

/// Memory that contains a program.
fn load(program: &Program) -> io::Result<Mapping> {
    let memory = Mapping::new(None, MEMORY)?;
    for (address, bytes) in program.segments() {
        memory.write(*address, bytes)?;
    }
    Ok(memory)
}

/// Maps this range of the memory into the guest, at the same addresses.
fn map(vm: &File, memory: &Mapping, slot: u32, range: Range<u64>, flags: u32) -> io::Result<()> {
    let region = kvm_userspace_memory_region {
        slot,
        flags,
        guest_phys_addr: range.start,
        memory_size: range.end - range.start,
        userspace_addr: memory.start() as u64 + range.start,
    };
    call(vm, KVM_SET_USER_MEMORY_REGION, &raw const region as u64)?;
    Ok(())
}

/// Calls `page` with the offset of each page of a slot of `size` bytes that the guest has stored to
/// since the previous call. `log` has a bit for each page of the slot.
fn dirty_pages(
    vm: &impl AsRawFd,
    slot: u32,
    size: u64,
    log: &mut [u64],
    mut page: impl FnMut(u64) -> io::Result<()>,
) -> io::Result<()> {
    let request = kvm_dirty_log {
        slot,
        padding1: 0,
        __bindgen_anon_1: kvm_dirty_log__bindgen_ty_1 { dirty_bitmap: log.as_mut_ptr().cast() },
    };
    call(vm, KVM_GET_DIRTY_LOG, &raw const request as u64)?;
    let words = (size / PAGE).div_ceil(64) as usize;
    for (word, mut bits) in (0..).zip(log[..words].iter().copied()) {
        while bits != 0 {
            page((word * 64 + u64::from(bits.trailing_zeros())) * PAGE)?;
            bits &= bits - 1;
        }
    }
    Ok(())
}

/// `ioctl`, with the error of a failed call.
fn call(file: &impl AsRawFd, request: u64, argument: u64) -> io::Result<i32> {
    // SAFETY: every caller passes the argument that this request takes: a number, or the address
    // of a live structure of the request's own type.
    let result = unsafe { libc::ioctl(file.as_raw_fd(), request, argument) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// The file of a descriptor that KVM has just returned.
fn made(fd: i32) -> File {
    // SAFETY: KVM_CREATE_VM and KVM_CREATE_VCPU return a new descriptor that nothing else owns.
    unsafe { File::from_raw_fd(fd) }
}

fn protected_mode(sregs: &mut kvm_sregs) {
    let flat = |index: u16, type_| kvm_segment {
        base: 0,
        limit: 0xffff_ffff,
        selector: index * 8,
        type_,
        present: 1,
        db: 1,
        s: 1,
        g: 1,
        ..Default::default()
    };
    let data = flat(2, 3);
    (sregs.cs, sregs.ds, sregs.es) = (flat(1, 11), data, data);
    (sregs.fs, sregs.gs, sregs.ss) = (data, data, data);
    sregs.cr0 = 0x11;
}
