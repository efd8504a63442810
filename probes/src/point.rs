//! Probe points: those that this version has, and those of `VProbes` that it knows but lacks.

use std::fmt;
use std::time::Duration;

use crate::suggest::nearest;

/// A point at which a probe fires, on every vCPU, in the vCPU's context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// Once before the vCPU's first instruction. For an AP this is long before it is started.
    VmmLoad,
    /// Once after the vCPU's last instruction.
    VmmUnload,
    /// Once a second of machine time, if the vCPU has been started.
    Vmm1Hz,
    /// Ten times a second of machine time, if the vCPU has been started.
    Vmm10Hz,
}

impl Point {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::VmmLoad, Self::VmmUnload, Self::Vmm1Hz, Self::Vmm10Hz];

    /// The name in scripts.
    pub fn name(self) -> &'static str {
        match self {
            Self::VmmLoad => "VMMLoad",
            Self::VmmUnload => "VMMUnload",
            Self::Vmm1Hz => "VMM1Hz",
            Self::Vmm10Hz => "VMM10Hz",
        }
    }

    /// How often a timer fires; `None` for the others.
    pub fn period(self) -> Option<Duration> {
        match self {
            Self::Vmm1Hz => Some(Duration::from_secs(1)),
            Self::Vmm10Hz => Some(Duration::from_millis(100)),
            Self::VmmLoad | Self::VmmUnload => None,
        }
    }

    /// Looks a point up by its name in scripts.
    pub fn find(name: &str) -> Result<Self, NoPoint> {
        if let Some(point) = Self::ALL.into_iter().find(|point| point.name() == name) {
            return Ok(point);
        }
        if let Some(reason) = missing(name) {
            return Err(NoPoint::Missing { name: name.into(), reason });
        }
        let suggestion = nearest(name, Self::ALL.map(Self::name));
        Err(NoPoint::Unknown { name: name.into(), suggestion })
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a name is no probe point.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoPoint {
    /// `VProbes` has it, this version doesn't.
    #[error("probe point {name} is not available: {reason}")]
    Missing {
        /// The name.
        name: String,
        /// Why not.
        reason: &'static str,
    },
    /// Nobody has it.
    #[error("unknown probe point {name}")]
    Unknown {
        /// The name.
        name: String,
        /// The point that looks most like it.
        suggestion: Option<&'static str>,
    },
}

const NOT_YET: &str = "this version doesn't have it yet";
const NO_VMX: &str = "it belongs to VMware's VMX process; the VMM points fire on every vCPU";
const NO_VMKERNEL: &str = "there is no vmkernel below this machine";

/// Points of `VProbes` by their exact names.
const MISSING: &[(&str, &str)] = &[
    ("VMX1Hz", NO_VMX),
    ("VMXLoad", NO_VMX),
    ("VMXUnload", NO_VMX),
    ("VMK1Hz", NO_VMKERNEL),
    ("Guest_IRQ", NOT_YET),
    ("Guest_CR3Write", "KVM handles writes to CR3 itself"),
    ("Guest_TripleFault", NOT_YET),
    ("HV_Exit", NOT_YET),
    ("HV_Resume", NOT_YET),
    ("HV_NPF", "KVM handles nested page faults itself"),
    ("In", NOT_YET),
    ("Out", NOT_YET),
    ("Disk_IOStart", "the machine has no disk"),
    ("Disk_IOFinish", "the machine has no disk"),
    ("MAC_SendPacket", "the machine has no network adapter"),
    ("MAC_ReceivePacket", "the machine has no network adapter"),
    ("SMM_SMIPre", "the machine has no system management mode"),
    ("SMM_SMIPost", "the machine has no system management mode"),
    ("SMM_RSMPre", "the machine has no system management mode"),
    ("SMM_RSMPost", "the machine has no system management mode"),
];

/// The exceptions of `Guest_...`.
const EXCEPTIONS: &[&str] = &[
    "DE",
    "DB",
    "NMI",
    "BP",
    "OF",
    "BR",
    "UD",
    "NM",
    "DF",
    "TS",
    "RESERVED_FAULT",
    "NP",
    "SS",
    "GP",
    "PF",
    "MF",
    "AC",
    "MC",
    "XF",
];

/// Families of points, by how their names begin.
const FAMILIES: &[(&str, &str)] = &[
    ("VMM:ENTER:", "it probes VMware's own monitor"),
    ("VMM:EXIT:", "it probes VMware's own monitor"),
    ("VMM:OFFSET:", "it probes VMware's own monitor"),
    ("MONITOR:", "it probes VMware's own monitor"),
    ("VMK:", NO_VMKERNEL),
    ("VMKERNEL", NO_VMKERNEL),
    ("VMX:", NO_VMX),
    ("POSIX:", NO_VMX),
    ("VMM:", NOT_YET),
    ("GUEST:", NOT_YET),
    ("GUEST_READ:", NOT_YET),
    ("GUEST_WRITE:", NOT_YET),
    ("USEC:", NOT_YET),
];

fn missing(name: &str) -> Option<&'static str> {
    if let Some((_, reason)) = MISSING.iter().find(|(known, _)| *known == name) {
        return Some(reason);
    }
    if name.strip_prefix("Guest_").is_some_and(|exception| EXCEPTIONS.contains(&exception)) {
        return Some(NOT_YET);
    }
    FAMILIES.iter().find(|(prefix, _)| name.starts_with(prefix)).map(|(_, reason)| *reason)
}

#[cfg(test)]
#[path = "point_tests.rs"]
mod tests;
