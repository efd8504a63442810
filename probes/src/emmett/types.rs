//! Types of values, and the layout of structures in the guest's memory.

use crate::ir::Space;

/// A memory model: how the memory to which a pointer points is laid out and read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Model {
    /// Linear addresses. An `int` has 2 bytes, a `long` 4, a pointer 2.
    Guest16,
    /// Linear addresses. An `int`, a `long` and a pointer have 4 bytes each.
    Guest32,
    /// Linear addresses. An `int` has 4 bytes, a `long` and a pointer have 8.
    #[default]
    Guest64,
    /// Guest-physical addresses. Sizes are as in `guest64`.
    Physical,
}

impl Model {
    /// The name of the model in scripts.
    pub fn name(self) -> &'static str {
        match self {
            Self::Guest16 => "guest16",
            Self::Guest32 => "guest32",
            Self::Guest64 => "guest64",
            Self::Physical => "guestphys",
        }
    }

    /// The size of an `int` in bytes.
    pub fn int(self) -> u8 {
        if self == Self::Guest16 { 2 } else { 4 }
    }

    /// The size of a `long` in bytes.
    pub fn long(self) -> u8 {
        match self {
            Self::Guest16 | Self::Guest32 => 4,
            Self::Guest64 | Self::Physical => 8,
        }
    }

    /// The size of a pointer in bytes.
    pub fn pointer(self) -> u8 {
        match self {
            Self::Guest16 => 2,
            Self::Guest32 => 4,
            Self::Guest64 | Self::Physical => 8,
        }
    }

    /// The address space of pointers.
    pub fn space(self) -> Space {
        if self == Self::Physical { Space::Physical } else { Space::Linear }
    }
}

/// The type of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Type {
    /// No value.
    Void,
    /// An unsigned integer of this size in bytes. A variable of the script has 64 bits whatever its
    /// type.
    Integer(u8),
    /// An address in a model's memory, and the type of what is there.
    Pointer(Box<Type>, Model),
    /// An array, with the type and the number of its elements.
    Array(Box<Type>, u64),
    /// A structure or union, by its index in [`Records`].
    Record(usize),
    /// A string of the script.
    Str,
}

impl Type {
    /// The type of plain numbers.
    pub const NUMBER: Self = Self::Integer(8);

    /// Whether a variable or an expression of the script can have this type as an integer.
    pub fn is_scalar(&self) -> bool {
        matches!(self, Self::Integer(_) | Self::Pointer(..))
    }
}

/// A structure or union.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// Its name; empty if it has none.
    pub tag: String,
    /// Whether it is a `union`.
    pub is_union: bool,
    /// Its fields; `None` until they are defined.
    pub fields: Option<Vec<Field>>,
    /// Its size in bytes.
    pub size: u64,
    /// Its alignment in bytes.
    pub align: u64,
}

/// A field of a structure or union.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name; empty for a structure without a name, whose fields count as fields of the outer
    /// structure.
    pub name: String,
    /// Its type.
    pub of: Type,
    /// Its offset in bytes.
    pub offset: u64,
    /// For a bit-field: its first bit and its number of bits.
    pub bits: Option<(u8, u8)>,
}

/// All structures and unions of a script.
#[derive(Clone, Debug, Default)]
pub struct Records(pub Vec<Record>);

/// The largest size of a structure, so that sums of offsets don't overflow.
pub const MAX_SIZE: u64 = 1 << 32;

impl Records {
    /// The size of a type in bytes; `None` for a type without a size.
    pub fn size(&self, of: &Type) -> Option<u64> {
        match of {
            Type::Void | Type::Str => None,
            Type::Integer(bytes) => Some(u64::from(*bytes)),
            Type::Pointer(_, model) => Some(u64::from(model.pointer())),
            Type::Array(of, count) => self.size(of)?.checked_mul(*count).filter(|s| *s <= MAX_SIZE),
            Type::Record(index) => {
                let record = self.0.get(*index)?;
                record.fields.as_ref().map(|_| record.size)
            }
        }
    }

    /// The alignment of a type in bytes.
    pub fn align(&self, of: &Type) -> u64 {
        match of {
            Type::Void | Type::Str => 1,
            Type::Integer(bytes) => u64::from(*bytes),
            Type::Pointer(_, model) => u64::from(model.pointer()),
            Type::Array(of, _) => self.align(of),
            Type::Record(index) => self.0.get(*index).map_or(1, |record| record.align.max(1)),
        }
    }

    /// A field by its name, including fields of inner structures without a name.
    pub fn field(&self, record: usize, name: &str) -> Option<Field> {
        let fields = self.0.get(record)?.fields.as_ref()?;
        if let Some(field) = fields.iter().find(|field| field.name == name) {
            return Some(field.clone());
        }
        fields.iter().filter(|field| field.name.is_empty()).find_map(|outer| {
            let Type::Record(inner) = outer.of else { return None };
            let mut field = self.field(inner, name)?;
            field.offset += outer.offset;
            Some(field)
        })
    }

    /// The names of all fields, for suggestions.
    pub fn fields(&self, record: usize) -> impl Iterator<Item = &str> {
        let fields = self.0.get(record).and_then(|record| record.fields.as_ref());
        fields.into_iter().flatten().map(|field| field.name.as_str())
    }

    /// What a type is, in words for messages.
    pub fn describe(&self, of: &Type) -> String {
        match of {
            Type::Void => "nothing".into(),
            Type::Integer(_) => "an integer".into(),
            Type::Str => "a string".into(),
            Type::Pointer(..) => "a pointer".into(),
            Type::Array(..) => "an array".into(),
            Type::Record(index) => {
                let record = self.0.get(*index);
                let kind = if record.is_some_and(|r| r.is_union) { "union" } else { "struct" };
                format!("{kind} {}", record.map_or("", |record| &record.tag)).trim_end().to_owned()
            }
        }
    }
}

/// Places fields one after the other, according to the System V ABI for x86.
#[derive(Debug, Default)]
pub struct Layout {
    /// The next free bit.
    next: u64,
}

impl Layout {
    /// Places a field that has no explicit offset, and returns its offset.
    pub fn place(&mut self, size: u64, align: u64) -> u64 {
        let offset = self.size().next_multiple_of(align.max(1));
        self.next = offset.saturating_add(size).saturating_mul(8);
        offset
    }

    /// Places a field at an offset that the script gives; `false` if the offset is before the end
    /// of the earlier fields.
    pub fn place_at(&mut self, offset: u64, size: u64) -> bool {
        let fits = offset >= self.size();
        self.next = self.next.max(offset.saturating_add(size).saturating_mul(8));
        fits
    }

    /// Places a bit-field whose type has `size` bytes. Returns the offset of the storage unit of
    /// that type that holds the field, and the field's first bit there. A bit-field never spans two
    /// units, and one of 0 bits ends the current unit.
    pub fn place_bits(&mut self, size: u64, bits: u64) -> (u64, u8) {
        let unit = size.max(1) * 8;
        if bits == 0 || self.next % unit + bits > unit {
            self.next = self.next.next_multiple_of(unit);
        }
        let first = self.next % unit;
        let offset = (self.next - first) / 8;
        self.next += bits;
        (offset, first as u8)
    }

    /// The size in bytes of all fields so far.
    pub fn size(&self) -> u64 {
        self.next.div_ceil(8)
    }
}
