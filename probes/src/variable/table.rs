//! The table of built-in variables, and the table of variables that are known but not available.

use super::{From, Variable};

const IA32_KERNEL_GS_BASE: u32 = 0xc000_0102;
/// The guest's time-stamp counter, as `rdtsc` in the guest would read it (TSC offset included).
const IA32_TIME_STAMP_COUNTER: u32 = 0x10;

/// Every built-in integer variable.
pub fn all() -> impl Iterator<Item = Variable> {
    TABLE.iter().map(|&(name, from)| Variable { name, from })
}

macro_rules! segment {
    ($field:ident, $selector:literal, $access:literal, $base:literal, $limit:literal) => {
        [
            ($selector, From::System(|r| u64::from(r.$field.selector))),
            ($access, From::System(|r| u64::from(r.$field.access))),
            ($base, From::System(|r| r.$field.base)),
            ($limit, From::System(|r| u64::from(r.$field.limit))),
        ]
    };
}

/// Rows of one variable each, and blocks of four rows for each segment.
const TABLE: &[(&str, From)] = {
    const CS: [(&str, From); 4] = segment!(cs, "CS", "CSAR", "CSBASE", "CSLIMIT");
    const SS: [(&str, From); 4] = segment!(ss, "SS", "SSAR", "SSBASE", "SSLIMIT");
    const DS: [(&str, From); 4] = segment!(ds, "DS", "DSAR", "DSBASE", "DSLIMIT");
    const ES: [(&str, From); 4] = segment!(es, "ES", "ESAR", "ESBASE", "ESLIMIT");
    const FS: [(&str, From); 4] = segment!(fs, "FS", "FSAR", "FSBASE", "FSLIMIT");
    const GS: [(&str, From); 4] = segment!(gs, "GS", "GSAR", "GSBASE", "GSLIMIT");
    const TR: [(&str, From); 4] = segment!(tr, "TR", "TRAR", "TRBASE", "TRLIMIT");
    const LDTR: [(&str, From); 4] = segment!(ldt, "LDTR", "LDTRAR", "LDTRBASE", "LDTRLIMIT");
    &[
        ("RIP", From::General(|r| r.rip)),
        ("RAX", From::General(|r| r.rax)),
        ("RBX", From::General(|r| r.rbx)),
        ("RCX", From::General(|r| r.rcx)),
        ("RDX", From::General(|r| r.rdx)),
        ("RSI", From::General(|r| r.rsi)),
        ("RDI", From::General(|r| r.rdi)),
        ("RSP", From::General(|r| r.rsp)),
        ("RBP", From::General(|r| r.rbp)),
        ("R8", From::General(|r| r.r8)),
        ("R9", From::General(|r| r.r9)),
        ("R10", From::General(|r| r.r10)),
        ("R11", From::General(|r| r.r11)),
        ("R12", From::General(|r| r.r12)),
        ("R13", From::General(|r| r.r13)),
        ("R14", From::General(|r| r.r14)),
        ("R15", From::General(|r| r.r15)),
        ("RFLAGS", From::General(|r| r.rflags)),
        ("CR0", From::System(|r| r.cr0)),
        ("CR2", From::System(|r| r.cr2)),
        ("CR3", From::System(|r| r.cr3)),
        ("CR4", From::System(|r| r.cr4)),
        ("CR8", From::System(|r| r.cr8)),
        ("DR6", From::Debug(|r| r.dr6)),
        ("DR7", From::Debug(|r| r.dr7)),
        ("EFER", From::System(|r| r.efer)),
        ("KERNELGSBASE", From::Msr(IA32_KERNEL_GS_BASE)),
        CS[0],
        CS[1],
        CS[2],
        CS[3],
        SS[0],
        SS[1],
        SS[2],
        SS[3],
        DS[0],
        DS[1],
        DS[2],
        DS[3],
        ES[0],
        ES[1],
        ES[2],
        ES[3],
        FS[0],
        FS[1],
        FS[2],
        FS[3],
        GS[0],
        GS[1],
        GS[2],
        GS[3],
        TR[0],
        TR[1],
        TR[2],
        TR[3],
        LDTR[0],
        LDTR[1],
        LDTR[2],
        LDTR[3],
        ("GDTRBASE", From::System(|r| r.gdt.base)),
        ("GDTRLIMIT", From::System(|r| u64::from(r.gdt.limit))),
        ("IDTRBASE", From::System(|r| r.idt.base)),
        ("IDTRLIMIT", From::System(|r| u64::from(r.idt.limit))),
        // The base without its flags: bits 8 (bootstrap processor), 10 (x2APIC) and 11 (enabled).
        ("APIC_BASEPA", From::System(|r| r.apic_base & !0xfff)),
        ("TSC", From::Msr(IA32_TIME_STAMP_COUNTER)),
        // The name of TSC in Workstation 6.5.
        ("PTSC", From::Msr(IA32_TIME_STAMP_COUNTER)),
        ("TSC_HZ", From::TscFrequency),
        ("VCPUID", From::VcpuId),
        ("NUMVCPUS", From::NumVcpus),
        ("PCPUID", From::HostProcessor),
        ("THREADID", From::HostThread),
        ("elapsed", From::Elapsed),
        ("ARG0", From::Argument(0)),
        ("ARG1", From::Argument(1)),
        ("ARG2", From::Argument(2)),
        ("ARG3", From::Argument(3)),
        ("ARG4", From::Argument(4)),
        ("ARG5", From::Argument(5)),
        ("ARG6", From::Argument(6)),
        ("ARG7", From::Argument(7)),
        ("ARG8", From::Argument(8)),
        ("ARG9", From::Argument(9)),
    ]
};

/// Named constants: registers as `vmm::registers::Register` numbers them, for `getgpr` and
/// `setreg`.
pub(super) const CONSTANTS: &[(&str, u64)] = &[
    ("NULL", 0),
    ("REG_RAX", 0),
    ("REG_RCX", 1),
    ("REG_RDX", 2),
    ("REG_RBX", 3),
    ("REG_RSP", 4),
    ("REG_RBP", 5),
    ("REG_RSI", 6),
    ("REG_RDI", 7),
    ("REG_R8", 8),
    ("REG_R9", 9),
    ("REG_R10", 10),
    ("REG_R11", 11),
    ("REG_R12", 12),
    ("REG_R13", 13),
    ("REG_R14", 14),
    ("REG_R15", 15),
    ("REG_RIP", 16),
    ("REG_RFLAGS", 17),
];

const NO_VMCS: &str =
    "KVM doesn't show the VMCS or VMCB to user space; EXITNAME says why it exited";
const MONITOR: &str = "it is a value inside VMware's monitor";
const VMKERNEL: &str = "it is a value inside VMware's vmkernel";

/// Variables of `VProbes` that are not available, and why. A name that ends in `_` stands for all
/// names that begin with it.
pub(super) const MISSING: &[(&str, &str)] = &[
    ("RDTSC", "the host's counter isn't read; TSC is the guest's"),
    ("SMM", "the machine has no system management mode"),
    ("BRCNT", "it counts branches of VMware's record and replay"),
    ("ISVMM", MONITOR),
    ("SELSTATE", MONITOR),
    ("HVSTATE", MONITOR),
    ("EMULATION_MODE", MONITOR),
    ("APICREGS", MONITOR),
    ("MEMSCHED_ADDR", VMKERNEL),
    ("WORLDID", VMKERNEL),
    ("PCPU", VMKERNEL),
    ("PRDA_ADDR", VMKERNEL),
    ("VMCS_", NO_VMCS),
    ("VMCB_", NO_VMCS),
    ("VT_", "it is a field for getvmcs, which KVM doesn't have"),
];

/// Why a variable of `VProbes` is not available here; `None` if the name isn't in the table.
pub(super) fn missing(name: &str) -> Option<&'static str> {
    let is = |known: &str| name == known || known.ends_with('_') && name.starts_with(known);
    MISSING.iter().find(|(known, _)| is(known)).map(|(_, reason)| *reason)
}
