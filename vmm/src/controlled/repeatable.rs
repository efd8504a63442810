//! The instructions that are allowed in the proof of a hang.
//!
//! The proof compares registers, extended state (FPU, vector and debug registers, MSRs) and memory.
//! An instruction is on the list if its effect is a function of these alone: executed again from
//! the same state, it does the same. Instructions that depend on time, random numbers, counters,
//! devices or the hypervisor, and instructions that are unknown here, are not on the list. See
//! `docs/proof.md`.

use iced_x86::{CpuidFeature, FlowControl, Instruction, Mnemonic};

use crate::instruction::Decoded;

/// The instruction-set extensions whose instructions compute with registers and memory only.
const COMPUTES: &[CpuidFeature] = &[
    CpuidFeature::INTEL8086,
    CpuidFeature::INTEL8086_ONLY,
    CpuidFeature::INTEL186,
    CpuidFeature::INTEL386,
    CpuidFeature::INTEL486,
    CpuidFeature::X64,
    CpuidFeature::CMOV,
    CpuidFeature::CX8,
    CpuidFeature::CMPXCHG16B,
    CpuidFeature::PAUSE,
    CpuidFeature::MULTIBYTENOP,
    CpuidFeature::POPCNT,
    CpuidFeature::LZCNT,
    CpuidFeature::BMI1,
    CpuidFeature::BMI2,
    CpuidFeature::ADX,
    CpuidFeature::MOVBE,
    CpuidFeature::CLFSH,
    CpuidFeature::PREFETCHW,
    CpuidFeature::CET_IBT,
    CpuidFeature::FPU,
    CpuidFeature::FPU287,
    CpuidFeature::FPU387,
    CpuidFeature::MMX,
    CpuidFeature::SSE,
    CpuidFeature::SSE2,
    CpuidFeature::SSE3,
    CpuidFeature::SSSE3,
    CpuidFeature::SSE4_1,
    CpuidFeature::SSE4_2,
    CpuidFeature::AVX,
    CpuidFeature::AVX2,
    CpuidFeature::FMA,
    CpuidFeature::F16C,
    CpuidFeature::AVX512F,
    CpuidFeature::AVX512VL,
    CpuidFeature::AVX512BW,
    CpuidFeature::AVX512DQ,
    CpuidFeature::AVX512CD,
];

/// The name of an instruction that is not on the list; `None` if it is on the list.
pub(super) fn outside(decoded: Option<&Decoded>) -> Option<String> {
    let Some(decoded) = decoded else {
        return Some("an instruction that can't be decoded".into());
    };
    let instruction = &decoded.instruction;
    let known = is_on_the_list(instruction);
    (!known).then(|| format!("{:?}", instruction.mnemonic()).to_lowercase())
}

fn is_on_the_list(instruction: &Instruction) -> bool {
    // CLI and STI wait for nothing, and their effect is visible in RFLAGS. Every other privileged
    // instruction reads or changes state that is not compared word for word.
    if matches!(instruction.mnemonic(), Mnemonic::Cli | Mnemonic::Sti) {
        return true;
    }
    let stays = matches!(
        instruction.flow_control(),
        FlowControl::Next
            | FlowControl::ConditionalBranch
            | FlowControl::UnconditionalBranch
            | FlowControl::IndirectBranch
            | FlowControl::Call
            | FlowControl::IndirectCall
            | FlowControl::Return
    );
    let returns_far = matches!(
        instruction.mnemonic(),
        Mnemonic::Iret | Mnemonic::Iretd | Mnemonic::Iretq | Mnemonic::Retf | Mnemonic::Uiret
    ) || instruction.is_call_far()
        || instruction.is_jmp_far()
        || instruction.is_call_far_indirect()
        || instruction.is_jmp_far_indirect();
    // The result depends on a device.
    let port = matches!(
        instruction.mnemonic(),
        Mnemonic::In
            | Mnemonic::Out
            | Mnemonic::Insb
            | Mnemonic::Insw
            | Mnemonic::Insd
            | Mnemonic::Outsb
            | Mnemonic::Outsw
            | Mnemonic::Outsd
    );
    // Which parts of the extended state FXSAVE writes may depend on the processor's internal
    // tracking (Intel SDM vol. 1, 13.6).
    let area = matches!(
        instruction.mnemonic(),
        Mnemonic::Fxsave | Mnemonic::Fxsave64 | Mnemonic::Fxrstor | Mnemonic::Fxrstor64
    );
    stays
        && !returns_far
        && !port
        && !area
        && !instruction.is_privileged()
        && instruction.cpuid_features().iter().all(|feature| COMPUTES.contains(feature))
}

#[cfg(test)]
#[path = "repeatable_tests.rs"]
mod tests;
