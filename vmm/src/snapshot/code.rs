//! What a guest's code can change that takes a call to put back.
//!
//! The FPU, MSRs and debug registers don't travel in KVM's run page, and a call for each costs as
//! much as an exit on some hosts. Most small kernels never touch the FPU and the debug registers,
//! which shows in their code: every executable byte of the image is decoded, as 64-bit code and as
//! 32-bit code, and a kernel without a single instruction that could change such state has nothing
//! to put back. A guest that writes code at run time is not covered, as nowhere in the controlled
//! scheduler; [`ControlledMachine::restore`](crate::controlled::ControlledMachine::restore) looks now
//! and then whether the claim holds.

use iced_x86::{CpuidFeature, Decoder, DecoderOptions, Instruction, Mnemonic};

/// Instructions that change nothing but general registers, flags, memory and what is in the run
/// page: segments, descriptor tables, control registers, EFER.
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
    // Writes of MSRs exit, so they are known without this.
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
/// `IA32_KERNEL_GS_BASE`, which SWAPGS reaches without an MSR write.
pub(crate) fn changes_extended_state(code: &[u8]) -> bool {
    [64, 32].iter().any(|bits| {
        // Bytes that are no instruction, 16-bit code or data between functions, are passed over.
        let decoder = Decoder::new(*bits, code, DecoderOptions::NONE);
        decoder.into_iter().any(|instruction| !instruction.is_invalid() && changes(&instruction))
    })
}

fn changes(instruction: &Instruction) -> bool {
    match instruction.mnemonic() {
        Mnemonic::Swapgs => return true,
        // Of SSE, but nothing of its state.
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
