//! What this host's KVM can do to stop a vCPU at an instruction. The doctor finds it out.

use std::fmt;

use serde::Serialize;

/// What stops a vCPU at an instruction on this host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DebugCapabilities {
    /// Four execution breakpoints in the kernel.
    pub breakpoints: bool,
    /// The same in user programs.
    pub breakpoints_user: bool,
    /// Single steps in the kernel.
    pub steps: bool,
    /// The same in user programs.
    pub steps_user: bool,
    /// Steps also stop in the handler of an interrupt that comes. Otherwise a handler runs to its
    /// end, and the step stops behind the instruction that it returns to.
    pub steps_into_handlers: bool,
    /// A step over IRET ends at the instruction that it returns to, not one behind that.
    pub steps_from_handlers: bool,
    /// Interrupts can be held back during a step.
    pub block_interrupts: bool,
}

impl DebugCapabilities {
    /// At how many addresses a vCPU stops without single steps: each has one of the debug registers
    /// DR0 to DR3.
    pub fn breakpoint_slots(&self) -> usize {
        if self.breakpoints { 4 } else { 0 }
    }

    /// Whether a vCPU can be stopped at an instruction at all. Leaving a breakpoint takes a step.
    pub fn can_stop(&self) -> bool {
        self.steps
    }
}

impl fmt::Display for DebugCapabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = match (self.breakpoints, self.steps) {
            (_, false) => return f.write_str("nothing stops a vCPU at an instruction here"),
            (true, true) => {
                f.write_str("four execution breakpoints; for more, single steps")?;
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

/// What single steps of this host are good for, besides plain code in ring 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct StepCapabilities {
    /// They stop in ring 3.
    pub(crate) user: bool,
    /// They stop in the handler of an exception.
    pub(crate) handlers: bool,
    /// `KVM_GUESTDBG_BLOCKIRQ` is there.
    pub(crate) block_interrupts: bool,
}
