//! What watched pages can't be used for.

use std::fmt;

/// Something that a watched page can't be used for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnsupportedAccess {
    /// An access that KVM takes apart.
    Split {
        /// The instruction.
        instruction: String,
        /// Linear address.
        gva: u64,
        /// Guest-physical address of the part that is watched.
        gpa: u64,
        /// Bytes of the whole access.
        size: usize,
    },
    /// A part of a store that KVM takes apart.
    Part {
        /// The instruction.
        instruction: String,
        /// Guest-physical address of the part.
        gpa: u64,
    },
    /// An instruction that KVM's emulator can't do.
    Unsupported {
        /// The instruction.
        instruction: String,
        /// Linear address of its operand.
        gva: u64,
        /// The same, guest-physical.
        gpa: u64,
    },
    /// Instructions are fetched from it.
    Fetch {
        /// Guest-physical address.
        gpa: u64,
    },
    /// It holds a page table.
    PageTable {
        /// Guest-physical address of the table.
        gpa: u64,
        /// The CR3 that leads to it.
        cr3: u64,
    },
    /// It holds the stack of an event that is delivered.
    Stack {
        /// Linear address of the stack's top.
        gva: u64,
        /// The same, guest-physical.
        gpa: u64,
    },
    /// It holds a descriptor table or a TSS.
    Table {
        /// GDT, IDT, LDT or TSS.
        name: &'static str,
        /// Linear address of what is watched of it.
        gva: u64,
        /// The same, guest-physical.
        gpa: u64,
    },
}

impl fmt::Display for UnsupportedAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Split { instruction, gva, gpa, size } if *size > 8 => write!(
                f,
                "`{instruction}` accesses {size} bytes at {gva:#x} (gpa {gpa:#x}), and a watched \
                 page can be accessed by 8 bytes at a time: use smaller accesses, or move it"
            ),
            Self::Split { instruction, gva, gpa, size } => write!(
                f,
                "`{instruction}` accesses {size} bytes at {gva:#x} (gpa {gpa:#x}) across the edge of \
                 a watched page: align it, or move it"
            ),
            Self::Part { instruction, gpa } => write!(
                f,
                "`{instruction}` stores more at gpa {gpa:#x} than 8 bytes of one watched page: align \
                 it, use smaller accesses, or move it"
            ),
            Self::Unsupported { instruction, gva, gpa } => write!(
                f,
                "KVM can't do `{instruction}` at {gva:#x} (gpa {gpa:#x}), which is watched: use \
                 plain loads and stores there, or move it"
            ),
            Self::Fetch { gpa } => {
                write!(f, "its code at gpa {gpa:#x} is in a watched page: move it")
            }
            Self::PageTable { gpa, cr3 } => write!(
                f,
                "the page table at gpa {gpa:#x} (CR3 {cr3:#x}) is in a watched page: move it"
            ),
            Self::Stack { gva, gpa } => {
                write!(f, "its stack at {gva:#x} (gpa {gpa:#x}) is in a watched page: move it")
            }
            Self::Table { name, gva, gpa } => {
                write!(f, "its {name} at {gva:#x} (gpa {gpa:#x}) is in a watched page: move it")
            }
        }
    }
}

impl UnsupportedAccess {
    /// Guest-physical address of what is watched.
    pub fn gpa(&self) -> u64 {
        match self {
            Self::Split { gpa, .. }
            | Self::Part { gpa, .. }
            | Self::Unsupported { gpa, .. }
            | Self::Fetch { gpa }
            | Self::PageTable { gpa, .. }
            | Self::Stack { gpa, .. }
            | Self::Table { gpa, .. } => *gpa,
        }
    }
}

/// Who wants a page to be watched. Shown as the end of what to do about a [`UnsupportedAccess`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watcher {
    /// The controlled scheduler: it is what the vCPUs share.
    Scheduler,
    /// A hook.
    Hook,
}

impl fmt::Display for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scheduler => {
                " out of .shared (.data and .bss in an image without), or give --granularity \
                 instruction, which watches no pages"
            }
            Self::Hook => " off the page, or let probes watch something else",
        })
    }
}
