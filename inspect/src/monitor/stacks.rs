//! The call stacks of a stopped machine, for people.

use std::fmt::Write as _;

use vmm::paging::PhysicalMemory;
use vmm::parallel::VcpuState;
use vmm::registers::Activity;

use crate::inspector::Inspector;
use crate::stack::Stack;

/// The call stack of each vCPU, innermost frame first, a line for each frame.
pub fn stacks<M: PhysicalMemory + ?Sized>(
    vcpus: &[VcpuState],
    memory: &M,
    inspector: &Inspector,
) -> String {
    let mut text = String::new();
    for (number, vcpu) in vcpus.iter().enumerate() {
        // Writing to a String can't fail.
        let _ = writeln!(text, "vCPU {number}: {}", activity(vcpu.activity));
        if vcpu.activity == Activity::WaitForSipi {
            continue;
        }
        let frames = inspector.unwind(&vcpu.registers, &vcpu.system, memory);
        for frame in Stack::of(&frames, inspector.symbols().as_deref()).frames {
            let _ = writeln!(text, "  {frame}");
        }
    }
    text
}

fn activity(activity: Activity) -> &'static str {
    match activity {
        Activity::Running => "in the guest",
        Activity::Halted => "halted",
        Activity::WaitForSipi => "not started: waits for its SIPI",
    }
}
