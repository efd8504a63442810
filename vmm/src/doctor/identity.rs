//! Self-tests of whether the guest sees the CPUID leaves that jitterbug sets.

use iced_x86::code_asm::{dword_ptr, eax, ebx, ecx};

use super::layout::{HOLE, Ring};
use super::outcome::{Outcome, Tested};
use super::test_guest::TestGuest;
use crate::exit::Exit;

/// The leaf with the hypervisor's signature, and the first word of `VMwareVMware`.
const LEAF: u32 = 0x4000_0000;
const OURS: u32 = u32::from_le_bytes(*b"VMwa");

/// The leaves in ring 0.
pub(super) fn ring0(test_guest: &TestGuest) -> Tested<Outcome> {
    signature(test_guest, Ring::Kernel)
}

/// The leaves in ring 3.
pub(super) fn ring3(test_guest: &TestGuest) -> Tested<Outcome> {
    signature(test_guest, Ring::User)
}

fn signature(test_guest: &TestGuest, ring: Ring) -> Tested<Outcome> {
    let mut bench = test_guest.ring(ring, |a| {
        a.mov(eax, LEAF)?;
        a.xor(ecx, ecx)?;
        a.cpuid()?;
        a.mov(dword_ptr(HOLE), ebx)
    })?;
    let exit = bench.resume()?;
    Ok(match &exit {
        Exit::MmioWrite { address: HOLE, data } if data.as_slice() == OURS.to_le_bytes() => {
            Outcome::works("the guest sees the leaves that we set")
        }
        Exit::MmioWrite { address: HOLE, data } => Outcome::silent(format!(
            "accepted, never fires: the guest sees the machine's own leaves (\"{}\")",
            data.escape_ascii()
        )),
        exit => bench.odd(exit),
    })
}
