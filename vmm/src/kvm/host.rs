//! The KVM device: opened once, and queried for its capabilities.

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use kvm_bindings::KVM_API_VERSION;
use kvm_ioctls::{Cap, Kvm};

use super::{DebugCapabilities, failed, state};
use crate::error::{Error, Result};
use crate::identity::CpuidEntry;

/// The usual path of the KVM device.
pub const DEFAULT_DEVICE: &str = "/dev/kvm";

/// An open KVM device with the capabilities that jitterbug needs. A clone refers to the same open
/// device.
#[derive(Clone, Debug)]
pub struct Host {
    device: Arc<Device>,
}

#[derive(Debug)]
struct Device {
    kvm: Kvm,
    /// Queried once: the call takes longer than creating a vCPU.
    supported_cpuid: OnceLock<Vec<CpuidEntry>>,
    /// Determined once, by self-tests.
    stopping: OnceLock<DebugCapabilities>,
    /// Determined once, by self-tests.
    watchpoints: OnceLock<bool>,
}

impl Host {
    /// Opens the device and checks its version and the capabilities that every machine needs.
    pub fn open(path: &Path) -> Result<Self> {
        let refuse = |hint, source| Error::KvmDevice { path: path.into(), hint, source };
        let c_path = CString::new(path.as_os_str().as_bytes())
            .map_err(|error| refuse("not a path", io::Error::other(error)))?;
        let kvm = Kvm::new_with_path(&c_path).map_err(|errno| {
            let source = io::Error::from(errno);
            refuse(hint_for(&source), source)
        })?;
        let version = kvm.get_api_version();
        if version != KVM_API_VERSION as i32 {
            return Err(refuse(
                "not a KVM device of API version 12: name the right one by --kvm",
                io::Error::other(format!("KVM_GET_API_VERSION says {version}")),
            ));
        }
        let (supported_cpuid, stopping) = (OnceLock::new(), OnceLock::new());
        let watchpoints = OnceLock::new();
        let device = Device { kvm, supported_cpuid, stopping, watchpoints };
        let host = Self { device: Arc::new(device) };
        host.require(Cap::UserMemory, "KVM_CAP_USER_MEMORY", "give a guest its memory")?;
        host.require(Cap::ImmediateExit, "KVM_CAP_IMMEDIATE_EXIT", "kick a vCPU safely")?;
        host.require(Cap::ExtCpuid, "KVM_CAP_EXT_CPUID", "tell the guest what it runs on")?;
        Ok(host)
    }

    /// Whether the host has a capability.
    pub fn has(&self, capability: Cap) -> bool {
        self.kvm().check_extension(capability)
    }

    /// Whether memory slots can be read-only: loads don't exit, stores do.
    pub(crate) fn has_read_only_slots(&self) -> bool {
        self.has(Cap::ReadonlyMem)
    }

    /// The value of a capability, by its number in the KVM API; 0 if the host doesn't know it.
    pub fn capability(&self, number: u32) -> i32 {
        self.kvm().check_extension_raw(number.into())
    }

    /// Fails with the capability's name if it is missing.
    pub fn require(
        &self,
        capability: Cap,
        name: &'static str,
        purpose: &'static str,
    ) -> Result<()> {
        if self.has(capability) {
            Ok(())
        } else {
            Err(Error::Capability { capability: name, purpose })
        }
    }

    /// The maximum number of vCPUs of a machine on this host.
    pub fn max_vcpus(&self) -> usize {
        self.kvm().get_max_vcpus()
    }

    /// The CPUID leaves that KVM supports for guests.
    pub fn supported_cpuid(&self) -> Result<Vec<CpuidEntry>> {
        if let Some(known) = self.device.supported_cpuid.get() {
            return Ok(known.clone());
        }
        let cpuid = self
            .kvm()
            .get_supported_cpuid(kvm_bindings::KVM_MAX_CPUID_ENTRIES)
            .map_err(failed("KVM_GET_SUPPORTED_CPUID"))?;
        let leaves: Vec<_> = cpuid.as_slice().iter().map(state::cpuid_from_kvm).collect();
        Ok(self.device.supported_cpuid.get_or_init(|| leaves).clone())
    }

    pub(super) fn kvm(&self) -> &Kvm {
        &self.device.kvm
    }

    /// The debug capabilities of this host, determined by the first call, with `find`.
    pub(crate) fn stopping(&self, find: impl FnOnce() -> DebugCapabilities) -> DebugCapabilities {
        *self.device.stopping.get_or_init(find)
    }

    /// Whether data watchpoints work, determined by the first call, with `find`.
    pub(crate) fn watchpoints(&self, find: impl FnOnce() -> bool) -> bool {
        *self.device.watchpoints.get_or_init(find)
    }
}

fn hint_for(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => {
            "no such device: load kvm-intel or kvm-amd, turn on virtualisation in the firmware \
             (or nested virtualisation in the outer hypervisor), name another device by --kvm, or \
             run in an emulated machine by --bed"
        }
        io::ErrorKind::PermissionDenied => {
            "no permission: join the group kvm (`sudo usermod -aG kvm $USER`, then log in again), or \
             run in an emulated machine by --bed"
        }
        _ => "the KVM device can't be opened",
    }
}
