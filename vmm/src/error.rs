//! The errors of this crate, classified by who can correct them.

use std::io;
use std::path::PathBuf;

use crate::unsupported::{UnsupportedAccess, Watcher};

/// The result type of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Who can correct an error: it determines the program's exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorClass {
    /// The user: a wrong option or a bad file.
    Input,
    /// The host: it lacks or refuses something.
    Host,
}

/// The most characters of a value that a message repeats.
const MAX_SHOWN: usize = 60;

/// The beginning of a value, for a message.
fn shown(value: &str) -> String {
    match value.char_indices().nth(MAX_SHOWN) {
        Some((end, _)) => format!("{}...", &value[..end]),
        None => value.into(),
    }
}

/// An error of the machine or of its host.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting that makes no sense.
    #[error("{setting} {}: {problem}", shown(value))]
    Config {
        /// The setting's name as users write it.
        setting: &'static str,
        /// The value that was given.
        value: String,
        /// What is wrong with the value, and what would be right.
        problem: String,
    },
    /// The run was cancelled; its result is no longer wanted.
    #[error("cancelled")]
    Cancelled,
    /// A guest image that can't be booted.
    #[error("guest image {name}: {problem}")]
    Image {
        /// The file's name or the catalogue's name for it.
        name: String,
        /// What is wrong with the image, and what would be right.
        problem: String,
    },
    /// The KVM device can't be opened.
    #[error("{path}: {hint}")]
    KvmDevice {
        /// The device's path.
        path: PathBuf,
        /// How to correct the problem.
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
        /// What jitterbug needs the capability for.
        purpose: &'static str,
    },
    /// KVM can't create another vCPU.
    #[error("vCPU {vcpu} can't be created: {hint}")]
    VcpuLimit {
        /// The vCPU's number.
        vcpu: u32,
        /// The limit that was hit, and how to avoid it.
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
    /// The host can't provide the guest's memory.
    #[error("{bytes} bytes of guest memory can't be had ({cause}): use a smaller --mem")]
    NoMemory {
        /// The size that was asked for.
        bytes: u64,
        /// The cause, as text: vm-memory's errors repeat the text of their sources.
        cause: String,
    },
    /// An access to guest-physical memory that doesn't exist.
    #[error("no guest memory at {address:#x} (+{length} bytes)")]
    Unbacked {
        /// The guest-physical address.
        address: u64,
        /// The length in bytes.
        length: usize,
    },
    /// The guest uses a trapped page in a way that can't be trapped.
    #[error("vCPU {vcpu} at RIP {rip:#x}: {unsupported}{by}")]
    Trapped {
        /// The vCPU.
        vcpu: u32,
        /// The vCPU's RIP: of a store, the address behind the instruction.
        rip: u64,
        /// The unsupported access.
        unsupported: UnsupportedAccess,
        /// Why the page is trapped.
        by: Watcher,
    },
    /// An instruction that can't be single-stepped on this host.
    #[error(
        "vCPU {vcpu} at RIP {rip:#x}: {problem}: use --granularity watch here, or another host"
    )]
    Step {
        /// The vCPU.
        vcpu: u32,
        /// The vCPU's RIP.
        rip: u64,
        /// Why the instruction can't be stepped.
        problem: &'static str,
    },
    /// A machine can't be saved or restored.
    #[error("no snapshot: {problem}")]
    Snapshot {
        /// The reason.
        problem: String,
    },
    /// A memory dump can't be written.
    #[error("the dump {path} can't be written")]
    Dump {
        /// The dump's path.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// A hook asked for an action that a controlled run can't perform.
    #[error("{what} at point {point}: a controlled run does only what its schedule says")]
    Unrepeatable {
        /// The action.
        what: &'static str,
        /// The scheduling point.
        point: u64,
    },
    /// Another service of the host failed.
    #[error("{what}")]
    System {
        /// What jitterbug was trying to do.
        what: &'static str,
        /// The system's error.
        #[source]
        source: io::Error,
    },
}

impl Error {
    /// Who can correct the error.
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
