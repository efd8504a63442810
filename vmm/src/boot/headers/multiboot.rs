//! The header of a Multiboot image.

/// The header's magic number (3.1.1), and how far into the file it may begin.
pub(in crate::boot) const MAGIC: u32 = 0x1bad_b002;
const SEARCHED: usize = 8192;
/// The header's flags (3.1.2): modules on page boundaries, memory information, a video mode, and
/// the address fields.
pub(in crate::boot) const ALIGN_MODULES: u32 = 1;
pub(in crate::boot) const MEMORY_INFORMATION: u32 = 1 << 1;
pub(in crate::boot) const VIDEO_MODE: u32 = 1 << 2;
pub(in crate::boot) const ADDRESSES: u32 = 1 << 16;
/// The addresses in a header: where its image is loaded without regard to its format. Multiboot
/// (0.6.96, 3.1.3) and Multiboot 2 (3.1.5) have the same fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::boot) struct Addresses {
    /// Where the header itself is loaded.
    pub(in crate::boot) header: u32,
    /// Where the loading begins.
    pub(in crate::boot) start: u32,
    /// The end of what is loaded from the file; 0 for the whole rest of it.
    pub(in crate::boot) end: u32,
    /// The end of the zeros behind it; 0 for none.
    pub(in crate::boot) bss_end: u32,
}

/// A Multiboot header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::boot) struct Header {
    /// Its place in the file.
    pub(in crate::boot) at: usize,
    pub(in crate::boot) flags: u32,
    /// The load addresses and the entry point, if the header has them.
    pub(in crate::boot) addresses: Option<(Addresses, u32)>,
}

impl Header {
    /// Finds the header in an image.
    pub(in crate::boot) fn find(bytes: &[u8]) -> Option<Self> {
        let bytes = &bytes[..bytes.len().min(SEARCHED)];
        let word = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        let at = (0..bytes.len()).step_by(4).find(|&at| {
            let sum = || Some(MAGIC.wrapping_add(word(at + 4)?).wrapping_add(word(at + 8)?));
            word(at) == Some(MAGIC) && sum() == Some(0)
        })?;
        let flags = word(at + 4)?;
        let addresses = if flags & ADDRESSES == 0 {
            None
        } else {
            let [header, start, end, bss_end] = [12, 16, 20, 24].map(|field| word(at + field));
            let (header, start, end, bss_end) = (header?, start?, end?, bss_end?);
            Some((Addresses { header, start, end, bss_end }, word(at + 28)?))
        };
        Some(Self { at, flags, addresses })
    }
}

/// Whether an image has a header with addresses, so that its format does not matter.
pub(in crate::boot) fn has_addresses(bytes: &[u8]) -> bool {
    Header::find(bytes).is_some_and(|header| header.addresses.is_some())
}
