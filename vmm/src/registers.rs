//! A vCPU's registers as plain data, so that the crates above don't depend on KVM.

use schemars::JsonSchema;
use serde::Serialize;

use crate::hex;

/// Defines a structure of registers, which are serialised as hexadecimal strings.
macro_rules! in_hex {
    ($(#[$about:meta])* pub struct $name:ident {
        $($(#[$of:meta])* pub $field:ident: $type:ty,)*
    }) => {
        $(#[$about])*
        pub struct $name {
            $(
                $(#[$of])*
                #[serde(serialize_with = "hex::number")]
                #[schemars(with = "String")]
                pub $field: $type,
            )*
        }
    };
}

in_hex! {
    /// The general-purpose registers, the instruction pointer and the flags.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema, Serialize)]
    #[allow(missing_docs)] // each field is the register of that name
    pub struct Registers {
        pub rax: u64,
        pub rbx: u64,
        pub rcx: u64,
        pub rdx: u64,
        pub rsi: u64,
        pub rdi: u64,
        pub rsp: u64,
        pub rbp: u64,
        pub r8: u64,
        pub r9: u64,
        pub r10: u64,
        pub r11: u64,
        pub r12: u64,
        pub r13: u64,
        pub r14: u64,
        pub r15: u64,
        pub rip: u64,
        pub rflags: u64,
    }
}

/// A register in [`Registers`], in the order of the register numbers in instructions (Intel SDM
/// volume 2, table 3-1); RIP and RFLAGS, which have no such numbers, follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // each is the register of that name
pub enum Register {
    Rax,
    Rcx,
    Rdx,
    Rbx,
    Rsp,
    Rbp,
    Rsi,
    Rdi,
    R8,
    R9,
    R10,
    R11,
    R12,
    R13,
    R14,
    R15,
    Rip,
    Rflags,
}

impl Register {
    /// All registers, each at the index of its number.
    pub const ALL: [Self; 18] = [
        Self::Rax,
        Self::Rcx,
        Self::Rdx,
        Self::Rbx,
        Self::Rsp,
        Self::Rbp,
        Self::Rsi,
        Self::Rdi,
        Self::R8,
        Self::R9,
        Self::R10,
        Self::R11,
        Self::R12,
        Self::R13,
        Self::R14,
        Self::R15,
        Self::Rip,
        Self::Rflags,
    ];
}

impl Registers {
    /// The bit of RFLAGS that is always set.
    pub const RESERVED_FLAG: u64 = 1 << 1;
    /// RFLAGS.TF: a debug exception follows each instruction.
    pub const TRAP_FLAG: u64 = 1 << 8;
    /// RFLAGS.IF: the vCPU takes interrupts.
    pub const INTERRUPT_FLAG: u64 = 1 << 9;
    /// RFLAGS.RF: instruction breakpoints are ignored for one instruction.
    pub const RESUME_FLAG: u64 = 1 << 16;

    /// The value of a register.
    pub fn get(&self, register: Register) -> u64 {
        // `place` needs a mutable reference; copying plain numbers is cheap.
        let mut copy = *self;
        *copy.place(register)
    }

    /// Sets a register.
    pub fn set(&mut self, register: Register, value: u64) {
        *self.place(register) = value;
    }

    fn place(&mut self, register: Register) -> &mut u64 {
        match register {
            Register::Rax => &mut self.rax,
            Register::Rcx => &mut self.rcx,
            Register::Rdx => &mut self.rdx,
            Register::Rbx => &mut self.rbx,
            Register::Rsp => &mut self.rsp,
            Register::Rbp => &mut self.rbp,
            Register::Rsi => &mut self.rsi,
            Register::Rdi => &mut self.rdi,
            Register::R8 => &mut self.r8,
            Register::R9 => &mut self.r9,
            Register::R10 => &mut self.r10,
            Register::R11 => &mut self.r11,
            Register::R12 => &mut self.r12,
            Register::R13 => &mut self.r13,
            Register::R14 => &mut self.r14,
            Register::R15 => &mut self.r15,
            Register::Rip => &mut self.rip,
            Register::Rflags => &mut self.rflags,
        }
    }
}

in_hex! {
    /// A segment register, with its hidden part.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema, Serialize)]
    pub struct Segment {
        /// The linear base address.
        pub base: u64,
        /// The limit in bytes.
        pub limit: u32,
        /// The visible selector.
        pub selector: u16,
        /// Access rights in VMX's format: type, S, DPL, P in bits 0-7; AVL, L, D/B, G in bits
        /// 12-15; bit 16 marks an unusable segment (Intel SDM vol. 3, 25.4.1).
        pub access: u32,
    }
}

in_hex! {
    /// The GDTR or the IDTR.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema, Serialize)]
    pub struct Table {
        /// The linear base address.
        pub base: u64,
        /// The limit in bytes.
        pub limit: u16,
    }
}

/// The segment registers, descriptor table registers and control registers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema, Serialize)]
#[allow(missing_docs)] // each field is the register of that name
pub struct SystemRegisters {
    pub cs: Segment,
    pub ds: Segment,
    pub es: Segment,
    pub fs: Segment,
    pub gs: Segment,
    pub ss: Segment,
    pub tr: Segment,
    pub ldt: Segment,
    pub gdt: Table,
    pub idt: Table,
    #[serde(serialize_with = "hex::number")]
    #[schemars(with = "String")]
    pub cr0: u64,
    #[serde(serialize_with = "hex::number")]
    #[schemars(with = "String")]
    pub cr2: u64,
    #[serde(serialize_with = "hex::number")]
    #[schemars(with = "String")]
    pub cr3: u64,
    #[serde(serialize_with = "hex::number")]
    #[schemars(with = "String")]
    pub cr4: u64,
    #[serde(serialize_with = "hex::number")]
    #[schemars(with = "String")]
    pub cr8: u64,
    #[serde(serialize_with = "hex::number")]
    #[schemars(with = "String")]
    pub efer: u64,
    #[serde(serialize_with = "hex::number")]
    #[schemars(with = "String")]
    pub apic_base: u64,
}

impl SystemRegisters {
    /// CR0.PE: protected mode.
    pub const CR0_PE: u64 = 1;
    /// CR0.PG: paging.
    pub const CR0_PG: u64 = 1 << 31;
    /// CR4.PSE: 4 MiB pages in 32-bit paging.
    pub const CR4_PSE: u64 = 1 << 4;
    /// CR4.PAE: 64-bit page-table entries.
    pub const CR4_PAE: u64 = 1 << 5;
    /// CR4.OSXSAVE: XSAVE and related instructions can be used.
    pub const CR4_OSXSAVE: u64 = 1 << 18;
    /// CR4.PKE: protection keys.
    pub const CR4_PKE: u64 = 1 << 22;
    /// CR4.LA57: five-level paging.
    pub const CR4_LA57: u64 = 1 << 12;
    /// `IA32_APIC_BASE`: the LAPIC is enabled.
    pub const APIC_ENABLED: u64 = 1 << 11;
    /// EFER.LME: long mode is enabled.
    pub const EFER_LME: u64 = 1 << 8;
    /// EFER.LMA: long mode is active.
    pub const EFER_LMA: u64 = 1 << 10;

    /// The current privilege level, 0 to 3.
    pub fn privilege(&self) -> u16 {
        if self.cr0 & Self::CR0_PE == 0 { 0 } else { self.cs.selector & 3 }
    }

    /// The width of the current code in bits: 16, 32 or 64.
    pub fn code_bits(&self) -> u32 {
        const L: u32 = 1 << 13;
        const DB: u32 = 1 << 14;
        if self.efer & Self::EFER_LMA != 0 && self.cs.access & L != 0 {
            64
        } else if self.cr0 & Self::CR0_PE != 0 && self.cs.access & DB != 0 {
            32
        } else {
            16
        }
    }
}

/// DR0 to DR3, DR6 and DR7, as the guest sees them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema, Serialize)]
pub struct DebugRegisters {
    /// The breakpoint addresses in DR0 to DR3.
    pub address: [u64; 4],
    /// The debug status register.
    pub dr6: u64,
    /// The debug control register.
    pub dr7: u64,
}

/// The state of a vCPU, apart from being held by the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Activity {
    /// It executes instructions.
    Running,
    /// It sleeps in HLT until an interrupt arrives.
    Halted,
    /// It is an application processor that has not got its INIT and SIPI yet: it has never run.
    WaitForSipi,
}
