//! Whether the guest sees the CPUID leaves that jitterbug sets.

use iced_x86::code_asm::{dword_ptr, eax, ebx, ecx};

use super::lab::Lab;
use super::layout::{HOLE, Ring};
use super::outcome::{Outcome, Tested};
use crate::exit::Exit;

/// The leaf with the hypervisor's signature, and the first word of `VMwareVMware`.
const LEAF: u32 = 0x4000_0000;
const OURS: u32 = u32::from_le_bytes(*b"VMwa");

/// In ring 0.
pub(super) fn ring0(lab: &Lab) -> Tested<Outcome> {
    signature(lab, Ring::Kernel)
}

/// In ring 3.
pub(super) fn ring3(lab: &Lab) -> Tested<Outcome> {
    signature(lab, Ring::User)
}

fn signature(lab: &Lab, ring: Ring) -> Tested<Outcome> {
    let mut bench = lab.ring(ring, |a| {
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
