//! Inspects a stopped guest: the names and source lines of its addresses, the call stacks of its
//! vCPUs, and the loop in which a hung vCPU spins.
//!
//! [`Symbols`] reads the guest's ELF file or a listing. An unwinder ([`unwind`]) finds the frames
//! of a call stack, and a [`Stack`] has their names. An [`Inspector`] does both for one machine,
//! and finds the symbols and tables of a Linux kernel in its memory ([`linux`]). [`Spin`] says what
//! a vCPU that makes no progress is doing. Scripts, reports and explanations use these, and so do
//! the commands of a [`Monitor`]. Only those can change the guest.

#![forbid(unsafe_code)]

pub mod image;
mod inspector;
mod learned;
pub mod linux;
pub mod monitor;
pub mod seen;
pub mod spin;
pub mod stack;
pub mod suggest;
pub mod symbols;
#[cfg(test)]
mod test_guest;
pub mod unwind;

pub use inspector::Inspector;
pub use monitor::Monitor;
pub use spin::Spin;
pub use stack::Stack;
pub use symbols::Symbols;
