//! What can go wrong, and whose business it is.

use std::io;
use std::path::PathBuf;

use crate::unsupported::{UnsupportedAccess, Watcher};

/// The result of everything in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Who can do something about an error; the program's exit status follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorClass {
    /// The user: a wrong option or a bad file.
    Input,
    /// The host: it lacks or refuses something.
    Host,
}

/// An error of the machine or of its host.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting that makes no sense.
    #[error("{setting} {value}: {problem}")]
    Config {
        /// The setting, as users spell it.
        setting: &'static str,
        /// What was given.
        value: String,
        /// What is wrong with it, and what would be right.
        problem: String,
    },
    /// Whoever asked for it wants it no more.
    #[error("cancelled")]
    Cancelled,
    /// A guest image that can't be booted.
    #[error("guest image {name}: {problem}")]
    Image {
        /// The file or the catalogue's name.
        name: String,
        /// What is wrong with it, and what would be right.
        problem: String,
    },
    /// The KVM device can't be opened.
    #[error("{path}: {hint}")]
    KvmDevice {
        /// The device.
        path: PathBuf,
        /// What to do about it.
        hint: &'static str,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// KVM lacks something that jitterbug can't do without.
    #[error("this host's KVM has no {capability}, which jitterbug needs to {purpose}")]
    Capability {
        /// The capability's name in the KVM API.
        capability: &'static str,
        /// What it is for.
        purpose: &'static str,
    },
    /// KVM can't make another vCPU.
    #[error("vCPU {vcpu} can't be created: {hint}")]
    VcpuLimit {
        /// The vCPU's number.
        vcpu: u32,
        /// The limit that was hit and how to get round it.
        hint: String,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// A KVM call failed.
    #[error("{call} failed")]
    Kvm {
        /// The call's name in the KVM API.
        call: &'static str,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// The host can't give the guest its memory.
    #[error("{bytes} bytes of guest memory can't be had ({cause}): use a smaller --mem")]
    NoMemory {
        /// How much was asked for.
        bytes: u64,
        /// The cause; a text, because vm-memory's errors repeat theirs.
        cause: String,
    },
    /// An access to guest-physical memory that isn't there.
    #[error("no guest memory at {address:#x} (+{length} bytes)")]
    Unbacked {
        /// Guest-physical address.
        address: u64,
        /// Bytes.
        length: usize,
    },
    /// The guest uses a watched page in a way that can't be watched.
    #[error("vCPU {vcpu} at RIP {rip:#x}: {unsupported}{by}")]
    Trapped {
        /// The vCPU.
        vcpu: u32,
        /// Where it is; behind the instruction if that stores.
        rip: u64,
        /// What it does.
        unsupported: UnsupportedAccess,
        /// Who watches the page.
        by: Watcher,
    },
    /// An instruction that this host can't step.
    #[error(
        "vCPU {vcpu} at RIP {rip:#x}: {problem}: use --granularity watch here, or another host"
    )]
    Step {
        /// The vCPU.
        vcpu: u32,
        /// Where it is.
        rip: u64,
        /// What it is about.
        problem: &'static str,
    },
    /// A machine can't be saved or put back.
    #[error("no snapshot: {problem}")]
    Snapshot {
        /// Why not.
        problem: String,
    },
    /// A machine can't be dumped.
    #[error("the dump {path} can't be written")]
    Dump {
        /// The file.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// A hook wants what this run can't do.
    #[error("{what} at point {point}: a controlled run does only what its schedule says")]
    Unrepeatable {
        /// What a hook has done.
        what: &'static str,
        /// The scheduling point.
        point: u64,
    },
    /// Some other service of the host failed.
    #[error("{what}")]
    System {
        /// What jitterbug was doing.
        what: &'static str,
        /// The system's error.
        #[source]
        source: io::Error,
    },
}

impl Error {
    /// Who can do something about it.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Config { .. }
            | Self::Image { .. }
            | Self::Unbacked { .. }
            | Self::Dump { .. }
            | Self::Unrepeatable { .. }
            | Self::Trapped { .. }
            | Self::Cancelled => ErrorClass::Input,
            Self::KvmDevice { .. }
            | Self::Capability { .. }
            | Self::VcpuLimit { .. }
            | Self::Kvm { .. }
            | Self::NoMemory { .. }
            | Self::Step { .. }
            | Self::Snapshot { .. }
            | Self::System { .. } => ErrorClass::Host,
        }
    }
}
