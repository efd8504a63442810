//! What a vCPU says when it stops running, and what it is told when it goes on.
//!
//! Both are plain data: an [`Exit`] can be logged, invented by a test and replayed, without KVM.

use smallvec::SmallVec;

/// The bytes that an access moves: up to 16 in place, more (a string instruction's) on the heap.
pub type Bytes = SmallVec<[u8; 16]>;

/// Bytes as a little-endian number: the first 8, if there are more.
pub fn little(bytes: &[u8]) -> u64 {
    bytes.iter().take(8).rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// Why a vCPU came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The guest reads a port: `count` elements of `size` bytes (more than one for `rep ins`).
    PortRead {
        /// The port number.
        port: u16,
        /// Bytes an element: 1, 2 or 4.
        size: u8,
        /// Elements.
        count: u32,
    },
    /// The guest writes a port.
    PortWrite {
        /// The port number.
        port: u16,
        /// Bytes an element: 1, 2 or 4.
        size: u8,
        /// All elements, one after the other.
        data: Bytes,
    },
    /// The guest reads guest-physical memory that no RAM backs.
    MmioRead {
        /// Guest-physical address.
        address: u64,
        /// Bytes, 1 to 8.
        size: u8,
    },
    /// The guest writes guest-physical memory that no RAM backs.
    MmioWrite {
        /// Guest-physical address.
        address: u64,
        /// The bytes written, 1 to 8.
        data: Bytes,
    },
    /// The guest reads a model-specific register that the host wants to know of.
    MsrRead {
        /// The register's number.
        index: u32,
    },
    /// The guest writes a model-specific register that the host wants to know of.
    MsrWrite {
        /// The register's number.
        index: u32,
        /// The value.
        value: u64,
    },
    /// HLT (only without an in-kernel irqchip).
    Halt,
    /// A waiting application processor was woken by INIT or SIPI and is about to start.
    ApStart,
    /// Somebody kicked the vCPU out of guest mode; the guest did nothing.
    Kicked,
    /// A debug exception that the host asked for.
    Debug {
        /// The linear address of the instruction.
        pc: u64,
        /// DR6 as the hardware reported it.
        dr6: u64,
    },
    /// The guest can take an interrupt now.
    InterruptWindow,
    /// The guest has lowered CR8 (only without an in-kernel irqchip): interrupts may be taken that were not before.
    TaskPriority,
    /// A triple fault.
    Shutdown,
    /// KVM could not go on.
    InternalError {
        /// `KVM_INTERNAL_ERROR_*`; 1 is an instruction that KVM's emulator doesn't know.
        suberror: u32,
        /// The instruction's bytes, where KVM gave them.
        instruction: Bytes,
    },
    /// The processor refused to enter the guest.
    FailEntry {
        /// The hardware's reason code.
        reason: u64,
    },
    /// An exit that jitterbug never asks for: `KVM_EXIT_*`.
    Unexpected {
        /// `kvm_run.exit_reason`.
        reason: u32,
    },
}

impl Exit {
    /// The kind's name in logs and statistics.
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
            Self::InterruptWindow => "interrupt-window",
            Self::TaskPriority => "task-priority",
            Self::Shutdown => "shutdown",
            Self::InternalError { .. } => "internal-error",
            Self::FailEntry { .. } => "fail-entry",
            Self::Unexpected { .. } => "unexpected",
        }
    }

    /// Whether the guest itself caused the exit. A kick is the host's doing and is no sign of life.
    pub fn is_guest_activity(&self) -> bool {
        !matches!(self, Self::Kicked | Self::Debug { .. })
    }
}

/// What a vCPU is told when it runs on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// Nothing was asked.
    Resume,
    /// The answer to a port or MMIO read: all its bytes.
    Data(Bytes),
}

impl Entry {
    /// The answer to a read of so many bytes: zeroes.
    pub(crate) fn zeroes(length: u32) -> Self {
        Self::Data(Bytes::from_elem(0, length as usize))
    }
}
