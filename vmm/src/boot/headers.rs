//! The headers by which images are recognised.

pub(super) mod bzimage;
pub(super) mod multiboot;
pub(super) mod multiboot2;
