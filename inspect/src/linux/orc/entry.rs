//! The formats of an entry: 6 bytes, of which the last two have changed.

use vmm::paging::PhysicalMemory;

use crate::linux::view::View;

/// The number of bytes in `.orc_header`: a SHA-1 of the format's definition.
const HEADER: usize = 20;
/// The hash of the format of 6.3 (kernel commit ffb1b4a41016).
const HASH_6_3: [u8; HEADER] = [
    0xdb, 0x84, 0xae, 0xd4, 0x10, 0x3b, 0x31, 0xdd, 0x51, 0xe0, 0x17, 0xf8, 0xf7, 0x97, 0x83, 0xca,
    0x98, 0x5c, 0x2c, 0x51,
];
/// The hash of the format of 6.4 and later (kernel commit fb799447ae29).
const HASH_6_4: [u8; HEADER] = [
    0xfe, 0x5d, 0x32, 0xbf, 0x58, 0x1b, 0xd6, 0x3b, 0x2c, 0xa9, 0xa5, 0xc6, 0x5b, 0xa5, 0xa6, 0x25,
    0xea, 0xb3, 0xfe, 0x24,
];

/// Where a value of the caller is, or from what it is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Base {
    Undefined,
    PreviousSp,
    Dx,
    Di,
    Bp,
    Sp,
    R10,
    R13,
    BpIndirect,
    SpIndirect,
}

/// What is on the stack at the caller's stack pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Below it, a return address.
    Call,
    /// All registers of what was interrupted (`struct pt_regs`).
    Registers,
    /// The part of them that the processor pushes: RIP, CS, RFLAGS, RSP, SS.
    InterruptFrame,
    /// The stack ends here, or how it goes on is not known.
    End,
}

/// How a range of instructions is unwound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) sp_offset: i16,
    pub(super) bp_offset: i16,
    pub(super) sp: Base,
    pub(super) bp: Base,
    pub(super) kind: Kind,
    /// Whether the caller's address is an instruction that was interrupted, and not one behind a
    /// call.
    pub(super) is_signal: bool,
}

/// The meaning of an entry's last two bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// Up to 6.2: base of SP (4 bits), base of BP (4), kind (2), end (1).
    V4_14,
    /// 6.3: base of SP (4 bits), base of BP (4), kind (2), signal (1), end (1).
    V6_3,
    /// From 6.4 on: base of SP (4 bits), base of BP (4), kind (3), signal (1).
    V6_4,
}

impl Format {
    /// The format of a kernel's tables: by the hash in its header, or, before there were headers,
    /// by the version in its banner (`Linux version 6.1.0-...`).
    pub(super) fn of<M: PhysicalMemory + ?Sized>(
        view: &View<'_, M>,
        header: Option<(u64, u64)>,
        banner: &[u8],
    ) -> Result<Self, &'static str> {
        let Some((start, end)) = header else {
            return match version(banner) {
                Some((major, minor)) if (major, minor) < (6, 3) => Ok(Self::V4_14),
                Some((6, 3)) => Ok(Self::V6_3),
                Some(_) => Err("its ORC tables have no header, which says what their format is"),
                None => Err("its version, and so the format of its ORC tables, is not known"),
            };
        };
        let mut hash = [0; HEADER];
        let is_read = end.checked_sub(start) == Some(HEADER as u64) && view.read(start, &mut hash);
        match hash {
            HASH_6_3 if is_read => Ok(Self::V6_3),
            HASH_6_4 if is_read => Ok(Self::V6_4),
            _ => Err("the format of its ORC tables is not known"),
        }
    }

    /// Whether an entry can be one of this format.
    pub(super) fn is_valid(self, bytes: [u8; 6]) -> bool {
        self.entry(bytes).is_some()
    }

    /// Decodes an entry; `None` if it has values that this format does not have.
    pub(super) fn entry(self, bytes: [u8; 6]) -> Option<Entry> {
        let [sp_low, sp_high, bp_low, bp_high, bases, rest] = bytes;
        let (sp, bp) = (base(bases & 0xf)?, base(bases >> 4)?);
        let is_end = |bit: u8| rest >> bit & 1 == 1 || sp == Base::Undefined;
        let (kind, is_signal, unused) = match self {
            Self::V4_14 => (kind(rest & 3, is_end(2))?, rest & 3 != 0, rest >> 3),
            Self::V6_3 => (kind(rest & 3, is_end(3))?, rest >> 2 & 1 == 1, rest >> 4),
            Self::V6_4 => {
                let kind = match rest & 7 {
                    0 | 1 => Kind::End,
                    number => kind(number - 2, false)?,
                };
                (kind, rest >> 3 & 1 == 1, rest >> 4)
            }
        };
        (unused == 0).then_some(Entry {
            sp_offset: i16::from_le_bytes([sp_low, sp_high]),
            bp_offset: i16::from_le_bytes([bp_low, bp_high]),
            sp,
            bp,
            kind,
            is_signal,
        })
    }
}

fn kind(number: u8, is_end: bool) -> Option<Kind> {
    let kind = [Kind::Call, Kind::Registers, Kind::InterruptFrame].get(usize::from(number))?;
    Some(if is_end { Kind::End } else { *kind })
}

fn base(number: u8) -> Option<Base> {
    use Base::{Bp, BpIndirect, Di, Dx, PreviousSp, R10, R13, Sp, SpIndirect, Undefined};
    const BASES: [Base; 10] =
        [Undefined, PreviousSp, Dx, Di, Bp, Sp, R10, R13, BpIndirect, SpIndirect];
    BASES.get(usize::from(number)).copied()
}

/// Major and minor version in a kernel's banner.
fn version(banner: &[u8]) -> Option<(u32, u32)> {
    let text = banner.strip_prefix(b"Linux version ")?;
    let text = std::str::from_utf8(text.get(..16)?).ok()?;
    let mut numbers = text.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}
