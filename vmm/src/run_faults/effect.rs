//! What a fault does when it strikes.

use std::time::Duration;

use crate::fault::{FaultKind, FaultSpec, Injection};
use crate::hook::Context;
use crate::memory::Memory;
use crate::paging;

/// The exceptions that have an error code (Intel SDM vol. 3, 6.3.1, and AMD APM vol. 2, 8.2).
const WITH_ERROR_CODE: [u8; 9] = [8, 10, 11, 12, 13, 14, 17, 21, 30];
/// #VC has one, too, on AMD processors.
const VC: u8 = 29;
const PAGE_FAULT: u8 = 14;

/// What a fault does when it strikes.
pub(super) enum Effect {
    /// The vCPU gets something.
    Inject(Injection),
    /// The vCPU does not run for so long.
    Hold(Duration),
    /// A bit of the memory changes.
    Flip,
}

impl Effect {
    /// What this fault does; `None` for those that strike the guest's accesses.
    pub(super) fn of(spec: &FaultSpec) -> Option<Self> {
        let injection = match (spec.kind, spec.vector) {
            (FaultKind::IrqSpurious, Some(vector)) => Injection::Interrupt { vector },
            (FaultKind::Nmi, _) => Injection::Nmi,
            (FaultKind::Exception, Some(vector)) => exception(spec, vector),
            (FaultKind::TscOffset | FaultKind::TscJump, _) => Injection::TscJump(spec.by?),
            (FaultKind::ClockJump, _) => Injection::ClockJump(spec.by?),
            (FaultKind::TscDrift, _) => Injection::TscDrift(spec.ppm?),
            (FaultKind::VcpuStall, _) => return Some(Self::Hold(spec.time?)),
            (FaultKind::BitFlip, _) => return Some(Self::Flip),
            _ => return None,
        };
        Some(Self::Inject(injection))
    }
}

fn exception(spec: &FaultSpec, vector: u8) -> Injection {
    let has_code = WITH_ERROR_CODE.contains(&vector) || vector == VC;
    let error_code = has_code.then(|| spec.error_code.unwrap_or(0));
    let address = (vector == PAGE_FAULT).then(|| spec.address.unwrap_or(0));
    Injection::Exception { vector, error_code, address }
}

/// Changes a bit of the guest's memory. Returns false if there is no memory at the address, or the
/// vCPU's page tables don't map it.
pub(super) fn flip(spec: &FaultSpec, bit: u32, context: &mut Context) -> bool {
    let offset = u64::from(bit / 8);
    let physical = match (spec.physical, spec.address) {
        (Some(physical), _) => Some(physical.wrapping_add(offset)),
        (None, Some(linear)) => {
            let system = context.cpu.system_registers().ok();
            let linear = linear.wrapping_add(offset);
            system.and_then(|system| {
                let memory: &Memory = context.memory;
                paging::translate(&system, memory, linear).ok()
            })
        }
        (None, None) => None,
    };
    physical.is_some_and(|address| context.memory.flip_bit(address, (bit % 8) as u8).is_ok())
}
