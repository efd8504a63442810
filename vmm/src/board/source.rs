//! The consoles, as those who look at their output tell them apart.

/// Where output comes from. Lines that two consoles print at the same time are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// COM1.
    Serial,
    /// The virtio console.
    Virtio,
}

impl Source {
    /// The number of sources.
    pub(super) const COUNT: usize = 2;
}
