//! The seam at which hypervisors that a guest can see are added.

use devices::backdoor::RegisterPort;

use super::{CpuidEntry, Frequencies};

/// By what a guest recognises its hypervisor, and what the hypervisor tells it. The default is a
/// processor without one.
pub(crate) trait Enlightenment {
    /// Whether CPUID says that there is a hypervisor.
    fn is_present(&self) -> bool {
        true
    }

    /// Whether the guest sees the hypervisor leaves of the host's KVM.
    fn passes_kvm_leaves(&self) -> bool {
        false
    }

    /// The hypervisor's own CPUID leaves.
    fn leaves(&self, _frequencies: Frequencies) -> Vec<CpuidEntry> {
        Vec::new()
    }

    /// The port at which the guest calls it.
    fn port(&self, _frequencies: Frequencies) -> Option<Box<dyn RegisterPort>> {
        None
    }
}

/// KVM: its leaves are those of the host.
pub(super) struct Kvm;

impl Enlightenment for Kvm {
    fn passes_kvm_leaves(&self) -> bool {
        true
    }
}

/// No hypervisor.
pub(super) struct Bare;

impl Enlightenment for Bare {
    fn is_present(&self) -> bool {
        false
    }
}
