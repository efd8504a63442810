//! Finds the frames of a vCPU's call stack.
//!
//! How a function's caller is found depends on how the guest was built. An [`Unwinder`] is one such
//! way; [`unwinder`] is the one for guests about which nothing else is known.

mod call;
mod frame_pointers;

use schemars::JsonSchema;
use serde::Serialize;
use vmm::paging::PhysicalMemory;
use vmm::registers::{Registers, SystemRegisters};

use frame_pointers::FramePointers;

/// The most frames in a stack.
pub const MAX_FRAMES: usize = 64;

/// A frame of a call stack, as an unwinder finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallFrame {
    /// RIP, or the return address. In 16- and 32-bit code the base of CS is added.
    pub address: u64,
    /// How sure it is that the frame is one.
    pub quality: Quality,
    /// Whether the address is behind a call instruction. Otherwise it is that of the instruction at
    /// which the vCPU stopped, or at which an interrupt or exception came.
    pub is_return_address: bool,
}

/// How sure it is that a frame belongs to the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Quality {
    /// It is RIP, or was found by tables that the guest's compiler wrote for this.
    Exact,
    /// It was found by frame pointers or on top of the stack, and a call instruction is in front of
    /// its address. That is right if the code keeps frame pointers, which can't be told for sure.
    Plausible,
    /// It was found by frame pointers, but there is no call instruction in front of its address.
    Guessed,
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

/// The unwinder for guests that are no Linux kernel; [`crate::Inspector`] also knows those.
pub fn unwinder() -> impl Unwinder {
    FramePointers
}

/// The addresses of frames.
pub fn addresses(frames: Vec<CallFrame>) -> Vec<u64> {
    frames.into_iter().map(|frame| frame.address).collect()
}
