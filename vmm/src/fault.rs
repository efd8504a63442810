//! Faults that are injected into a machine, as given by `--fault`.
//!
//! ```text
//! SPEC := KIND (':' SETTING (',' SETTING)*)?
//! SETTING := KEY '=' VALUE | COUNT
//! ```
//! A fault says what goes wrong, where it may strike, and how often at most in a run. Under the
//! controlled scheduler, where it does strike is a [choice](crate::controlled::Choice::Fault), so a
//! schedule holds it and a replay repeats it. Under the parallel scheduler,
//! [faults of disks](crate::disk::DiskFaults) strike wherever they match, or with a probability,
//! and [the others](crate::run_faults::RunFaults) at the times that they name.

mod injection;
mod kind;
mod spec;
mod values;
mod when;

use std::fmt;
use std::time::Duration;

use devices::lapic::IpiMode;

pub use injection::{Injection, MsrFault};
pub use kind::FaultKind;
pub use when::When;

/// What a disk's request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskOperation {
    /// It reads.
    Read,
    /// It writes.
    Write,
    /// It makes durable what was written.
    Flush,
}

impl DiskOperation {
    const ALL: [(Self, &'static str); 3] =
        [(Self::Read, "read"), (Self::Write, "write"), (Self::Flush, "flush")];
}

/// A probability in millionths, from 1 to 1,000,000.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Millionths(u32);

impl Millionths {
    const ONE: u32 = 1_000_000;

    /// `None` unless `probability` is from 0.000001 to 1.
    fn new(probability: f64) -> Option<Self> {
        let millionths = (probability * f64::from(Self::ONE)).round();
        (1.0..=f64::from(Self::ONE)).contains(&millionths).then_some(Self(millionths as u32))
    }

    /// The probability.
    pub fn get(self) -> f64 {
        f64::from(self.0) / f64::from(Self::ONE)
    }
}

/// The delivery mode of an IPI, as a specification names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IpiClass {
    /// A vector, also for the target with the lowest priority.
    Fixed,
    /// An NMI.
    Nmi,
    /// An INIT.
    Init,
    /// A SIPI.
    Sipi,
}

impl IpiClass {
    const ALL: [(Self, &'static str); 4] =
        [(Self::Fixed, "fixed"), (Self::Nmi, "nmi"), (Self::Init, "init"), (Self::Sipi, "sipi")];

    /// The class of a delivery mode. `None` for IPIs that have no effect here.
    pub fn of(mode: IpiMode) -> Option<Self> {
        match mode {
            IpiMode::Fixed { .. } | IpiMode::LowestPriority { .. } => Some(Self::Fixed),
            IpiMode::Nmi => Some(Self::Nmi),
            IpiMode::Init => Some(Self::Init),
            IpiMode::Startup { .. } => Some(Self::Sipi),
            IpiMode::Smi | IpiMode::InitDeassert => None,
        }
    }
}

/// A fault: what goes wrong, where it may strike, and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultSpec {
    /// What goes wrong.
    pub kind: FaultKind,
    /// The vCPU at which it strikes: the sender of an IPI, or the vCPU that loses or gets an
    /// interrupt. `None` for any.
    pub vcpu: Option<u32>,
    /// The target of an IPI. `None` for all targets together.
    pub to: Option<u32>,
    /// The vector of the interrupt. `None` for any.
    pub vector: Option<u8>,
    /// The delivery mode of an IPI. `None` for any.
    pub mode: Option<IpiClass>,
    /// The number of the disk, from 0. `None` for any.
    pub disk: Option<u32>,
    /// What the disk's request does, or the access to the register. `None` for any.
    pub operation: Option<DiskOperation>,
    /// The number of the model-specific register.
    pub msr: Option<u32>,
    /// The value that it seems to have.
    pub value: Option<u64>,
    /// The linear address of what is struck in memory, or that a page fault is for.
    pub address: Option<u64>,
    /// The guest-physical address of what is struck in memory.
    pub physical: Option<u64>,
    /// The symbol whose address [`Self::resolve`] has to find.
    pub symbol: Option<String>,
    /// The bit, counted from the lowest one at the address. `None`: it is drawn.
    pub bit: Option<u32>,
    /// The error code of an exception. `None` for 0.
    pub error_code: Option<u32>,
    /// By how much a clock is wrong, in nanoseconds.
    pub by: Option<i64>,
    /// By how many millionths the rate of a clock is wrong.
    pub ppm: Option<i32>,
    /// A sector that the disk's request contains. `None` for any.
    pub sector: Option<u64>,
    /// The linear address of the instruction at which it strikes, if [`Self::at`] names a symbol,
    /// whose address [`Self::resolve`] has to find.
    pub at_address: Option<u64>,
    /// When it strikes for the first time, in real time. `None` under the controlled scheduler,
    /// where the search chooses, and for faults of disks.
    pub at: Option<When>,
    /// The time from one strike to the next, in real time.
    pub every: Option<Duration>,
    /// The probability with which it strikes a disk's request that matches, or each time that its
    /// time has come. `None` for 1.
    pub probability: Option<Millionths>,
    /// It strikes only the n-th event that matches, or at the n-th execution of a symbol, from 1.
    /// `None` for any.
    pub nth: Option<u64>,
    /// How often it strikes in a run at most; [`FaultSpec::UNLIMITED`] for no limit.
    pub times: u32,
    /// How late an IPI is, in virtual time, or a disk's request, in real time.
    pub time: Option<Duration>,
}

impl FaultSpec {
    /// The number of times of a fault that strikes as often as its time comes.
    pub const UNLIMITED: u32 = u32::MAX;

    /// A fault of this kind that may strike anywhere, once.
    pub fn new(kind: FaultKind) -> Self {
        Self {
            kind,
            vcpu: None,
            to: None,
            vector: None,
            mode: None,
            disk: None,
            operation: None,
            sector: None,
            msr: None,
            value: None,
            address: None,
            physical: None,
            symbol: None,
            bit: None,
            error_code: None,
            by: None,
            ppm: None,
            at_address: None,
            at: None,
            every: None,
            probability: None,
            nth: None,
            times: kind.default_times(),
            time: kind.default_time(),
        }
    }

    /// Finds the addresses of its symbols by `find`, if it names any and has no address yet.
    pub fn resolve<E>(&mut self, find: impl Fn(&str) -> Result<u64, E>) -> Result<(), E> {
        if let (Some(When::Symbol(symbol)), None) = (&self.at, self.at_address) {
            self.at_address = Some(find(symbol)?);
        }
        if let (Some(symbol), None) = (&self.symbol, self.address) {
            self.address = Some(find(symbol)?);
        }
        Ok(())
    }

    /// The targets of an IPI that the fault may strike: bit n stands for vCPU n.
    pub(crate) fn targets(&self, sender: u32, mode: IpiMode, targets: u64) -> u64 {
        let class = IpiClass::of(mode);
        let vector = match mode {
            IpiMode::Fixed { vector } | IpiMode::LowestPriority { vector } => Some(vector),
            _ => None,
        };
        let matches = class.is_some()
            && self.vcpu.is_none_or(|vcpu| vcpu == sender)
            && self.mode.is_none_or(|mode| Some(mode) == class)
            && self.vector.is_none_or(|wanted| Some(wanted) == vector);
        let meant = self.to.map_or(u64::MAX, |to| 1u64.checked_shl(to).unwrap_or(0));
        if matches { targets & meant } else { 0 }
    }

    /// Whether it may strike this interrupt at this vCPU.
    pub(crate) fn covers(&self, vcpu: u32, vector: u8) -> bool {
        self.vcpu.is_none_or(|wanted| wanted == vcpu)
            && self.vector.is_none_or(|wanted| wanted == vector)
    }
}

/// What a fault did in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Strike {
    /// The fault's number in the machine's configuration, from 1.
    pub number: u8,
    /// The scheduling point.
    pub point: u64,
    /// The vCPU at which it struck: the sender of an IPI, or the vCPU that lost or got an
    /// interrupt.
    pub vcpu: u32,
    /// The RIP of that vCPU.
    pub rip: u64,
    /// What it struck.
    pub event: Struck,
}

/// What a fault struck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Struck {
    /// An IPI.
    Ipi {
        /// What happened to it.
        kind: FaultKind,
        /// Its delivery mode.
        mode: IpiMode,
        /// The targets for which it happened: bit n stands for vCPU n.
        targets: u64,
        /// For [`FaultKind::IpiMisroute`]: the vCPU that got it.
        instead: u64,
    },
    /// An interrupt with this vector was lost.
    LostInterrupt(u8),
    /// An interrupt with this vector came that nothing had sent.
    SpuriousInterrupt(u8),
    /// An NMI came that nothing had sent.
    SpuriousNmi,
    /// A bit of the memory changed.
    Bit {
        /// The address that the fault names.
        address: u64,
        /// The bit, counted from the lowest one there.
        bit: u32,
    },
}

impl fmt::Display for Strike {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let vcpu = self.vcpu;
        match self.event {
            Struck::Ipi { kind, mode, targets, instead } => {
                let what = match mode {
                    IpiMode::Fixed { vector } | IpiMode::LowestPriority { vector } => {
                        format!("IPI with vector {vector:#x}")
                    }
                    IpiMode::Nmi => "NMI".into(),
                    IpiMode::Init => "INIT".into(),
                    IpiMode::Startup { .. } => "SIPI".into(),
                    IpiMode::Smi | IpiMode::InitDeassert => "IPI".into(),
                };
                write!(f, "the {what} from vCPU {vcpu} to {} ", names(targets))?;
                match kind {
                    FaultKind::IpiDelay => f.write_str("was delayed"),
                    FaultKind::IpiDuplicate => f.write_str("was duplicated"),
                    FaultKind::IpiMisroute => write!(f, "went to {}", names(instead)),
                    FaultKind::IpiReorder => f.write_str("was held back behind the next one"),
                    _ => f.write_str("was lost"),
                }
            }
            Struck::LostInterrupt(vector) => {
                write!(f, "vCPU {vcpu}'s interrupt with vector {vector:#x} was lost")
            }
            Struck::SpuriousInterrupt(vector) => {
                write!(f, "vCPU {vcpu} got an interrupt with vector {vector:#x} that nothing sent")
            }
            Struck::Bit { address, bit } => write!(
                f,
                "bit {bit} of the memory at {address:#x} changed while vCPU {vcpu} had stopped"
            ),
            Struck::SpuriousNmi => write!(f, "vCPU {vcpu} got an NMI that nothing sent"),
        }
    }
}

/// A set of vCPUs in words.
fn names(set: u64) -> String {
    let members: Vec<_> =
        (0..64).filter(|vcpu| set >> vcpu & 1 != 0).map(|vcpu| vcpu.to_string()).collect();
    match members.as_slice() {
        [one] => format!("vCPU {one}"),
        many => format!("vCPUs {}", many.join(", ")),
    }
}

#[cfg(test)]
#[path = "fault_tests.rs"]
mod tests;
