//! Self-tests of ring-0 instructions that an emulating host may not know. Each runs on a vCPU of
//! its own, since it may end in a KVM internal error, in an exception, or never.

use iced_x86::code_asm::{CodeAssembler, al, eax, ebx, ecx, edx, rax, rbx, rcx, rdx};
use iced_x86::code_asm::{xmm0, xmmword_ptr};

use super::layout::{DATA, DONE};
use super::outcome::{Outcome, Tested};
use super::test_guest::{Assembled, TestGuest, done};

const SOFTWARE_INTERRUPT: u8 = 0x80;
/// The vector of INT3.
const BREAKPOINT: u8 = 3;

/// A feature of the processor: its CPUID leaf, register and bit.
struct Feature {
    leaf: u32,
    register: fn(&crate::identity::CpuidEntry) -> u32,
    bit: u32,
}

const SSE2: Feature = Feature { leaf: 1, register: |leaf| leaf.edx, bit: 26 };
const CX16: Feature = Feature { leaf: 1, register: |leaf| leaf.ecx, bit: 13 };
const POPCNT: Feature = Feature { leaf: 1, register: |leaf| leaf.ecx, bit: 23 };
const XSAVE: Feature = Feature { leaf: 1, register: |leaf| leaf.ecx, bit: 26 };
const RDTSCP: Feature = Feature { leaf: 0x8000_0001, register: |leaf| leaf.edx, bit: 27 };

/// Runs code that leaves a result in AL.
fn check(
    test_guest: &TestGuest,
    feature: Option<&Feature>,
    wanted: Option<u8>,
    code: impl FnOnce(&mut CodeAssembler) -> Assembled,
) -> Tested<Outcome> {
    let offered = feature.is_none_or(|feature| {
        let bits = test_guest.leaf(feature.leaf).map_or(0, feature.register);
        bits >> feature.bit & 1 != 0
    });
    let mut bench = test_guest.kernel(|a| {
        code(a)?;
        done(a)
    })?;
    for vector in [SOFTWARE_INTERRUPT, BREAKPOINT] {
        bench.handle(vector, |a| {
            a.add(rbx, 1)?;
            a.iretq()
        })?;
    }
    let got = match bench.resume()? {
        crate::exit::Exit::PortWrite { port: DONE, data, .. } => data.first().copied(),
        exit if offered => return Ok(bench.odd(&exit)),
        exit => {
            let odd = bench.odd(&exit);
            let detail = format!("not in CPUID; {}", odd.detail);
            return Ok(Outcome { detail, ..odd });
        }
    };
    Ok(if wanted.is_none_or(|wanted| got == Some(wanted)) {
        Outcome::works(if offered {
            "runs in ring 0"
        } else {
            "runs in ring 0, though not in CPUID"
        })
    } else {
        Outcome::partly(format!("runs in ring 0, with the wrong result {got:?}"))
    })
}

/// INT 0x80 to a handler, and its return.
pub(super) fn int(test_guest: &TestGuest) -> Tested<Outcome> {
    check(test_guest, None, Some(1), |a| {
        a.int(i32::from(SOFTWARE_INTERRUPT))?;
        a.mov(rax, rbx)
    })
}

/// INT3 to the guest's own handler, while nothing debugs the guest.
pub(super) fn int3(test_guest: &TestGuest) -> Tested<Outcome> {
    check(test_guest, None, Some(1), |a| {
        a.int3()?;
        a.mov(rax, rbx)
    })
}

/// XSETBV, which enables all state components that CPUID offers, and what CPUID then says of their
/// size: it is to be the size of all.
pub(super) fn xsetbv(test_guest: &TestGuest) -> Tested<Outcome> {
    const SIZES: u32 = 0xd;
    let components = test_guest.leaf(SIZES).map_or(1, |leaf| leaf.eax);
    check(test_guest, Some(&XSAVE), Some(1), |a| {
        a.mov(eax, components)?;
        a.xor(edx, edx)?;
        a.xor(ecx, ecx)?;
        a.xsetbv()?;
        a.mov(eax, SIZES)?;
        a.xor(ecx, ecx)?;
        a.cpuid()?;
        // EBX has the size of what is enabled, ECX that of what can be enabled.
        a.cmp(ebx, ecx)?;
        a.sete(al)
    })
}

/// VMCALL with a number that no hypervisor knows. KVM answers it without an exit.
pub(super) fn vmcall(test_guest: &TestGuest) -> Tested<Outcome> {
    check(test_guest, None, None, |a| {
        a.mov(rax, 0x7fff_u64)?;
        a.vmcall()
    })
}

/// 3.0 + 3.0 in an SSE register.
pub(super) fn sse(test_guest: &TestGuest) -> Tested<Outcome> {
    check(test_guest, Some(&SSE2), Some(6), |a| {
        a.mov(rax, 3_u64)?;
        a.cvtsi2sd(xmm0, rax)?;
        a.addsd(xmm0, xmm0)?;
        a.cvttsd2si(rax, xmm0)
    })
}

/// POPCNT.
pub(super) fn popcnt(test_guest: &TestGuest) -> Tested<Outcome> {
    check(test_guest, Some(&POPCNT), Some(8), |a| {
        a.mov(rcx, 0xff_u64)?;
        a.popcnt(rax, rcx)
    })
}

/// RDTSCP.
pub(super) fn rdtscp(test_guest: &TestGuest) -> Tested<Outcome> {
    check(test_guest, Some(&RDTSCP), None, CodeAssembler::rdtscp)
}

/// XGETBV of XCR0, whose bit 0 is always set.
pub(super) fn xgetbv(test_guest: &TestGuest) -> Tested<Outcome> {
    check(test_guest, Some(&XSAVE), Some(1), |a| {
        a.xor(ecx, ecx)?;
        a.xgetbv()?;
        a.and(eax, 1)
    })
}

/// CMPXCHG16B of zeroed memory.
pub(super) fn cmpxchg16b(test_guest: &TestGuest) -> Tested<Outcome> {
    check(test_guest, Some(&CX16), Some(0), |a| {
        a.xor(rax, rax)?;
        a.xor(rdx, rdx)?;
        a.mov(rbx, 1_u64)?;
        a.mov(rcx, 2_u64)?;
        a.cmpxchg16b(xmmword_ptr(DATA))?;
        a.setne(iced_x86::code_asm::al)
    })
}
