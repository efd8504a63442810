//! What happened at a probe point.

/// The arguments of a firing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// `ARG0` to `ARG9`; 0 for arguments that the point doesn't have.
    pub arguments: [u64; 10],
    /// The kind of exit that the vCPU is at; empty at points that aren't exits.
    pub exit: &'static str,
}

impl Event {
    /// An event with these arguments. Any after the tenth are ignored.
    pub fn new(arguments: &[u64]) -> Self {
        let mut event = Self::default();
        for (slot, argument) in event.arguments.iter_mut().zip(arguments) {
            *slot = *argument;
        }
        event
    }
}
