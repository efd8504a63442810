//! The header of a Multiboot 2 image.

use super::multiboot::Addresses;

/// The header's magic number, its architecture for 32-bit x86, and how far into the file it may
/// reach (3.1).
pub(in crate::boot) const MAGIC: u32 = 0xe852_50d6;
pub(in crate::boot) const I386: u32 = 0;
const SEARCHED: usize = 32_768;

/// The types of the header's tags (3.1.3 to 3.1.13).
pub(in crate::boot) mod tag {
    pub(in crate::boot) const END: u16 = 0;
    pub(in crate::boot) const INFORMATION: u16 = 1;
    pub(in crate::boot) const ADDRESS: u16 = 2;
    pub(in crate::boot) const ENTRY: u16 = 3;
    pub(in crate::boot) const CONSOLE: u16 = 4;
    pub(in crate::boot) const FRAMEBUFFER: u16 = 5;
    pub(in crate::boot) const ALIGN_MODULES: u16 = 6;
    pub(in crate::boot) const EFI: std::ops::RangeInclusive<u16> = 7..=9;
    pub(in crate::boot) const RELOCATABLE: u16 = 10;
    /// The flag of a tag that a loader may ignore.
    pub(in crate::boot) const OPTIONAL: u16 = 1;
}

/// The types of the information that the guest gets (3.6).
pub(in crate::boot) mod info {
    pub(in crate::boot) const END: u32 = 0;
    pub(in crate::boot) const COMMAND_LINE: u32 = 1;
    pub(in crate::boot) const LOADER_NAME: u32 = 2;
    pub(in crate::boot) const MODULE: u32 = 3;
    pub(in crate::boot) const MEMORY: u32 = 4;
    pub(in crate::boot) const MEMORY_MAP: u32 = 6;
    pub(in crate::boot) const ACPI_NEW: u32 = 15;
    /// All that are given.
    pub(in crate::boot) const ALL: [u32; 6] =
        [COMMAND_LINE, LOADER_NAME, MODULE, MEMORY, MEMORY_MAP, ACPI_NEW];
}

/// A Multiboot 2 header.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::boot) struct Header {
    /// Its place in the file.
    pub(in crate::boot) at: usize,
    pub(in crate::boot) addresses: Option<Addresses>,
    pub(in crate::boot) entry: Option<u32>,
    /// What it demands and can't be given.
    pub(in crate::boot) lacks: Option<String>,
}

impl Header {
    /// Finds the header in an image.
    pub(in crate::boot) fn find(bytes: &[u8]) -> Option<Self> {
        let bytes = &bytes[..bytes.len().min(SEARCHED)];
        let word = |at| word(bytes, at);
        let at = (0..bytes.len()).step_by(8).find(|&at| {
            let fields = [at, at + 4, at + 8, at + 12].map(word);
            fields[..2] == [Some(MAGIC), Some(I386)]
                && fields.iter().try_fold(0, |sum: u32, field| Some(sum.wrapping_add((*field)?)))
                    == Some(0)
        })?;
        let mut header = Self { at, ..Self::default() };
        let end = at.saturating_add(word(at + 8)? as usize).min(bytes.len());
        let mut tag = at + 16;
        while let Some(size) = word(tag + 4).filter(|_| tag < end) {
            let kind = word(tag)?;
            let (kind, flags) = (kind as u16, (kind >> 16) as u16);
            if kind == tag::END || size < 8 {
                break;
            }
            let content = bytes.get(tag + 8..tag + size as usize).unwrap_or_default();
            header.take(kind, flags & tag::OPTIONAL != 0, content);
            tag += (size as usize).next_multiple_of(8);
        }
        Some(header)
    }

    fn take(&mut self, kind: u16, optional: bool, content: &[u8]) {
        let field = |number: usize| word(content, number * 4);
        let lacks = match kind {
            tag::INFORMATION => {
                let mut asked = (0..content.len() / 4).filter_map(field);
                asked
                    .find(|kind| !info::ALL.contains(kind))
                    .map(|kind| format!("information of type {kind}"))
            }
            tag::ADDRESS => {
                if let [Some(header), Some(start), Some(end), Some(bss_end)] =
                    [0, 1, 2, 3].map(field)
                {
                    self.addresses = Some(Addresses { header, start, end, bss_end });
                }
                None
            }
            tag::ENTRY => {
                self.entry = field(0);
                None
            }
            tag::CONSOLE | tag::ALIGN_MODULES | tag::RELOCATABLE => None,
            kind if tag::EFI.contains(&kind) => None,
            tag::FRAMEBUFFER => Some("a framebuffer".into()),
            kind => Some(format!("a feature of type {kind}")),
        };
        if !optional {
            self.lacks = self.lacks.take().or(lacks);
        }
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}
