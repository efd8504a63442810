//! All documented points as a table: for `docs/probes.md`, for lists and for suggestions.

use super::{Access, Class, Fixed, Mechanisms};

/// A documented point, or a family of points.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The point's name; `...` stands for what the script puts there.
    pub name: String,
    /// What kind of event the point is about.
    pub class: Class,
    /// What `ARG0` and the following arguments are.
    pub arguments: &'static [&'static str],
    /// The mechanism of the scheduler and the host that the point needs.
    pub mechanism: Mechanisms,
    /// Why no scheduler provides the point.
    pub never: Option<&'static str>,
}

impl Row {
    /// Why the point is not available with these mechanisms; `None` if it is.
    pub fn refusal(&self, mechanisms: Mechanisms) -> Option<&'static str> {
        self.never.or_else(|| (!mechanisms.contains(self.mechanism)).then(|| self.mechanism.lack()))
    }
}

const NO_VMX: &str = "it probes VMware's own VMX process";
const NO_MONITOR: &str = "it probes VMware's own monitor";
const NO_VMKERNEL: &str = "there is no vmkernel below this machine";
const NO_DISK: &str = "the machine's disks have no probe points";
const NO_NETWORK: &str = "the machine has no network adapter";
const NO_SMM: &str = "the machine has no system management mode";

/// Points of `VProbes` that KVM can't provide, by name.
const NEVER: &[(&str, Class, &str)] = &[
    ("VMK1Hz", Class::Timer, NO_VMKERNEL),
    ("Guest_CR3Write", Class::Exit, "KVM handles writes to CR3 itself"),
    ("HV_NPF", Class::Exit, "KVM handles nested page faults itself"),
    ("Disk_IOStart", Class::Device, NO_DISK),
    ("Disk_IOFinish", Class::Device, NO_DISK),
    ("MAC_SendPacket", Class::Device, NO_NETWORK),
    ("MAC_ReceivePacket", Class::Device, NO_NETWORK),
    ("SMM_SMIPre", Class::Interrupt, NO_SMM),
    ("SMM_SMIPost", Class::Interrupt, NO_SMM),
    ("SMM_RSMPre", Class::Interrupt, NO_SMM),
    ("SMM_RSMPost", Class::Interrupt, NO_SMM),
];

/// Families of points that are not available, by the beginning of their names.
const NEVER_FAMILIES: &[(&str, &str)] = &[
    ("VMM:ENTER:", NO_MONITOR),
    ("VMM:EXIT:", NO_MONITOR),
    ("VMM:OFFSET:", NO_MONITOR),
    ("MONITOR:", NO_MONITOR),
    ("VMK:", NO_VMKERNEL),
    ("VMKERNEL:", NO_VMKERNEL),
    ("VMKERNEL_RET:", NO_VMKERNEL),
    ("VMKERNEL_DYN:", NO_VMKERNEL),
    ("VMKERNEL_STEP:", NO_VMKERNEL),
    ("VMX:ENTER:", NO_VMX),
    ("VMX:EXIT:", NO_VMX),
    ("VMX:OFFSET:", NO_VMX),
    ("POSIX:", NO_VMX),
];

/// The timers' names.
const TIMERS: &[&str] = &[
    "VMM1Hz",
    "VMM10Hz",
    "VMX1Hz",
    "VMM:TIMER:...",
    "VMX:TIMER:...",
    "VMM:PROFILE:...",
    "VMX:PROFILE:...",
    "USEC:...",
];

/// Why no scheduler provides a point of this name.
pub(super) fn never(name: &str) -> Option<&'static str> {
    let exact = NEVER.iter().find(|(known, ..)| *known == name).map(|(.., reason)| *reason);
    exact.or_else(|| {
        let mut families = NEVER_FAMILIES.iter();
        families.find(|(prefix, _)| name.starts_with(prefix)).map(|(_, reason)| *reason)
    })
}

/// The names of points, for suggestions.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    let timers = TIMERS.iter().copied().filter(|name| !name.ends_with("..."));
    timers.chain(Fixed::ALL.iter().map(|fixed| fixed.name()))
}

/// All documented points.
pub fn rows() -> Vec<Row> {
    let timer = |name: &&str| Row {
        name: (*name).into(),
        class: Class::Timer,
        arguments: &[],
        mechanism: Mechanisms::empty(),
        never: None,
    };
    let fixed = |fixed: &Fixed| Row {
        name: fixed.name().into(),
        class: fixed.class(),
        arguments: fixed.arguments(),
        mechanism: fixed.mechanism(),
        never: None,
    };
    let address = |access: Access| Row {
        name: format!("GUEST:{}:...", access.name()),
        class: access.class(),
        arguments: access.arguments(),
        mechanism: access.mechanism(),
        never: None,
    };
    let register = |fixed: Fixed| Row {
        name: format!("{}:...", fixed.name()),
        class: fixed.class(),
        arguments: fixed.arguments(),
        mechanism: fixed.mechanism(),
        never: None,
    };
    let old = [
        ("GUEST:...", Access::Enter),
        ("GUEST_READ:...", Access::Read),
        ("GUEST_WRITE:...", Access::Write),
    ];
    let old = old.into_iter().map(|(name, access)| Row { name: name.into(), ..address(access) });
    let never = |(name, class, reason): &(&str, Class, &'static str)| Row {
        name: (*name).into(),
        class: *class,
        arguments: &[],
        mechanism: Mechanisms::empty(),
        never: Some(reason),
    };
    let family = |(prefix, reason): &(&str, &'static str)| Row {
        name: format!("{prefix}..."),
        class: Class::Address,
        arguments: &[],
        mechanism: Mechanisms::empty(),
        never: Some(reason),
    };
    let mut rows: Vec<Row> = TIMERS.iter().map(timer).collect();
    rows.extend(Fixed::ALL.iter().map(fixed));
    rows.extend([Fixed::MsrRead, Fixed::MsrWrite].map(register));
    rows.extend(Access::ALL.into_iter().map(address));
    rows.extend(old);
    rows.extend(NEVER.iter().map(never));
    rows.extend(NEVER_FAMILIES.iter().map(family));
    rows
}
