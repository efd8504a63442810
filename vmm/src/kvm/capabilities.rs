//! How this host's KVM can stop a vCPU at an instruction. The doctor determines it.

use std::fmt;

use serde::Serialize;

/// How a vCPU can be stopped at an instruction on this host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DebugCapabilities {
    /// Four execution breakpoints work in the kernel.
    pub breakpoints: bool,
    /// RFLAGS.RF passes an execution breakpoint. Otherwise it is removed to step over it.
    pub resume_flag: bool,
    /// Four execution breakpoints work in user programs.
    pub breakpoints_user: bool,
    /// Single steps work in the kernel.
    pub steps: bool,
    /// Single steps work in user programs.
    pub steps_user: bool,
    /// Steps also stop in the handler of an interrupt. Otherwise a handler runs to its end, and the
    /// step stops behind the instruction that it returns to.
    pub steps_into_handlers: bool,
    /// A step over IRET ends at the instruction that it returns to, and not one instruction later.
    pub steps_from_handlers: bool,
    /// Interrupts can be blocked during a step.
    pub block_interrupts: bool,
    /// INT3 in the kernel's code exits, can be left by a step, and the guest's own can be given
    /// back to it.
    pub int3: bool,
}

impl DebugCapabilities {
    /// The number of addresses at which a vCPU stops without single steps: each uses one of the
    /// debug registers DR0 to DR3.
    pub fn breakpoint_slots(&self) -> usize {
        if self.breakpoints { 4 } else { 0 }
    }

    /// Whether a vCPU can be stopped at an instruction at all. This needs steps, because leaving a
    /// breakpoint takes a step.
    pub fn can_stop(&self) -> bool {
        self.steps
    }
}

impl fmt::Display for DebugCapabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = match (self.breakpoints, self.steps) {
            (_, false) => return f.write_str("nothing stops a vCPU at an instruction here"),
            (true, true) => {
                f.write_str("four execution breakpoints")?;
                f.write_str(if self.resume_flag { ", passed by RFLAGS.RF" } else { "" })?;
                f.write_str(if self.int3 { "; for more, int3" } else { "; for more" })?;
                f.write_str(if self.int3 { " or single steps" } else { ", single steps" })?;
                self.breakpoints_user && self.steps_user
            }
            (false, true) => {
                f.write_str("single steps")?;
                self.steps_user
            }
        };
        f.write_str(match (self.steps_into_handlers, self.steps_from_handlers) {
            (true, true) => "",
            (true, false) => ", which miss the instruction that a handler returns to",
            (false, _) => {
                ", which see neither handlers nor the instruction that an exception's returns to"
            }
        })?;
        f.write_str(if user { "" } else { "; in the kernel only" })
    }
}

/// Where this host's single steps stop, in addition to plain code in ring 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct StepCapabilities {
    /// In ring 3.
    pub(crate) user: bool,
    /// In the handler of an exception.
    pub(crate) handlers: bool,
    /// Whether the host has `KVM_GUESTDBG_BLOCKIRQ`.
    pub(crate) block_interrupts: bool,
}
