//! The layout of a kernel's structures, from its own description of its types
//! (`CONFIG_DEBUG_INFO_BTF`).
//!
//! The description is in the kernel's read-only data: a header, the types one behind the other, and
//! their names (`include/uapi/linux/btf.h`, `Documentation/bpf/btf.rst`). Only structures and the
//! offsets of their members are of interest here.

/// The header: magic, version, flags, its own length; then offset and length of the types and of
/// the names, from the header's end on.
const HEADER: usize = 24;
const MAGIC: u16 = 0xeb9f;
/// The size of a type, without what follows it.
const TYPE: usize = 12;
/// The size of a structure's member: name, type, offset.
const MEMBER: usize = 12;
/// How deep structures and unions without a name are searched.
const MAX_DEPTH: usize = 8;
/// The most members that a search looks at: structures that contain themselves must not multiply.
const MAX_MEMBERS: usize = 1 << 20;

const STRUCT: u32 = 4;
const UNION: u32 = 5;

/// A kernel's types.
#[derive(Debug)]
pub(super) struct Btf<'a> {
    names: &'a [u8],
    types: &'a [u8],
    /// Where each type is. Number 0 is `void`, which has no place.
    places: Vec<usize>,
}

/// A type's head.
struct Type {
    name: u32,
    kind: u32,
    /// The number of its members.
    count: usize,
    /// Whether the members' offsets have only 24 bits, and the size of a bit field above.
    has_bit_fields: bool,
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().copied().map(u32::from_le_bytes)
}

impl<'a> Btf<'a> {
    /// Reads the description; `None` if it is not whole, or has types of an unknown kind.
    pub(super) fn read(bytes: &'a [u8]) -> Option<Self> {
        let magic = bytes.first_chunk().copied().map(u16::from_le_bytes)?;
        let number = |index: usize| word(bytes, 4 * index).map(|value| value as usize);
        let header = number(1)?;
        if magic != MAGIC || bytes.get(2) != Some(&1) || header < HEADER {
            return None;
        }
        let part = |offset: usize, length: usize| {
            let start = header.checked_add(number(offset)?)?;
            bytes.get(start..start.checked_add(number(length)?)?)
        };
        let (types, names) = (part(2, 3)?, part(4, 5)?);
        let mut btf = Self { names, types, places: vec![usize::MAX] };
        let mut at = 0;
        while at < types.len() {
            btf.places.push(at);
            at += TYPE + btf.head(at)?.size_of_rest()?;
        }
        (at == types.len()).then_some(btf)
    }

    fn head(&self, at: usize) -> Option<Type> {
        let info = word(self.types, at.checked_add(4)?)?;
        Some(Type {
            name: word(self.types, at)?,
            kind: info >> 24 & 0x1f,
            count: (info & 0xffff) as usize,
            has_bit_fields: info >> 31 == 1,
        })
    }

    fn is_named(&self, name: u32, expected: &str) -> bool {
        let found = self.names.get(name as usize..).unwrap_or_default();
        let rest = found.strip_prefix(expected.as_bytes());
        rest.is_some_and(|rest| rest.first() == Some(&0))
    }

    /// The size of a structure in bytes.
    pub(super) fn size(&self, structure: &str) -> Option<u64> {
        let mut places = self.structures(structure);
        places.find_map(|at| word(self.types, at.checked_add(8)?)).map(u64::from)
    }

    /// The places of the structures with this name.
    fn structures(&self, name: &str) -> impl Iterator<Item = usize> {
        let is_wanted = move |&at: &usize| {
            self.head(at).is_some_and(|it| it.kind == STRUCT && self.is_named(it.name, name))
        };
        self.places.iter().copied().filter(is_wanted)
    }

    /// The offset in bytes of a member of a structure. Members of structures and unions without a
    /// name count as those of the structure around.
    pub(super) fn offset(&self, structure: &str, member: &str) -> Option<u64> {
        let mut left = MAX_MEMBERS;
        let mut member = |at| self.member(at, member, MAX_DEPTH, &mut left);
        let bits = self.structures(structure).find_map(&mut member)?;
        (bits % 8 == 0).then_some(u64::from(bits / 8))
    }

    /// The offset of a member in bits.
    fn member(&self, at: usize, wanted: &str, depth: usize, left: &mut usize) -> Option<u32> {
        let head = self.head(at)?;
        if !matches!(head.kind, STRUCT | UNION) {
            return None;
        }
        for number in 0..head.count {
            *left = left.checked_sub(1)?;
            let place = at + TYPE + MEMBER * number;
            let (name, of) = (word(self.types, place)?, word(self.types, place + 4)?);
            let offset = word(self.types, place + 8)?;
            let offset = if head.has_bit_fields { offset & 0x00ff_ffff } else { offset };
            if self.is_named(name, wanted) {
                return Some(offset);
            }
            if self.is_named(name, "") && depth > 0 {
                let inner = self.places.get(of as usize).copied();
                if let Some(inside) = inner.and_then(|at| self.member(at, wanted, depth - 1, left))
                {
                    return offset.checked_add(inside);
                }
            }
        }
        None
    }
}

impl Type {
    /// The number of bytes behind a type of this kind.
    fn size_of_rest(&self) -> Option<usize> {
        Some(match self.kind {
            // INT, VAR, DECL_TAG
            1 | 14 | 17 => 4,
            // ARRAY
            3 => 12,
            // STRUCT, UNION, DATASEC, ENUM64
            STRUCT | UNION | 15 | 19 => 12 * self.count,
            // ENUM, FUNC_PROTO
            6 | 13 => 8 * self.count,
            // PTR, FWD, TYPEDEF, VOLATILE, CONST, RESTRICT, FUNC, FLOAT, TYPE_TAG
            2 | 7..=12 | 16 | 18 => 0,
            _ => return None,
        })
    }
}

#[cfg(test)]
#[path = "btf_tests.rs"]
pub(super) mod tests;
