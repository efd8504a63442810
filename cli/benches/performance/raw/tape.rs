//! Records the requests that a machine makes to KVM, call by call.
//!
//! Every `ioctl` of the benchmark's process goes through this module, including those of the
//! library that jitterbug uses: the program's own symbol takes precedence over that of the C
//! library. While a recording runs, requests to the machine are kept with everything that KVM
//! reads.

use std::collections::BTreeMap;
use std::ffi::{c_int, c_ulong};
use std::io;
use std::ops::Range;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use kvm_bindings::{
    KVM_EXIT_IO, KVM_EXIT_MMIO, kvm_run, kvm_run__bindgen_ty_1, kvm_sync_regs,
    kvm_userspace_memory_region,
};

use super::{
    KVM_CREATE_VCPU, KVM_CREATE_VM, KVM_GET_DIRTY_LOG, KVM_RUN, KVM_SET_MSRS,
    KVM_SET_USER_MEMORY_REGION,
};
use crate::image::PAGE;

/// Bits of a request that say how it uses its argument (`asm-generic/ioctl.h`).
const WRITES: c_ulong = 1 << 30;
const READS: c_ulong = 1 << 31;

/// The run page and the page after it, where KVM puts the data of port accesses.
const RUN_PAGES: usize = 2 * PAGE as usize;

/// The size in bytes of a port access's data in the run page.
pub(super) const PORT_DATA: usize = 8;

/// A file descriptor of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Vm,
    Vcpu(usize),
}

/// A request to KVM.
pub(super) enum Call {
    /// A request to run a vCPU.
    Run(Box<Entry>),
    /// Any other request that changes something, with its argument.
    Set { target: Target, request: c_ulong, argument: Argument },
    /// A request for the pages to which the guest has stored.
    DirtyLog,
}

/// The argument of a request.
pub(super) enum Argument {
    Number(c_ulong),
    Structure(Vec<u8>),
}

/// The part of a run page that KVM reads, and the next exit.
pub(super) struct Entry {
    pub(super) vcpu: usize,
    pub(super) request_interrupt_window: u8,
    pub(super) immediate_exit: u8,
    pub(super) cr8: u64,
    pub(super) valid_regs: u64,
    pub(super) dirty_regs: u64,
    /// The registers, if KVM reads them.
    pub(super) registers: Option<Box<kvm_sync_regs>>,
    /// The answer to the last exit.
    pub(super) answer: kvm_run__bindgen_ty_1,
    /// The data of a port access, with its offset in the run page.
    pub(super) data: Option<(u64, [u8; PORT_DATA])>,
    /// The next exit; `None` if the vCPU was not to enter the guest at all.
    pub(super) exit: Option<Exit>,
}

/// An exit: its reason, and the address or port of an access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Exit {
    pub(super) reason: u32,
    pub(super) address: u64,
}

impl Exit {
    /// Reads the exit from a run page.
    ///
    /// # Safety
    /// `page` is a mapped run page, and no vCPU runs with it.
    pub(super) unsafe fn read(page: *const kvm_run) -> Self {
        // SAFETY: by the caller; the exit reason says which member of the union is valid.
        unsafe {
            let reason = (*page).exit_reason;
            let address = match reason {
                KVM_EXIT_MMIO => (*page).__bindgen_anon_1.mmio.phys_addr,
                KVM_EXIT_IO => (*page).__bindgen_anon_1.io.port.into(),
                _ => 0,
            };
            Self { reason, address }
        }
    }
}

/// A machine's file descriptors, run pages and memory, as its requests show them.
#[derive(Clone, Default)]
pub(super) struct Files {
    pub(super) vm: RawFd,
    /// Each vCPU, and the address of its run page.
    pub(super) vcpus: Vec<(RawFd, usize)>,
    /// For each slot number: the guest-physical addresses, and the address in this process.
    pub(super) slots: BTreeMap<u32, (Range<u64>, u64)>,
}

#[derive(Default)]
struct Tape {
    files: Files,
    calls: Vec<Call>,
    /// Whether a vCPU was kicked, so that a repetition would need other requests.
    kicked: bool,
}

static RUNS: AtomicBool = AtomicBool::new(false);
static TAPE: Mutex<Option<Tape>> = Mutex::new(None);

/// Begins a recording. There is one at a time, of one thread that makes a machine and runs it.
pub(super) fn begin() {
    *lock() = Some(Tape::default());
    RUNS.store(true, Ordering::Relaxed);
}

/// The requests since the last call; `None` if a vCPU was kicked meanwhile.
pub(super) fn take() -> Option<Vec<Call>> {
    let mut tape = lock();
    let tape = tape.as_mut()?;
    let calls = std::mem::take(&mut tape.calls);
    (!std::mem::take(&mut tape.kicked)).then_some(calls)
}

/// Ends the recording.
pub(super) fn end() -> Files {
    RUNS.store(false, Ordering::Relaxed);
    lock().take().unwrap_or_default().files
}

fn lock() -> MutexGuard<'static, Option<Tape>> {
    TAPE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `ioctl(2)` of this program.
///
/// # Safety
/// As for `ioctl(2)`: the argument is what the request takes.
#[unsafe(no_mangle)]
unsafe extern "C" fn ioctl(fd: c_int, request: c_ulong, argument: c_ulong) -> c_int {
    // SAFETY: by the caller.
    let ask = || unsafe { libc::syscall(libc::SYS_ioctl, fd, request, argument) as c_int };
    if !RUNS.load(Ordering::Relaxed) {
        return ask();
    }
    let mut tape = lock();
    match tape.as_mut() {
        // SAFETY: by the caller.
        Some(tape) => unsafe { tape.note(fd, request, argument, ask) },
        None => ask(),
    }
}

impl Tape {
    /// # Safety
    /// As for [`ioctl`].
    unsafe fn note(
        &mut self,
        fd: RawFd,
        request: c_ulong,
        argument: c_ulong,
        ask: impl FnOnce() -> c_int,
    ) -> c_int {
        let vcpu = self.files.vcpus.iter().position(|(its, _)| *its == fd);
        if let (KVM_RUN, Some(vcpu)) = (request, vcpu) {
            // SAFETY: this is the address of the vCPU's run page, which is never unmapped.
            return unsafe { self.note_run(vcpu, ask) };
        }
        let result = ask();
        match (request, vcpu) {
            (KVM_CREATE_VM, _) => self.files.vm = result,
            (KVM_CREATE_VCPU, _) => {
                let page = run_page(result);
                self.files.vcpus.push((result, page));
            }
            (KVM_GET_DIRTY_LOG, _) => self.calls.push(Call::DirtyLog),
            _ if request & READS != 0 => {}
            _ if fd == self.files.vm || vcpu.is_some() => {
                let target = vcpu.map_or(Target::Vm, Target::Vcpu);
                // SAFETY: by the caller.
                let argument = unsafe { copy(request, argument) };
                if let (KVM_SET_USER_MEMORY_REGION, Argument::Structure(region)) =
                    (request, &argument)
                {
                    self.note_slot(region);
                }
                self.calls.push(Call::Set { target, request, argument });
            }
            _ => {}
        }
        result
    }

    /// # Safety
    /// The run page is mapped.
    unsafe fn note_run(&mut self, vcpu: usize, ask: impl FnOnce() -> c_int) -> c_int {
        let page = self.files.vcpus[vcpu].1 as *const kvm_run;
        // SAFETY: by the caller; no vCPU runs yet. KVM puts a port's data at that offset, inside
        // the mapping.
        let mut entry = unsafe {
            let port = ((*page).exit_reason == KVM_EXIT_IO)
                .then(|| (*page).__bindgen_anon_1.io.data_offset);
            Entry {
                vcpu,
                request_interrupt_window: (*page).request_interrupt_window,
                immediate_exit: (*page).immediate_exit,
                cr8: (*page).cr8,
                valid_regs: (*page).kvm_valid_regs,
                dirty_regs: (*page).kvm_dirty_regs,
                registers: ((*page).kvm_dirty_regs != 0).then(|| Box::new((*page).s.regs)),
                answer: (*page).__bindgen_anon_1,
                data: port.map(|at| {
                    (at, page.cast::<u8>().add(at as usize).cast::<[u8; PORT_DATA]>().read())
                }),
                exit: None,
            }
        };
        let result = ask();
        if result == 0 {
            // SAFETY: by the caller; the vCPU has come back.
            entry.exit = Some(unsafe { Exit::read(page) });
        } else {
            self.kicked |= entry.immediate_exit == 0;
        }
        self.calls.push(Call::Run(Box::new(entry)));
        result
    }

    fn note_slot(&mut self, region: &[u8]) {
        let word =
            |at: usize| region[at..].first_chunk().map_or(0, |word| u64::from_le_bytes(*word));
        let (slot, start, size, address) = (word(0) as u32, word(8), word(16), word(24));
        if size == 0 {
            self.files.slots.remove(&slot);
        } else {
            self.files.slots.insert(slot, (start..start + size, address));
        }
    }
}

/// Copies the argument of a request.
///
/// # Safety
/// The argument is what the request takes.
unsafe fn copy(request: c_ulong, argument: c_ulong) -> Argument {
    if request & WRITES == 0 {
        return Argument::Number(argument);
    }
    let mut size = (request >> 16 & 0x3fff) as usize;
    if request == KVM_SET_MSRS {
        // The argument is a count of 32 bits, four unused bytes, and this number of entries of 16
        // bytes.
        // SAFETY: by the caller.
        size += 16 * unsafe { (argument as *const u32).read() } as usize;
    }
    // SAFETY: by the caller.
    Argument::Structure(unsafe { std::slice::from_raw_parts(argument as *const u8, size).to_vec() })
}

/// Maps a vCPU's run page a second time. The mapping is never removed.
fn run_page(vcpu: RawFd) -> usize {
    // SAFETY: a new mapping at an address that the kernel chooses; the result is checked.
    let page = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            RUN_PAGES,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED,
            vcpu,
            0,
        )
    };
    assert_ne!(page, libc::MAP_FAILED, "a vCPU's run page: {}", io::Error::last_os_error());
    page as usize
}

// The fields of a region are where `note_slot` reads them.
const _: () = assert!(size_of::<kvm_userspace_memory_region>() == 32);
