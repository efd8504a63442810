//! Determines whether a guest's code can change state that takes a system call to restore.
//!
//! The FPU, MSRs and debug registers are not part of KVM's run page, and a system call for each
//! costs as much as an exit on some hosts. Most small kernels never use the FPU and the debug
//! registers, and their code shows this: every executable byte of the image is decoded, as 64-bit
//! code and as 32-bit code, and if no instruction could change such state, nothing has to be
//! restored. Code that the guest generates at run time is not covered, as in the rest of the
//! controlled scheduler;
//! [`ControlledMachine::restore`](crate::controlled::ControlledMachine::restore) checks at
//! intervals whether the claim holds.

use iced_x86::{CpuidFeature, Instruction, Mnemonic};

use crate::instruction::decoder;

/// Instructions that change only general-purpose registers, flags, memory, and the registers in the
/// run page: segments, descriptor tables, control registers, EFER.
const HARMLESS: &[CpuidFeature] = &[
    CpuidFeature::INTEL8086,
    CpuidFeature::INTEL8086_ONLY,
    CpuidFeature::INTEL186,
    CpuidFeature::INTEL286,
    CpuidFeature::INTEL286_ONLY,
    CpuidFeature::INTEL386,
    CpuidFeature::INTEL386_ONLY,
    CpuidFeature::INTEL486,
    CpuidFeature::X64,
    CpuidFeature::ADX,
    CpuidFeature::BMI1,
    CpuidFeature::BMI2,
    CpuidFeature::CET_IBT,
    CpuidFeature::CLFLUSHOPT,
    CpuidFeature::CLFSH,
    CpuidFeature::CMOV,
    CpuidFeature::CMPXCHG16B,
    CpuidFeature::CPUID,
    CpuidFeature::CX8,
    CpuidFeature::FSGSBASE,
    CpuidFeature::INVPCID,
    CpuidFeature::LZCNT,
    CpuidFeature::MONITOR,
    CpuidFeature::MOVBE,
    // MSR writes exit, so they are noticed anyway.
    CpuidFeature::MSR,
    CpuidFeature::MULTIBYTENOP,
    CpuidFeature::PAUSE,
    CpuidFeature::POPCNT,
    CpuidFeature::RDPMC,
    CpuidFeature::RDRAND,
    CpuidFeature::RDSEED,
    CpuidFeature::RDTSCP,
    CpuidFeature::SMAP,
    CpuidFeature::SYSCALL,
    CpuidFeature::TSC,
];

/// Whether any instruction of this code may change the FPU, a debug register, or
/// `IA32_KERNEL_GS_BASE`, which SWAPGS changes without an MSR write.
pub(crate) fn changes_extended_state(code: &[u8]) -> bool {
    [64, 32].iter().any(|bits| {
        // Bytes that can't be decoded (16-bit code, or data between functions) are skipped.
        let decoder = decoder(code, 0, *bits);
        decoder.into_iter().any(|instruction| !instruction.is_invalid() && changes(&instruction))
    })
}

fn changes(instruction: &Instruction) -> bool {
    match instruction.mnemonic() {
        Mnemonic::Swapgs => return true,
        // These belong to SSE but don't change its state.
        Mnemonic::Lfence
        | Mnemonic::Mfence
        | Mnemonic::Sfence
        | Mnemonic::Prefetchnta
        | Mnemonic::Prefetcht0
        | Mnemonic::Prefetcht1
        | Mnemonic::Prefetcht2 => return false,
        _ => {}
    }
    instruction.op0_register().is_dr()
        || instruction.cpuid_features().iter().any(|feature| !HARMLESS.contains(feature))
}

#[cfg(test)]
#[path = "code_tests.rs"]
mod tests;
