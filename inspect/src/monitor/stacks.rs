//! The call stacks of a stopped machine, for people.

use std::fmt::Write as _;

use vmm::paging::PhysicalMemory;
use vmm::parallel::VcpuState;
use vmm::registers::Activity;

use crate::inspector::Inspector;
use crate::stack::Stack;
use crate::unwind::CallFrame;

/// A vCPU with its stack, as [`list`] shows it.
pub struct Listed {
    /// What it does, in words.
    pub heading: String,
    /// The frames of its stack, innermost first; none if it was never started.
    pub frames: Vec<CallFrame>,
}

/// A line for each vCPU, and behind it one for each frame, which `name` names.
pub fn list(
    vcpus: impl IntoIterator<Item = Listed>,
    name: impl Fn(&[CallFrame]) -> Stack,
) -> String {
    let mut text = String::new();
    for Listed { heading, frames } in vcpus {
        // Writing to a String can't fail.
        let _ = writeln!(text, "{heading}");
        for frame in name(&frames).frames {
            let _ = writeln!(text, "  {frame}");
        }
    }
    text
}

/// The call stack of each vCPU, innermost frame first, a line for each frame.
pub fn stacks<M: PhysicalMemory + ?Sized>(
    vcpus: &[VcpuState],
    memory: &M,
    inspector: &Inspector,
) -> String {
    let listed = |(number, vcpu): (usize, &VcpuState)| Listed {
        heading: format!("vCPU {number}: {}", activity(vcpu.activity)),
        frames: match vcpu.activity {
            Activity::WaitForSipi => Vec::new(),
            _ => inspector.unwind(&vcpu.registers, &vcpu.system, memory),
        },
    };
    // A kernel's symbols are there once a stack has been unwound.
    let vcpus: Vec<_> = vcpus.iter().enumerate().map(listed).collect();
    list(vcpus, |frames| inspector.name(frames))
}

/// What a vCPU does, in words.
pub fn activity(activity: Activity) -> &'static str {
    match activity {
        Activity::Running => "in the guest",
        Activity::Halted => "halted",
        Activity::WaitForSipi => "not started: waits for its SIPI",
    }
}
