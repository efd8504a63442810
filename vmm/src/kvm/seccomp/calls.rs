//! The system calls that each filter allows, and why.
//!
//! `tests/calls` runs end-to-end tests under strace, and fails for an entry that no test used,
//! unless its entry says why no test can use it.

mod requests;

pub use syscalls::Sysno;

use requests::{OF_FILES, OF_MACHINES, OF_VCPUS, Request};

/// A filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    /// What all threads may do.
    All,
    /// What the thread of a vCPU may do besides, under the parallel scheduler.
    Vcpu,
}

/// A condition on an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Argument {
    /// Its index, from 0.
    pub index: u8,
    /// The bits that are compared.
    pub mask: u64,
    /// Their value.
    pub value: u64,
}

/// The mask of an argument of which all 32 bits are compared.
pub const WHOLE: u64 = u32::MAX as u64;

/// A call that is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowed {
    /// The call.
    pub call: Sysno,
    /// What an argument has to be. Without it, all arguments do.
    pub argument: Option<Argument>,
    /// The argument's name, for the requests of ioctl(2).
    pub request: Option<&'static str>,
    /// Why no test can be expected to use it.
    pub rare: Option<&'static str>,
}

const ALLOCATOR: &str = "glibc's allocator, when its memory grows, moves or shrinks";
const STOPPED: &str = "the kernel, to go on with a wait when the process was stopped meanwhile";
const FALLBACK: &str = "glibc or Rust's library, where a newer call is missing";
const PANIC: &str = "the backtrace of a panic";
const RACE: &str = "a lock that is contended for a moment";
const MESSAGE: &str = "the message about a forbidden call";
const SQLITE: &str = "SQLite, when it makes a file of its database again";
const FAILURE: &str = "a failure that no test makes";

/// The flags of clone(2) for a thread, as glibc gives them: memory, files, signal handlers and
/// everything else are shared. A process, or a namespace, needs others.
const THREAD: u64 = 0x003d_0f00;

/// An entry that tests use.
const fn used(call: Sysno) -> Allowed {
    Allowed { call, argument: None, request: None, rare: None }
}

/// An entry that tests needn't use.
const fn rare(call: Sysno, why: &'static str) -> Allowed {
    Allowed { rare: Some(why), ..used(call) }
}

impl Allowed {
    /// The same if an argument has this value.
    const fn with(self, index: u8, value: u64) -> Self {
        self.with_bits(index, WHOLE, value)
    }

    /// The same if these bits of an argument have this value.
    const fn with_bits(self, index: u8, mask: u64, value: u64) -> Self {
        Self { argument: Some(Argument { index, mask, value }), ..self }
    }

    /// The same if the memory is not to be executable.
    const fn not_executable(self) -> Self {
        self.with_bits(2, libc::PROT_EXEC as u64, 0)
    }
}

/// What every thread needs to be a thread.
const THREADS: &[Allowed] = &[
    used(Sysno::futex),
    used(Sysno::write),
    used(Sysno::close),
    used(Sysno::fcntl),
    used(Sysno::mmap).not_executable(),
    used(Sysno::mprotect).not_executable(),
    used(Sysno::munmap),
    used(Sysno::madvise),
    rare(Sysno::mremap, ALLOCATOR),
    rare(Sysno::brk, ALLOCATOR),
    used(Sysno::sigaltstack),
    used(Sysno::rt_sigaction),
    used(Sysno::rt_sigprocmask),
    used(Sysno::rt_sigreturn),
    used(Sysno::gettid),
    used(Sysno::getpid),
    used(Sysno::sched_getaffinity),
    rare(Sysno::sched_yield, RACE),
    rare(Sysno::getrandom, "a thread's first hash table, if it has one"),
    used(Sysno::exit),
    rare(Sysno::exit_group, FAILURE),
    used(Sysno::clock_gettime),
    rare(Sysno::clock_nanosleep, "a wait that a vCPU's thread needn't make"),
    rare(Sysno::restart_syscall, STOPPED),
    rare(Sysno::prctl, MESSAGE).with(0, libc::PR_GET_NAME as u64),
    // Pauses of jitter are to be exact.
    used(Sysno::prctl).with(0, libc::PR_SET_TIMERSLACK as u64),
    used(Sysno::timer_create),
    used(Sysno::timer_settime),
    used(Sysno::timer_delete),
];

/// What a vCPU's thread needs besides [`THREADS`] and KVM's requests.
const VCPUS: &[Allowed] = &[
    rare(Sysno::statx, PANIC),
    rare(Sysno::readlink, PANIC),
    rare(Sysno::getcwd, PANIC),
    rare(Sysno::lseek, PANIC),
    // The files of a backtrace. Besides, glibc reads /proc/sys/vm/overcommit_memory before it gives
    // memory back.
    rare(Sysno::read, ALLOCATOR),
    rare(Sysno::openat, ALLOCATOR).with(2, (libc::O_RDONLY | libc::O_CLOEXEC) as u64),
];

/// What the other threads need besides [`THREADS`] and requests.
const OTHERS: &[Allowed] = &[
    // Threads. Another filter answers clone3(2) with ENOSYS, because no filter sees its flags;
    // glibc then calls clone(2).
    used(Sysno::clone3),
    used(Sysno::clone).with(0, THREAD),
    used(Sysno::set_robust_list),
    used(Sysno::rseq),
    used(Sysno::prctl).with(0, libc::PR_SET_NAME as u64),
    // The filter of vCPUs' threads.
    used(Sysno::prctl).with(0, libc::PR_SET_NO_NEW_PRIVS as u64),
    used(Sysno::seccomp),
    // Signals and waiting.
    used(Sysno::rt_sigtimedwait),
    used(Sysno::poll),
    used(Sysno::epoll_create1),
    used(Sysno::epoll_ctl),
    used(Sysno::epoll_wait),
    used(Sysno::eventfd2),
    used(Sysno::timerfd_create),
    used(Sysno::timerfd_settime),
    // Files. Landlock says which.
    used(Sysno::openat),
    used(Sysno::newfstatat),
    used(Sysno::statx),
    // realpath(3) of glibc, for paths that end with a folder.
    used(Sysno::faccessat2),
    rare(Sysno::faccessat, FALLBACK),
    rare(Sysno::fstat, FALLBACK),
    used(Sysno::lseek),
    used(Sysno::pread64),
    used(Sysno::pwrite64),
    used(Sysno::readlink),
    used(Sysno::getcwd),
    used(Sysno::getdents64),
    used(Sysno::mkdir),
    used(Sysno::unlink),
    used(Sysno::renameat),
    used(Sysno::renameat2),
    used(Sysno::linkat),
    used(Sysno::ftruncate),
    used(Sysno::fsync),
    used(Sysno::fdatasync),
    used(Sysno::fchmod),
    used(Sysno::flock),
    // SQLite.
    rare(Sysno::geteuid, SQLITE),
    rare(Sysno::fchown, SQLITE),
    // The clients of sockets that were made before.
    used(Sysno::accept4),
    used(Sysno::recvfrom),
    used(Sysno::sendto),
    used(Sysno::setsockopt),
    rare(Sysno::getpgrp, "a terminal in raw mode, where a shell starts the program in the tests"),
];

/// A signal to this process only, or to one of its threads.
fn signal(call: Sysno) -> Allowed {
    used(call).with(0, std::process::id().into())
}

/// The entries of a filter.
pub fn of(filter: Filter) -> Vec<Allowed> {
    // KVM_RUN is the first of them.
    let requests = OF_VCPUS.iter().map(Request::allowed);
    let entries = requests.chain(THREADS.iter().copied()).chain([signal(Sysno::tgkill)]);
    match filter {
        Filter::Vcpu => entries.chain(VCPUS.iter().copied()).collect(),
        Filter::All => {
            let requests = OF_MACHINES.iter().chain(OF_FILES).map(Request::allowed);
            let others = OTHERS.iter().copied().chain([signal(Sysno::kill), used(Sysno::read)]);
            entries.chain(requests).chain(others).collect()
        }
    }
}
