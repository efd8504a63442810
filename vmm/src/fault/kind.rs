//! The kinds of faults.

use std::time::Duration;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// An IPI is lost.
    IpiDrop,
    /// An IPI is delivered late.
    IpiDelay,
    /// An IPI is delivered at once, and a second time later.
    IpiDuplicate,
    /// An IPI is delivered to a vCPU that it was not sent to, instead of its target.
    IpiMisroute,
    /// An IPI is delivered behind the next IPI of its sender.
    IpiReorder,
    /// An interrupt that a vCPU could take is lost.
    IrqDrop,
    /// A vCPU gets an interrupt that nothing has sent.
    IrqSpurious,
    /// A vCPU gets an NMI that nothing has sent.
    Nmi,
    /// A vCPU gets an exception that no instruction of its has raised.
    Exception,
    /// A vCPU is kept from running for a while.
    VcpuStall,
    /// A vCPU that the guest starts begins to run late, or never.
    VcpuStart,
    /// A bit of the guest's memory changes.
    BitFlip,
    /// An access to a model-specific register raises #GP.
    MsrFail,
    /// A read of a model-specific register returns another value.
    MsrLie,
    /// A vCPU's TSC differs from the others' from the start.
    TscOffset,
    /// A vCPU's TSC jumps.
    TscJump,
    /// A vCPU's TSC runs at another rate than the others'.
    TscDrift,
    /// The clock that KVM gives to guests jumps.
    ClockJump,
    /// A disk's request fails.
    DiskError,
    /// A write to a disk is done only in part, and reported as done.
    DiskTorn,
    /// A write to a disk, or a flush, is not done, and reported as done.
    DiskLost,
    /// A disk's request is late.
    DiskDelay,
    /// Writes to a disk fail from some time on.
    DiskFull,
}

impl FaultKind {
    /// All kinds.
    pub const ALL: [Self; 23] = [
        Self::IpiDrop,
        Self::IpiDelay,
        Self::IpiDuplicate,
        Self::IpiMisroute,
        Self::IpiReorder,
        Self::IrqDrop,
        Self::IrqSpurious,
        Self::Nmi,
        Self::Exception,
        Self::VcpuStall,
        Self::VcpuStart,
        Self::BitFlip,
        Self::MsrFail,
        Self::MsrLie,
        Self::TscOffset,
        Self::TscJump,
        Self::TscDrift,
        Self::ClockJump,
        Self::DiskError,
        Self::DiskTorn,
        Self::DiskLost,
        Self::DiskDelay,
        Self::DiskFull,
    ];

    /// The name in a specification.
    pub fn name(self) -> &'static str {
        match self {
            Self::IpiDrop => "ipi-drop",
            Self::IpiDelay => "ipi-delay",
            Self::IpiDuplicate => "ipi-duplicate",
            Self::IpiMisroute => "ipi-misroute",
            Self::IpiReorder => "ipi-reorder",
            Self::IrqDrop => "irq-drop",
            Self::IrqSpurious => "irq-spurious",
            Self::Nmi => "nmi",
            Self::Exception => "exception",
            Self::VcpuStall => "vcpu-stall",
            Self::VcpuStart => "vcpu-start",
            Self::BitFlip => "bit-flip",
            Self::MsrFail => "msr-fail",
            Self::MsrLie => "msr-lie",
            Self::TscOffset => "tsc-offset",
            Self::TscJump => "tsc-jump",
            Self::TscDrift => "tsc-drift",
            Self::ClockJump => "clock-jump",
            Self::DiskError => "disk-error",
            Self::DiskTorn => "disk-torn",
            Self::DiskLost => "disk-lost",
            Self::DiskDelay => "disk-delay",
            Self::DiskFull => "disk-full",
        }
    }

    /// Whether it strikes an IPI when it is sent.
    pub fn is_of_ipi(self) -> bool {
        matches!(
            self,
            Self::IpiDrop
                | Self::IpiDelay
                | Self::IpiDuplicate
                | Self::IpiMisroute
                | Self::IpiReorder
        )
    }

    /// Whether it strikes a disk's request. Only the parallel scheduler has disks.
    pub fn is_of_disk(self) -> bool {
        matches!(
            self,
            Self::DiskError | Self::DiskTorn | Self::DiskLost | Self::DiskDelay | Self::DiskFull
        )
    }

    /// Whether it strikes accesses to a model-specific register.
    pub fn is_of_msr(self) -> bool {
        matches!(self, Self::MsrFail | Self::MsrLie)
    }

    /// Whether it concerns a vCPU's time-stamp counter.
    pub fn is_of_tsc(self) -> bool {
        matches!(self, Self::TscOffset | Self::TscJump | Self::TscDrift)
    }

    /// Whether it is in force from the machine's start, and so has no time at which it strikes.
    pub fn is_from_start(self) -> bool {
        matches!(self, Self::VcpuStart | Self::TscOffset | Self::TscDrift)
    }

    /// Whether it strikes in real time when its time has come.
    pub fn has_time(self) -> bool {
        matches!(
            self,
            Self::Nmi
                | Self::IrqSpurious
                | Self::Exception
                | Self::VcpuStall
                | Self::BitFlip
                | Self::TscJump
                | Self::ClockJump
        )
    }

    /// Whether the parallel scheduler has it.
    pub fn is_for_run(self) -> bool {
        !self.is_of_ipi() && self != Self::IrqDrop
    }

    /// Whether the controlled scheduler has it.
    pub fn is_for_hunt(self) -> bool {
        self.is_of_ipi()
            || matches!(self, Self::IrqDrop | Self::IrqSpurious | Self::Nmi | Self::BitFlip)
    }

    /// How often it strikes in a run if its specification says nothing about it.
    pub(super) fn default_times(self) -> u32 {
        if self.is_of_msr() || self == Self::DiskFull { super::FaultSpec::UNLIMITED } else { 1 }
    }

    /// The time that the fault takes if its specification gives none; `None` if it takes no time.
    pub(super) fn default_time(self) -> Option<Duration> {
        match self {
            Self::IpiDelay | Self::IpiDuplicate => Some(DELAY),
            Self::IpiReorder => Some(REORDER),
            Self::DiskDelay => Some(DISK_DELAY),
            Self::VcpuStall => Some(STALL),
            _ => None,
        }
    }
}

/// Longer than most waits for an answer within a guest of a few thousand scheduling points, each of
/// which takes 1 us.
const DELAY: Duration = Duration::from_micros(100);
/// By when an IPI that was to follow another is delivered at the latest: the guest may send none.
const REORDER: Duration = Duration::from_millis(10);

/// A request that a worn disk tries again: longer than any other, and shorter than time limits of
/// drivers (30 s in Linux).
const DISK_DELAY: Duration = Duration::from_millis(100);

/// How long a hypervisor on a loaded host keeps a vCPU waiting: some of its scheduler's slices.
const STALL: Duration = Duration::from_millis(100);
