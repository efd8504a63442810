//! The guest-physical addresses of an image's linear addresses, according to its segments.
//!
//! A linked kernel has two addresses for each loadable segment: the linear address at which its
//! code and data expect to be, and the physical address at which a loader has to place them. The
//! guest's page tables may differ later; but kernels set them up in accordance with the segments at
//! boot.

use std::ops::Range;

use object::LittleEndian as LE;
use object::elf::{FileHeader64, PT_LOAD};
use object::read::elf::{FileHeader as _, ProgramHeader as _};

use crate::config::GuestImage;

/// The loadable segments of an image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Segments(Vec<Segment>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Segment {
    linear: u64,
    physical: u64,
    size: u64,
}

impl Segments {
    /// The segments of a guest's image; empty if the image is damaged.
    pub fn of(image: &GuestImage) -> Self {
        Self::read(&image.bytes)
    }

    pub(super) fn read(bytes: &[u8]) -> Self {
        let headers = FileHeader64::<LE>::parse(bytes);
        let headers = headers.and_then(|header| header.program_headers(LE, bytes));
        let loaded = headers.unwrap_or_default().iter().filter(|s| s.p_type(LE) == PT_LOAD);
        let segment = loaded.map(|segment| Segment {
            linear: segment.p_vaddr(LE),
            physical: segment.p_paddr(LE),
            size: segment.p_memsz(LE),
        });
        Self(segment.collect())
    }

    /// One segment, at the same linear and physical addresses.
    #[cfg(test)]
    pub(crate) fn identity(range: Range<u64>) -> Self {
        let size = range.end - range.start;
        Self(vec![Segment { linear: range.start, physical: range.start, size }])
    }

    /// The guest-physical range of `size` bytes at a linear address. `None` if no segment contains
    /// all of them.
    pub fn physical(&self, linear: u64, size: u64) -> Option<Range<u64>> {
        let (offset, segment) = self.0.iter().find_map(|segment| {
            let offset = linear.checked_sub(segment.linear)?;
            let room = segment.size.checked_sub(offset)?;
            (size <= room).then_some((offset, segment))
        })?;
        let start = segment.physical.checked_add(offset)?;
        Some(start..start.checked_add(size)?)
    }
}

#[cfg(test)]
#[path = "segments_tests.rs"]
mod tests;
