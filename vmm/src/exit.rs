//! Why a vCPU stopped running ([`Exit`]), and what it gets when it is entered again ([`Entry`]).
//!
//! Both are plain data: without KVM, a test can log them, make them up and replay them.

use smallvec::SmallVec;

/// The bytes that an access moves: up to 16 inline, more (of a string instruction) on the heap.
pub type Bytes = SmallVec<[u8; 16]>;

/// Reads bytes as a little-endian number. Of more than 8 bytes, the first 8 count.
pub fn little(bytes: &[u8]) -> u64 {
    bytes.iter().take(8).rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// The reason why a vCPU returned from the guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The guest reads a port: `count` elements of `size` bytes (more than one for `rep ins`).
    PortRead {
        /// The port number.
        port: u16,
        /// Bytes per element: 1, 2 or 4.
        size: u8,
        /// The number of elements.
        count: u32,
    },
    /// The guest writes a port.
    PortWrite {
        /// The port number.
        port: u16,
        /// Bytes per element: 1, 2 or 4.
        size: u8,
        /// All elements, in the order in which they are written.
        data: Bytes,
    },
    /// The guest reads guest-physical memory that no RAM backs.
    MmioRead {
        /// Guest-physical address.
        address: u64,
        /// The number of bytes, 1 to 8.
        size: u8,
    },
    /// The guest writes guest-physical memory that no RAM backs.
    MmioWrite {
        /// Guest-physical address.
        address: u64,
        /// The bytes written, 1 to 8.
        data: Bytes,
    },
    /// The guest reads a model-specific register (MSR) whose accesses exit.
    MsrRead {
        /// The register's number.
        index: u32,
    },
    /// The guest writes a model-specific register (MSR) whose accesses exit.
    MsrWrite {
        /// The register's number.
        index: u32,
        /// The value that the guest writes.
        value: u64,
    },
    /// The guest executed HLT (reported only without an in-kernel irqchip).
    Halt,
    /// A waiting application processor was woken by INIT or SIPI and is about to start.
    ApStart,
    /// The vCPU was kicked out of guest mode by the host; the guest did nothing.
    Kicked,
    /// A debug exception that the host asked for.
    Debug {
        /// The linear address of the instruction.
        pc: u64,
        /// DR6 as the hardware reported it.
        dr6: u64,
    },
    /// The guest is before an INT3, and the host asked for such exits.
    Int3 {
        /// The linear address of the INT3.
        pc: u64,
    },
    /// The guest can take an interrupt now.
    InterruptWindow,
    /// The guest has lowered CR8, so interrupts that were masked by priority may now be taken
    /// (reported only without an in-kernel irqchip).
    TaskPriority,
    /// The guest shut down, by a triple fault.
    Shutdown,
    /// KVM could not continue.
    InternalError {
        /// `KVM_INTERNAL_ERROR_*`; 1 means an instruction that KVM's emulator doesn't know.
        suberror: u32,
        /// The instruction's bytes, if KVM reported them.
        instruction: Bytes,
    },
    /// The processor refused to enter the guest.
    FailEntry {
        /// The hardware's reason code.
        reason: u64,
    },
    /// An exit that jitterbug never asks for.
    Unexpected {
        /// `kvm_run.exit_reason`: a `KVM_EXIT_*` number.
        reason: u32,
    },
}

impl Exit {
    /// The name of the kind of exit in logs and statistics.
    pub fn name(&self) -> &'static str {
        match self {
            Self::PortRead { .. } => "port-read",
            Self::PortWrite { .. } => "port-write",
            Self::MmioRead { .. } => "mmio-read",
            Self::MmioWrite { .. } => "mmio-write",
            Self::MsrRead { .. } => "msr-read",
            Self::MsrWrite { .. } => "msr-write",
            Self::Halt => "halt",
            Self::ApStart => "ap-start",
            Self::Kicked => "kicked",
            Self::Debug { .. } => "debug",
            Self::Int3 { .. } => "int3",
            Self::InterruptWindow => "interrupt-window",
            Self::TaskPriority => "task-priority",
            Self::Shutdown => "shutdown",
            Self::InternalError { .. } => "internal-error",
            Self::FailEntry { .. } => "fail-entry",
            Self::Unexpected { .. } => "unexpected",
        }
    }

    /// Whether the guest itself caused the exit. Kicks and debug exits are caused by the host, so
    /// they do not show that the guest does anything.
    pub fn is_guest_activity(&self) -> bool {
        !matches!(self, Self::Kicked | Self::Debug { .. })
    }
}

/// The answer that a vCPU gets to its last exit when it is entered again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// Nothing: the last exit needs no answer.
    Resume,
    /// The answer to a port or MMIO read: all its bytes.
    Data(Bytes),
}

impl Entry {
    /// The answer to a read of `length` bytes: zeroes.
    pub(crate) fn zeroes(length: u32) -> Self {
        Self::Data(Bytes::from_elem(0, length as usize))
    }
}
