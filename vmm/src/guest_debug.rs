//! What the host wants to see of a vCPU, as plain data: single steps, breakpoints and watchpoints.

/// What a hardware breakpoint waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// The execution of the instruction that begins there.
    Execute,
    /// A store of up to 8 bytes there.
    Write,
    /// A load or store of up to 8 bytes there.
    Access,
}

/// One of the four hardware breakpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Breakpoint {
    /// Linear address; a multiple of 8 for data.
    pub address: u64,
    /// What it waits for.
    pub trigger: Trigger,
}

/// What the host wants to see of a vCPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GuestDebug {
    /// Exit after every instruction.
    pub step: bool,
    /// Hold back interrupts and NMIs meanwhile.
    pub block_interrupts: bool,
    /// Exit at INT3 instead of giving the guest its #BP.
    pub software_breakpoints: bool,
    /// DR0 to DR3, taken from the guest while any is set.
    pub breakpoints: [Option<Breakpoint>; 4],
}
