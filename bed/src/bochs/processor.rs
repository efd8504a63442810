//! The processors that Bochs emulates for the Intel host.

/// A processor of the Intel host, by what `kvm-intel` finds in it or is told not to use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Processor {
    /// A Haswell with everything that it has: EPT, unrestricted guest, virtual NMIs.
    #[default]
    Haswell,
    /// Without EPT (and so without unrestricted guest): KVM keeps shadow page tables.
    NoEpt,
    /// With EPT, but without unrestricted guest, `FlexPriority` and virtual NMIs, like the
    /// first processors with EPT: KVM emulates real mode, and waits for a moment when interrupts
    /// are enabled before it injects an NMI.
    NoUnrestrictedGuest,
    /// A Skylake server, which has TSC scaling.
    Skylake,
}

impl Processor {
    /// All processors.
    pub(crate) const ALL: [Self; 4] =
        [Self::Haswell, Self::NoEpt, Self::NoUnrestrictedGuest, Self::Skylake];

    /// The value of the option `--bed`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Haswell => "intel",
            Self::NoEpt => "intel-no-ept",
            Self::NoUnrestrictedGuest => "intel-no-unrestricted-guest",
            Self::Skylake => "intel-skylake",
        }
    }

    /// What differs from the others, for `--help`.
    pub(crate) fn about(self) -> &'static str {
        match self {
            Self::Haswell => "A processor with VMX and kvm-intel, emulated by Bochs: a Haswell",
            Self::NoEpt => "The same without EPT",
            Self::NoUnrestrictedGuest => {
                "The same without unrestricted guest, FlexPriority and virtual NMIs"
            }
            Self::Skylake => "A Skylake server with VMX and TSC scaling, without APICv",
        }
    }

    /// The name of the model in Bochs' configuration.
    pub(super) fn model(self) -> &'static str {
        match self {
            Self::Haswell | Self::NoEpt | Self::NoUnrestrictedGuest => "corei7_haswell_4770",
            Self::Skylake => "corei7_skylake_x",
        }
    }

    /// Options of the kernel for this processor.
    pub(super) fn kernel_options(self) -> &'static str {
        match self {
            // Bochs' XSAVES faults where the kernel expects that it doesn't.
            Self::Skylake => " noxsaves",
            _ => "",
        }
    }

    /// Options of the module `kvm_intel`.
    pub(crate) fn module_options(self) -> &'static str {
        match self {
            Self::Haswell => "",
            Self::NoEpt => "ept=0",
            Self::NoUnrestrictedGuest => "unrestricted_guest=0 flexpriority=0 vnmi=0",
            // With APICv, entries to the guest fail in Bochs.
            Self::Skylake => "enable_apicv=0",
        }
    }
}
