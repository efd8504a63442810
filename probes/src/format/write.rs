//! Prints a value according to its conversion.

use std::io::Write as _;

use super::{Conversion, Kind};

impl Conversion {
    /// Appends an integer.
    pub fn integer(self, value: u64, out: &mut Vec<u8>) {
        let value = match self.bits {
            8 => value & 0xff,
            16 => value & 0xffff,
            _ => value,
        };
        if self.kind == Kind::Character {
            return self.pad(&[], &[value as u8], false, out);
        }
        // The longest number has 22 octal digits. The buffer is on the stack because this may run
        // millions of times.
        let mut buffer = [0; 24];
        let mut room = buffer.as_mut_slice();
        let size = room.len();
        let (prefix, result): (&[u8], _) = match self.kind {
            Kind::Signed => {
                let value = self.signed(value);
                let sign: &[u8] = if value < 0 { b"-" } else { b"" };
                (sign, write!(room, "{}", value.unsigned_abs()))
            }
            Kind::Hex if self.alternate && value != 0 => (b"0x", write!(room, "{value:x}")),
            Kind::UpperHex if self.alternate && value != 0 => (b"0X", write!(room, "{value:X}")),
            Kind::Octal if self.alternate && value != 0 => (b"0", write!(room, "{value:o}")),
            Kind::Pointer => (b"0x", write!(room, "{value:x}")),
            Kind::Hex => (b"", write!(room, "{value:x}")),
            Kind::UpperHex => (b"", write!(room, "{value:X}")),
            Kind::Octal => (b"", write!(room, "{value:o}")),
            Kind::Unsigned | Kind::Character | Kind::Text => (b"", write!(room, "{value}")),
        };
        let used = size - room.len();
        debug_assert!(result.is_ok(), "64 bits fit");
        self.pad(prefix, buffer.get(..used).unwrap_or_default(), self.zero, out);
    }

    /// Appends a string.
    pub fn text(self, value: &[u8], out: &mut Vec<u8>) {
        self.pad(&[], value, false, out);
    }

    fn signed(self, value: u64) -> i64 {
        match self.bits {
            8 => i64::from(value as i8),
            16 => i64::from(value as i16),
            _ => value as i64,
        }
    }

    fn pad(self, prefix: &[u8], body: &[u8], zero: bool, out: &mut Vec<u8>) {
        let missing = usize::from(self.width).saturating_sub(prefix.len() + body.len());
        let fill = |byte, out: &mut Vec<u8>| out.extend(std::iter::repeat_n(byte, missing));
        if !self.left && !zero {
            fill(b' ', out);
        }
        out.extend_from_slice(prefix);
        if !self.left && zero {
            fill(b'0', out);
        }
        out.extend_from_slice(body);
        if self.left {
            fill(b' ', out);
        }
    }
}
