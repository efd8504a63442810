//! What the host wants to see of a vCPU, as plain data: single steps, breakpoints and watchpoints.

/// The event that triggers a hardware breakpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// The execution of the instruction that begins at the address.
    Execute,
    /// A store of up to 8 bytes at the address.
    Write,
    /// A load or store of up to 8 bytes at the address.
    Access,
}

/// One of the four hardware breakpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Breakpoint {
    /// The linear address; a multiple of 8 for data.
    pub address: u64,
    /// The event that triggers it.
    pub trigger: Trigger,
}

/// The debug exceptions of a vCPU that exit to the host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GuestDebug {
    /// Exit after every instruction.
    pub step: bool,
    /// Block interrupts and NMIs meanwhile.
    pub block_interrupts: bool,
    /// Exit at INT3 instead of giving the guest its #BP.
    pub software_breakpoints: bool,
    /// The breakpoints in DR0 to DR3; while any is set, the guest's own don't work.
    pub breakpoints: [Option<Breakpoint>; 4],
}
