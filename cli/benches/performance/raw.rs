//! The floor: KVM by plain `ioctl` and nothing around it, as a C program of one page would do it.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd};
use std::path::Path;
use std::ptr::{self, NonNull};
use std::time::{Duration, Instant};

use kvm_bindings::{
    CpuId, KVM_EXIT_IO, KVM_EXIT_IO_OUT, KVM_MAX_CPUID_ENTRIES, kvm_regs, kvm_run, kvm_segment,
    kvm_sregs, kvm_userspace_memory_region,
};

use crate::image::{END_PORT, Program};

const KVM_CREATE_VM: u64 = 0xae01;
const KVM_GET_VCPU_MMAP_SIZE: u64 = 0xae04;
const KVM_GET_SUPPORTED_CPUID: u64 = 0xc008_ae05;
const KVM_CREATE_VCPU: u64 = 0xae41;
const KVM_SET_USER_MEMORY_REGION: u64 = 0x4020_ae46;
const KVM_CREATE_IRQCHIP: u64 = 0xae60;
const KVM_RUN: u64 = 0xae80;
const KVM_SET_REGS: u64 = 0x4090_ae82;
const KVM_GET_SREGS: u64 = 0x8138_ae83;
const KVM_SET_SREGS: u64 = 0x4138_ae84;
const KVM_SET_CPUID2: u64 = 0x4008_ae90;

/// As much as jitterbug gives a guest by default.
const MEMORY: usize = 128 << 20;
/// COM1's line status register, and what it says when it can take a byte.
const LINE_STATUS: u16 = 0x3fd;
const TRANSMITTER_EMPTY: u8 = 0x60;

/// What `kvm_run.kvm_valid_regs` asks KVM to copy at every exit.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Synced {
    Nothing = 0,
    Registers = 1,
    RegistersAndSystem = 3,
}

/// One vCPU with KVM's irqchip, at a program's first instruction.
pub(crate) struct Raw {
    vcpu: File,
    run: Mapping,
    // Closed before the memory goes.
    _vm: File,
    _memory: Mapping,
}

impl Raw {
    /// Opens the device and makes everything, in 32-bit protected mode as PVH has it.
    pub(crate) fn new(device: &Path, program: &Program, cpuid: bool) -> io::Result<Self> {
        let kvm = OpenOptions::new().read(true).write(true).open(device)?;
        let vm = made(call(&kvm, KVM_CREATE_VM, 0)?);
        call(&vm, KVM_CREATE_IRQCHIP, 0)?;
        let memory = Mapping::new(None, MEMORY)?;
        for (address, bytes) in program.segments() {
            memory.write(*address, bytes)?;
        }
        let region = kvm_userspace_memory_region {
            slot: 0,
            flags: 0,
            guest_phys_addr: 0,
            memory_size: MEMORY as u64,
            userspace_addr: memory.start.as_ptr() as u64,
        };
        call(&vm, KVM_SET_USER_MEMORY_REGION, &raw const region as u64)?;
        let vcpu = made(call(&vm, KVM_CREATE_VCPU, 0)?);
        if cpuid {
            let mut leaves = CpuId::new(KVM_MAX_CPUID_ENTRIES).map_err(io::Error::other)?;
            call(&kvm, KVM_GET_SUPPORTED_CPUID, leaves.as_mut_fam_struct_ptr() as u64)?;
            call(&vcpu, KVM_SET_CPUID2, leaves.as_fam_struct_ptr() as u64)?;
        }
        let mut sregs = kvm_sregs::default();
        call(&vcpu, KVM_GET_SREGS, &raw mut sregs as u64)?;
        protected_mode(&mut sregs);
        call(&vcpu, KVM_SET_SREGS, &raw const sregs as u64)?;
        let regs = kvm_regs {
            rip: program.entry,
            rbx: program.start_info,
            rflags: 2,
            ..Default::default()
        };
        call(&vcpu, KVM_SET_REGS, &raw const regs as u64)?;
        let size = call(&kvm, KVM_GET_VCPU_MMAP_SIZE, 0)?;
        let run = Mapping::new(Some(&vcpu), size as usize)?;
        Ok(Self { vcpu, run, _vm: vm, _memory: memory })
    }

    /// The loop itself: runs to the write to the end port, looking at the exit's reason and port
    /// and at nothing else. The time that it took.
    pub(crate) fn run_to_end(&mut self, synced: Synced) -> io::Result<Duration> {
        let vcpu = self.vcpu.as_raw_fd();
        let run: *mut kvm_run = self.run.start.as_ptr().cast();
        // SAFETY: `run` is the whole mapped kvm_run, and KVM writes to it during KVM_RUN only.
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

/// `ioctl`, with its error.
fn call(file: &File, request: u64, argument: u64) -> io::Result<i32> {
    // SAFETY: every caller passes the argument that this request takes: a number, or the address
    // of a live structure of the request's own type.
    let result = unsafe { libc::ioctl(file.as_raw_fd(), request, argument) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// A file descriptor that KVM has just made.
fn made(fd: i32) -> File {
    // SAFETY: KVM_CREATE_VM and KVM_CREATE_VCPU return a descriptor that nobody else has.
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

/// Memory of our own, or a vCPU's run page.
struct Mapping {
    start: NonNull<libc::c_void>,
    size: usize,
}

impl Mapping {
    fn new(file: Option<&File>, size: usize) -> io::Result<Self> {
        let (flags, fd) = match file {
            Some(file) => (libc::MAP_SHARED, file.as_raw_fd()),
            None => (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE, -1),
        };
        // SAFETY: a new mapping where the kernel likes; the result is checked.
        let start = unsafe {
            libc::mmap(ptr::null_mut(), size, libc::PROT_READ | libc::PROT_WRITE, flags, fd, 0)
        };
        match NonNull::new(start) {
            Some(start) if start.as_ptr() != libc::MAP_FAILED => Ok(Self { start, size }),
            _ => Err(io::Error::last_os_error()),
        }
    }

    fn write(&self, address: u64, bytes: &[u8]) -> io::Result<()> {
        let address = address as usize;
        if address.checked_add(bytes.len()).is_none_or(|end| end > self.size) {
            return Err(io::Error::other("a segment outside the memory"));
        }
        // SAFETY: the range was just checked, and the guest doesn't run yet.
        unsafe {
            let target = self.start.as_ptr().cast::<u8>().add(address);
            ptr::copy_nonoverlapping(bytes.as_ptr(), target, bytes.len());
        }
        Ok(())
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: our own mapping, used by nobody any more: a `Raw` closes its vCPU first.
        unsafe { libc::munmap(self.start.as_ptr(), self.size) };
    }
}
