//! Gets a vCPU out of the guest: from another thread, or at a given time.
//!
//! A kick is a real-time signal to the vCPU's thread. A signal interrupts `KVM_RUN` in guest mode,
//! asleep in HLT or waiting for a SIPI, but a signal that arrives just *before* `KVM_RUN` would be
//! lost. So the handler also sets `kvm_run.immediate_exit`, which KVM checks on entry. The handler
//! runs on the thread that is going to call `KVM_RUN`, so there is no moment at which the signal
//! has been taken but the flag is not yet set, and no other thread ever accesses the page. (The KVM
//! API documents `immediate_exit` for this use; rust-vmm/kvm#373 is about the unsound alternative
//! of writing it from another thread through `VcpuFd`.)
//!
//! A kick carries no information: the sending thread first stores its request where the vCPU's
//! thread looks for it.

use std::cell::Cell;
use std::io;
use std::marker::PhantomData;
use std::mem::offset_of;
use std::os::fd::RawFd;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU8, Ordering, compiler_fence};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use kvm_bindings::kvm_run;
use vmm_sys_util::signal::{SIGRTMIN, register_signal_handler};

use crate::error::{Error, Result};

thread_local! {
    /// The `immediate_exit` byte of the vCPU that this thread runs. Const-initialised and without a
    /// destructor, so that a signal handler may read it.
    static IMMEDIATE_EXIT: Cell<*const AtomicU8> = const { Cell::new(ptr::null()) };
}

/// Values of `immediate_exit`; KVM only checks whether it is 0.
const KICKED: u8 = 1;
const OURS: u8 = 2;

fn signal_number() -> i32 {
    SIGRTMIN()
}

extern "C" fn on_kick(_: i32, _: *mut libc::siginfo_t, _: *mut libc::c_void) {
    let flag = IMMEDIATE_EXIT.with(Cell::get);
    // SAFETY: the pointer is non-null only while this thread has a `Bound`, which keeps the page
    // mapped and can't leave the thread; dropping the `Bound` clears the pointer first.
    if let Some(flag) = unsafe { flag.as_ref() } {
        flag.store(KICKED, Ordering::Relaxed);
    }
}

fn install_handler() -> Result<()> {
    static INSTALLED: OnceLock<Result<(), i32>> = OnceLock::new();
    // Without SA_RESTART, which this function doesn't set: KVM_RUN has to come back with EINTR.
    INSTALLED
        .get_or_init(|| {
            register_signal_handler(signal_number(), on_kick).map_err(kvm_ioctls::Error::errno)
        })
        .map_err(|errno| Error::System {
            what: "the handler of the kick signal can't be installed",
            source: io::Error::from_raw_os_error(errno),
        })
}

/// A private second mapping of a vCPU's `kvm_run` page, used for `immediate_exit` only. The mapping
/// is separate because kvm-ioctls hands out `&mut` to the first one.
#[derive(Debug)]
pub(super) struct RunFlag {
    page: Arc<Page>,
}

/// The mapping; it is removed when the vCPU and all its `Bound`s have been dropped.
#[derive(Debug)]
struct Page(NonNull<libc::c_void>);

const PAGE: usize = 4096;

// SAFETY: the mapping is not tied to a thread; all access goes through an atomic.
unsafe impl Send for Page {}
// SAFETY: as above.
unsafe impl Sync for Page {}

/// Binds a vCPU to the thread that owns this value: kicks of the thread reach the vCPU. It can't be
/// moved to another thread, and it keeps mapped the page that the signal handler accesses.
#[derive(Debug)]
#[must_use = "kicks reach the vCPU only while this is there"]
pub struct Bound {
    page: Arc<Page>,
    /// A pointer makes the type neither `Send` nor `Sync`.
    thread: PhantomData<*const ()>,
}

impl RunFlag {
    pub(super) fn map(vcpu: RawFd) -> Result<Self> {
        // SAFETY: a fresh shared mapping of the vCPU's first page; the result is checked.
        let page = unsafe {
            libc::mmap(
                ptr::null_mut(),
                PAGE,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                vcpu,
                0,
            )
        };
        match NonNull::new(page) {
            Some(page) if page.as_ptr() != libc::MAP_FAILED => {
                Ok(Self { page: Arc::new(Page(page)) })
            }
            _ => Err(Error::System {
                what: "a vCPU's run page can't be mapped",
                source: io::Error::last_os_error(),
            }),
        }
    }

    fn byte(&self) -> &AtomicU8 {
        self.page.byte()
    }

    /// Clears the flag; false if it was set only by [`Self::raise`]. The caller must look for
    /// requests *after* this call.
    pub(super) fn clear(&self) -> bool {
        let kicked = self.byte().swap(0, Ordering::Relaxed) == KICKED;
        compiler_fence(Ordering::SeqCst);
        kicked
    }

    /// Has the next `KVM_RUN` complete the latest exit's access and return, unless a kick already
    /// does so.
    pub(super) fn raise(&self) {
        let _ = self.byte().compare_exchange(0, OURS, Ordering::Relaxed, Ordering::Relaxed);
        compiler_fence(Ordering::SeqCst);
    }

    /// Sets the flag as a kick of this thread does.
    pub(super) fn kick(&self) {
        self.byte().store(KICKED, Ordering::Relaxed);
    }

    /// Undoes [`Self::raise`]. A kick that has arrived meanwhile stays.
    pub(super) fn retract(&self) {
        let _ = self.byte().compare_exchange(OURS, 0, Ordering::Relaxed, Ordering::Relaxed);
        compiler_fence(Ordering::SeqCst);
    }

    /// Binds the vCPU to this thread: the thread's kicks reach it.
    pub(super) fn bind(&self) -> Bound {
        let bound = Bound { page: self.page.clone(), thread: PhantomData };
        IMMEDIATE_EXIT.with(|flag| flag.set(bound.page.byte()));
        compiler_fence(Ordering::SeqCst);
        bound
    }
}

impl Page {
    fn byte(&self) -> &AtomicU8 {
        // SAFETY: the byte is inside the page that `self` keeps mapped, the kernel only reads it,
        // and all users access it as an atomic.
        unsafe { &*self.0.as_ptr().cast::<u8>().add(offset_of!(kvm_run, immediate_exit)).cast() }
    }
}

impl Drop for Bound {
    /// Clears the thread's pointer, unless the thread has been bound to another vCPU since.
    fn drop(&mut self) {
        let mine: *const AtomicU8 = self.page.byte();
        IMMEDIATE_EXIT.with(|flag| {
            if flag.get() == mine {
                flag.set(ptr::null());
            }
        });
        compiler_fence(Ordering::SeqCst);
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // SAFETY: this is the mapping made by `map`, and no signal handler accesses it any more:
        // each thread that was bound to it has cleared its pointer before it dropped its share of
        // the page.
        unsafe { libc::munmap(self.0.as_ptr(), PAGE) };
    }
}

/// Kicks one thread; shared with other threads.
#[derive(Debug, Default)]
pub struct Kicker {
    // `Some` while the thread takes kicks. The lock keeps the thread from ending, and its
    // identifier from being reused, between the check and the signal.
    thread: Mutex<Option<libc::pthread_t>>,
}

impl Kicker {
    /// Makes kicks reach the calling thread until the guard is dropped.
    pub fn receive(&self) -> Result<Receiving<'_>> {
        // The handler comes first: the signal's default action would end the process.
        install_handler()?;
        // SAFETY: pthread_self has no preconditions.
        *self.lock() = Some(unsafe { libc::pthread_self() });
        Ok(Receiving { kicker: self })
    }

    /// Kicks the thread, if there is one.
    pub fn kick(&self) {
        if let Some(thread) = *self.lock() {
            // SAFETY: the thread is alive: it clears the field under this lock before it ends.
            unsafe { libc::pthread_kill(thread, signal_number()) };
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<libc::pthread_t>> {
        self.thread.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The guard of [`Kicker::receive`].
#[derive(Debug)]
pub struct Receiving<'a> {
    kicker: &'a Kicker,
}

impl Drop for Receiving<'_> {
    fn drop(&mut self) {
        *self.kicker.lock() = None;
    }
}

/// A timer that kicks the thread that created it.
///
/// A POSIX timer sends the signal from the timer interrupt itself, so no helper thread competes
/// with the vCPUs for a core. (nix's safe wrapper doesn't support real-time signals.)
#[derive(Debug)]
pub struct Alarm {
    timer: libc::timer_t,
}

impl Alarm {
    /// An alarm for the calling thread, not armed.
    pub fn new() -> Result<Self> {
        Self::by(libc::CLOCK_MONOTONIC)
    }

    /// Like [`Self::new`], but time passes only while the calling thread runs, inside or outside
    /// the guest.
    pub fn of_thread_time() -> Result<Self> {
        Self::by(libc::CLOCK_THREAD_CPUTIME_ID)
    }

    fn by(clock: libc::clockid_t) -> Result<Self> {
        install_handler()?;
        // SAFETY: sigevent is plain data, for which all zeroes are valid.
        let mut event: libc::sigevent = unsafe { std::mem::zeroed() };
        event.sigev_notify = libc::SIGEV_THREAD_ID;
        event.sigev_signo = signal_number();
        event.sigev_notify_thread_id = nix::unistd::gettid().as_raw();
        let mut timer = ptr::null_mut();
        // SAFETY: both pointers are to live locals.
        let made = unsafe { libc::timer_create(clock, &raw mut event, &raw mut timer) };
        if made == 0 { Ok(Self { timer }) } else { Err(no_timer()) }
    }

    /// Kicks once, after this time; replaces the previous setting.
    pub fn set(&mut self, after: Duration) -> Result<()> {
        // A time of zero would disarm the timer.
        self.set_timer(after.max(Duration::from_nanos(1)), Duration::ZERO)
    }

    /// Kicks at this interval; replaces the previous setting.
    pub fn repeat(&mut self, every: Duration) -> Result<()> {
        self.set_timer(every, every)
    }

    fn set_timer(&mut self, first: Duration, every: Duration) -> Result<()> {
        let timespec = |time: Duration| libc::timespec {
            tv_sec: time.as_secs().try_into().unwrap_or(libc::time_t::MAX),
            tv_nsec: time.subsec_nanos().into(),
        };
        let value = libc::itimerspec { it_interval: timespec(every), it_value: timespec(first) };
        // SAFETY: the timer is ours and alive, the pointer is to a live local.
        let set = unsafe { libc::timer_settime(self.timer, 0, &raw const value, ptr::null_mut()) };
        if set == 0 { Ok(()) } else { Err(no_timer()) }
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        // SAFETY: the timer is ours, alive, and not used any more. A kick that is already on its
        // way finds the handler, which stays installed.
        unsafe { libc::timer_delete(self.timer) };
    }
}

fn no_timer() -> Error {
    Error::System { what: "a vCPU's timer can't be made", source: io::Error::last_os_error() }
}
