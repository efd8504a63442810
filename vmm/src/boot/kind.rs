//! Recognises the kind of an image, and so the protocol by which it boots.

use object::LittleEndian as LE;
use object::elf::{FileHeader32, FileHeader64};
use object::read::elf::FileHeader as _;

use super::headers::bzimage::SetupHeader;
use super::headers::{multiboot, multiboot2};
use super::notes;

/// The kinds of images that boot here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageKind {
    /// An ELF file with a PVH entry note.
    Pvh,
    /// An ELF file with a Multiboot 2 header.
    Multiboot2,
    /// An ELF file with a Multiboot header, or any file whose Multiboot header has addresses.
    Multiboot,
    /// An ELF file with neither: it is started at its entry point in 64-bit mode.
    Elf,
    /// A compressed Linux kernel, or another one that has Linux's setup header.
    BzImage,
}

impl ImageKind {
    /// The kind of an image. `None` if it is none that boots here. A damaged ELF file counts as
    /// one: its loader says what is wrong.
    ///
    /// An image may have several entry points. PVH comes first: it tells a guest the most, and it
    /// is what a guest of jitterbug has used so far. Multiboot 2 comes before Multiboot, which it
    /// replaces.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        if !bytes.starts_with(b"\x7fELF") {
            let bzimage = SetupHeader::read(bytes).map(|_| Self::BzImage);
            let has_addresses =
                || multiboot2::Header::find(bytes)?.addresses.map(|_| Self::Multiboot2);
            let multiboot = || Some(Self::Multiboot).filter(|_| multiboot::has_addresses(bytes));
            return bzimage.or_else(has_addresses).or_else(multiboot);
        }
        Some(if has_pvh_entry(bytes) {
            Self::Pvh
        } else if multiboot2::Header::find(bytes).is_some() {
            Self::Multiboot2
        } else if multiboot::Header::find(bytes).is_some() {
            Self::Multiboot
        } else {
            Self::Elf
        })
    }
}

fn has_pvh_entry(bytes: &[u8]) -> bool {
    let wide = FileHeader64::<LE>::parse(bytes)
        .and_then(|header| header.program_headers(LE, bytes))
        .is_ok_and(|s| notes::pvh_entry::<FileHeader64<LE>>(s, bytes).is_some());
    wide || FileHeader32::<LE>::parse(bytes)
        .and_then(|header| header.program_headers(LE, bytes))
        .is_ok_and(|s| notes::pvh_entry::<FileHeader32<LE>>(s, bytes).is_some())
}

/// Whether an image has a header of either version of Multiboot.
pub(super) fn has_multiboot_header(bytes: &[u8]) -> bool {
    multiboot::Header::find(bytes).is_some() || multiboot2::Header::find(bytes).is_some()
}

/// Whether an image is a Linux kernel.
pub fn is_linux(bytes: &[u8]) -> bool {
    /// No ELF file with Linux in it is smaller.
    const SMALLEST: usize = 1 << 20;
    if let Some(header) = SetupHeader::read(bytes) {
        return header.version_text(bytes).is_some();
    }
    // `linux_banner`, which every kernel has.
    bytes.len() >= SMALLEST
        && bytes.starts_with(b"\x7fELF")
        && memchr::memmem::find(bytes, b"Linux version ").is_some()
}

#[cfg(test)]
#[path = "kind_tests.rs"]
mod tests;
