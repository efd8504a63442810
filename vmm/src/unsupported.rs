//! The accesses to trapped pages that are not supported.

use std::fmt;

/// An unsupported access to a trapped page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnsupportedAccess {
    /// An access that KVM splits.
    Split {
        /// The instruction, disassembled.
        instruction: String,
        /// The linear address.
        gva: u64,
        /// The guest-physical address of the trapped part.
        gpa: u64,
        /// The number of bytes of the whole access.
        size: usize,
    },
    /// One part of a store that KVM splits.
    Part {
        /// The instruction, disassembled.
        instruction: String,
        /// The guest-physical address of the part.
        gpa: u64,
    },
    /// An instruction that KVM's emulator can't execute.
    Unsupported {
        /// The instruction, disassembled.
        instruction: String,
        /// The linear address of its operand.
        gva: u64,
        /// The guest-physical address of its operand.
        gpa: u64,
    },
    /// The fetch of an instruction from the page.
    Fetch {
        /// The guest-physical address.
        gpa: u64,
    },
    /// A page table in the page.
    PageTable {
        /// The guest-physical address of the table.
        gpa: u64,
        /// The CR3 from which the table is reached.
        cr3: u64,
    },
    /// A stack in the page, when an event is delivered.
    Stack {
        /// The linear address of the top of the stack.
        gva: u64,
        /// The guest-physical address of the top of the stack.
        gpa: u64,
    },
    /// A descriptor table or a TSS in the page.
    Table {
        /// The table's name: GDT, IDT, LDT or TSS.
        name: &'static str,
        /// The linear address of the trapped part.
        gva: u64,
        /// The guest-physical address of the trapped part.
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
    /// The guest-physical address in the trapped page.
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

/// Why a page is trapped. Displayed as the end of the advice for an [`UnsupportedAccess`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watcher {
    /// The controlled scheduler traps it, because the vCPUs share it.
    Scheduler,
    /// A hook watches it.
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
