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
    /// A disk's request fails.
    DiskError,
    /// A write to a disk is done only in part, and reported as done.
    DiskTorn,
    /// A write to a disk, or a flush, is not done, and reported as done.
    DiskLost,
    /// A disk's request is late.
    DiskDelay,
}

impl FaultKind {
    /// All kinds.
    pub const ALL: [Self; 12] = [
        Self::IpiDrop,
        Self::IpiDelay,
        Self::IpiDuplicate,
        Self::IpiMisroute,
        Self::IpiReorder,
        Self::IrqDrop,
        Self::IrqSpurious,
        Self::Nmi,
        Self::DiskError,
        Self::DiskTorn,
        Self::DiskLost,
        Self::DiskDelay,
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
            Self::DiskError => "disk-error",
            Self::DiskTorn => "disk-torn",
            Self::DiskLost => "disk-lost",
            Self::DiskDelay => "disk-delay",
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
        matches!(self, Self::DiskError | Self::DiskTorn | Self::DiskLost | Self::DiskDelay)
    }

    /// Whether the parallel scheduler has it.
    pub fn is_for_run(self) -> bool {
        self.is_of_disk() || matches!(self, Self::Nmi | Self::IrqSpurious)
    }

    /// The time that the fault takes if its specification gives none; `None` if it takes no time.
    pub(super) fn default_time(self) -> Option<Duration> {
        match self {
            Self::IpiDelay | Self::IpiDuplicate => Some(DELAY),
            Self::IpiReorder => Some(REORDER),
            Self::DiskDelay => Some(DISK_DELAY),
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
