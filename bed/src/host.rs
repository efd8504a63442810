//! The two hosts that the test bed emulates, and what differs between them as plain facts.

use clap::ValueEnum;
use clap::builder::PossibleValue;

use crate::bochs::Processor;

/// The host that the test bed emulates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Host {
    /// A processor with SVM and `kvm-amd`, emulated by QEMU.
    #[default]
    Amd,
    /// A processor with VMX and `kvm-intel`, emulated by Bochs.
    Intel(Processor),
}

impl ValueEnum for Host {
    fn value_variants<'a>() -> &'a [Self] {
        const ALL: [Host; 1 + Processor::ALL.len()] = {
            let mut all = [Host::Amd; 1 + Processor::ALL.len()];
            let mut next = 0;
            while next < Processor::ALL.len() {
                all[1 + next] = Host::Intel(Processor::ALL[next]);
                next += 1;
            }
            all
        };
        &ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(match self {
            Self::Amd => {
                PossibleValue::new("amd").help("A processor with SVM and kvm-amd, emulated by QEMU")
            }
            Self::Intel(processor) => PossibleValue::new(processor.name()).help(processor.about()),
        })
    }
}

impl Host {
    /// The name of the emulator and the limits that a user has to know, for a message.
    pub fn emulator(self) -> &'static str {
        match self {
            Self::Amd => "QEMU",
            Self::Intel(_) => "Bochs (standard input only from a file)",
        }
    }

    /// The kernel modules that are needed: KVM, and what the streams need.
    pub(crate) fn modules(self) -> &'static [&'static str] {
        match self {
            Self::Amd => &["virtio_pci", "virtio_console", "kvm_amd"],
            // Serial ports are built into the kernel.
            Self::Intel(_) => &["kvm_intel"],
        }
    }

    /// The packages that are needed, except the kernel's.
    pub(crate) fn packages(self) -> &'static [&'static str] {
        match self {
            Self::Amd => &["busybox-static"],
            Self::Intel(_) => &[
                "busybox-static",
                "bochs",
                "bochs-term",
                "bochsbios",
                "vgabios",
                "isolinux",
                "syslinux-common",
                "xorriso",
                "libisoburn1",
                "libburn4",
                "libisofs6",
                "libjte2",
            ],
        }
    }

    /// The name of the folder of this host's parts. Parts with other contents need another name.
    pub(crate) fn kept(self) -> &'static str {
        match self {
            Self::Amd => "parts-3",
            Self::Intel(_) => "intel-3",
        }
    }

    /// The part of the machine's first script that connects the job's streams.
    pub(crate) fn streams(self) -> &'static str {
        match self {
            Self::Amd => include_str!("qemu/streams.sh"),
            Self::Intel(_) => include_str!("bochs/streams.sh"),
        }
    }

    /// The options of KVM's module for this processor.
    pub(crate) fn module_options(self) -> &'static str {
        match self {
            Self::Amd => "",
            Self::Intel(processor) => processor.module_options(),
        }
    }

    /// Whether the program's standard input is connected while it runs.
    pub(crate) fn has_live_input(self) -> bool {
        self == Self::Amd
    }

    /// Whether every byte counts that the emulated machine reads: Bochs loads the archive through
    /// an emulated CD-ROM drive, and QEMU copies it.
    pub(crate) fn is_slow_to_load(self) -> bool {
        matches!(self, Self::Intel(_))
    }
}
