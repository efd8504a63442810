//! Finds the frames of a vCPU's call stack.
//!
//! How a function's caller is found depends on how the guest was built. An [`Unwinder`] is one such
//! way; [`unwinder`] chooses it for all of jitterbug.

mod frame_pointers;

use vmm::paging::PhysicalMemory;
use vmm::registers::{Registers, SystemRegisters};

use frame_pointers::FramePointers;

/// The most frames in a stack.
pub const MAX_FRAMES: usize = 64;

/// A frame of a call stack, as an unwinder finds it. New facts about a frame, such as
/// how it was found, become fields here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallFrame {
    /// RIP, or the return address. In 16- and 32-bit code the base of CS is added.
    pub address: u64,
}

/// A way to find the callers of the function in which a vCPU is stopped.
pub trait Unwinder {
    /// The frames, innermost first: that of RIP, then those of the callers, at most [`MAX_FRAMES`].
    fn unwind<M: PhysicalMemory + ?Sized>(
        &self,
        registers: &Registers,
        system: &SystemRegisters,
        memory: &M,
    ) -> Vec<CallFrame>;
}

/// The unwinder that scripts, reports and explanations use.
pub fn unwinder() -> impl Unwinder {
    FramePointers
}

/// The addresses of frames.
pub fn addresses(frames: Vec<CallFrame>) -> Vec<u64> {
    frames.into_iter().map(|frame| frame.address).collect()
}
