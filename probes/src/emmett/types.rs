//! Types, and how structures lie in the guest's memory.

use crate::ir::Space;

/// How the memory that a pointer points into is laid out and read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Model {
    /// Linear addresses; `int` has 2 bytes, `long` 4, a pointer 2.
    Guest16,
    /// Linear addresses; `int`, `long` and pointers have 4 bytes.
    Guest32,
    /// Linear addresses; `int` has 4 bytes, `long` and pointers 8.
    #[default]
    Guest64,
    /// Guest-physical addresses; sizes as in `guest64`.
    Physical,
}

impl Model {
    /// Bytes of an `int`.
    pub fn int(self) -> u8 {
        if self == Self::Guest16 { 2 } else { 4 }
    }

    /// Bytes of a `long`.
    pub fn long(self) -> u8 {
        match self {
            Self::Guest16 | Self::Guest32 => 4,
            Self::Guest64 | Self::Physical => 8,
        }
    }

    /// Bytes of a pointer.
    pub fn pointer(self) -> u8 {
        match self {
            Self::Guest16 => 2,
            Self::Guest32 => 4,
            Self::Guest64 | Self::Physical => 8,
        }
    }

    /// Whose addresses they are.
    pub fn space(self) -> Space {
        if self == Self::Physical { Space::Physical } else { Space::Linear }
    }
}

/// What a value is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Type {
    /// Nothing.
    Void,
    /// An unsigned integer of so many bytes. A variable of the script has 64 bits all the same.
    Integer(u8),
    /// An address in a model's memory, and what is there.
    Pointer(Box<Type>, Model),
    /// So many in a row.
    Array(Box<Type>, u64),
    /// A structure or union, by its index in [`Records`].
    Record(usize),
    /// A string of the script.
    Str,
}

impl Type {
    /// The type of numbers.
    pub const NUMBER: Self = Self::Integer(8);

    /// Whether a variable or an expression of the script can have it as an integer.
    pub fn is_scalar(&self) -> bool {
        matches!(self, Self::Integer(_) | Self::Pointer(..))
    }
}

/// A structure or union.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// Its name, or an empty one.
    pub tag: String,
    /// `union`.
    pub is_union: bool,
    /// `None` until it is defined.
    pub fields: Option<Vec<Field>>,
    /// Bytes.
    pub size: u64,
    /// What its address is a multiple of.
    pub align: u64,
}

/// A field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name; that of a structure without a name is empty, and its fields count as the outer
    /// one's.
    pub name: String,
    /// Its type.
    pub of: Type,
    /// Bytes from the start.
    pub offset: u64,
    /// For a bit-field: the first bit and how many.
    pub bits: Option<(u8, u8)>,
}

/// All structures of a script.
#[derive(Clone, Debug, Default)]
pub struct Records(pub Vec<Record>);

/// No structure is larger: offsets stay numbers that can be added.
pub const MAX_SIZE: u64 = 1 << 32;

impl Records {
    /// Bytes; `None` for what has no size.
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

    /// What its address is a multiple of.
    pub fn align(&self, of: &Type) -> u64 {
        match of {
            Type::Void | Type::Str => 1,
            Type::Integer(bytes) => u64::from(*bytes),
            Type::Pointer(_, model) => u64::from(model.pointer()),
            Type::Array(of, _) => self.align(of),
            Type::Record(index) => self.0.get(*index).map_or(1, |record| record.align.max(1)),
        }
    }

    /// A field by its name, also inside structures without a name.
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

    /// How a type is called in messages.
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

/// Places fields one after the other, as the System V ABI for x86 does it.
#[derive(Debug, Default)]
pub struct Layout {
    /// The next free bit.
    next: u64,
}

impl Layout {
    /// The offset of a field that has no offset of its own.
    pub fn place(&mut self, size: u64, align: u64) -> u64 {
        let offset = self.size().next_multiple_of(align.max(1));
        self.next = offset.saturating_add(size).saturating_mul(8);
        offset
    }

    /// A field at an offset that the script gives; `false` if it lies before the end of those
    /// before.
    pub fn place_at(&mut self, offset: u64, size: u64) -> bool {
        let fits = offset >= self.size();
        self.next = self.next.max(offset.saturating_add(size).saturating_mul(8));
        fits
    }

    /// A bit-field of a type of `size` bytes: where the unit of that type begins that it is in, and
    /// its first bit there. It never lies in two of them; one of no bits ends the unit.
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

    /// Bytes up to here.
    pub fn size(&self) -> u64 {
        self.next.div_ceil(8)
    }
}
