//! What the host wants to see of a vCPU, as plain data: single steps, breakpoints and watchpoints.

/// The number of hardware breakpoints: DR0 to DR3 hold their addresses.
pub const SLOTS: usize = 4;

/// The event that triggers a hardware breakpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// The execution of the instruction that begins at the address.
    Execute,
    /// A store that touches one of this number of bytes at the address.
    Write(Length),
    /// A load or store that touches one of this number of bytes at the address.
    Access(Length),
}

/// The number of bytes that a watchpoint covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// 1 byte.
    One,
    /// 2 bytes.
    Two,
    /// 4 bytes.
    Four,
    /// 8 bytes.
    Eight,
}

impl Length {
    /// All lengths, the longest first.
    pub const ALL: [Self; 4] = [Self::Eight, Self::Four, Self::Two, Self::One];

    /// The number of bytes.
    pub fn bytes(self) -> u64 {
        match self {
            Self::One => 1,
            Self::Two => 2,
            Self::Four => 4,
            Self::Eight => 8,
        }
    }
}

/// Divides a range of linear addresses into pieces that a debug register can watch: 1, 2, 4 or 8
/// bytes, each at a multiple of its length. A range that goes beyond the last address ends there.
pub fn pieces(start: u64, size: u64) -> impl Iterator<Item = (u64, Length)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let (linear, left) = (start.checked_add(done)?, size - done);
        let fits = |length: &Length| length.bytes() <= left && linear % length.bytes() == 0;
        let length = Length::ALL.into_iter().find(fits)?;
        done += length.bytes();
        Some((linear, length))
    })
}

/// One of the four hardware breakpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Breakpoint {
    /// The linear address; for data a multiple of the length.
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
    /// Exit at every #DB, also if there is no breakpoint; the guest's own breakpoints don't work.
    pub debug_exceptions: bool,
    /// The breakpoints in DR0 to DR3; while any is set, the guest's own don't work.
    pub breakpoints: [Option<Breakpoint>; SLOTS],
}
