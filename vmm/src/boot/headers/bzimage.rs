//! The setup header of a bzImage.

use linux_loader::loader::bootparam::setup_header;
use vm_memory::ByteValued;

/// The signature at the end of the boot sector, and its place.
const BOOT_FLAG: u16 = 0xaa55;
/// `HdrS` in little-endian order.
pub(in crate::boot) const MAGIC: u32 = 0x5372_6448;
/// The place of the setup header in the file, and of the byte from which its end is computed.
const HEADER: usize = 0x1f1;
const LENGTH: usize = 0x201;
/// A sector, in which the size of the setup code is counted.
const SECTOR: usize = 512;
/// The setup header of a bzImage.
pub(in crate::boot) struct SetupHeader(pub(in crate::boot) setup_header);

impl SetupHeader {
    /// Reads the header. `None` if the file has none.
    pub(in crate::boot) fn read(bytes: &[u8]) -> Option<Self> {
        // The magic number and the version have been there from the first version on.
        let end = (0x202 + usize::from(*bytes.get(LENGTH)?)).max(0x208);
        let mut raw = [0; size_of::<setup_header>()];
        // Fields behind the header's own end don't exist in its version of the protocol.
        let known = bytes.get(HEADER..end.min(HEADER + raw.len()))?;
        raw[..known.len()].copy_from_slice(known);
        let header = *setup_header::from_slice(&raw)?;
        let (flag, magic) = (header.boot_flag, header.header);
        (flag == BOOT_FLAG && magic == MAGIC).then_some(Self(header))
    }

    /// Linux's version, such as `6.12.0 (builder@host) #1 SMP`, which it always has, in this form.
    /// Others leave the text out, or write a shorter one there.
    pub(in crate::boot) fn version_text<'a>(&self, bytes: &'a [u8]) -> Option<&'a str> {
        let pointer = usize::from(self.0.kernel_version);
        let text = bytes.get(pointer.checked_add(0x200)?..).filter(|_| pointer != 0)?;
        let text = text.split(|byte| *byte == 0).next()?;
        let text = std::str::from_utf8(text).ok()?;
        (text.contains(" (") && text.contains(") #")).then_some(text)
    }

    /// The place of the kernel behind the setup code.
    pub(in crate::boot) fn kernel_offset(&self) -> usize {
        let sectors = match self.0.setup_sects {
            0 => 4, // the protocol's default
            sectors => usize::from(sectors),
        };
        (sectors + 1) * SECTOR
    }
}
