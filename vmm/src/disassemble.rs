//! Instructions as text, in AT&T syntax.

use iced_x86::{Formatter, GasFormatter, Instruction};

use crate::instruction::decode_all;

/// How the numbers of an instruction are written. Reports and explanations differ in this, and
/// documents and findings show both, so each keeps to its notation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Numbers {
    /// Numbers below 10 are decimal, others hexadecimal, and the target of a branch has 16 digits:
    /// `cmp $1,%eax`. Messages and explanations use this notation.
    Short,
    /// All numbers are hexadecimal and without leading zeros, as `objdump -d` writes them:
    /// `cmp $0x1,%eax`. Reports of what a vCPU is doing use this notation.
    Hexadecimal,
}

/// The text of an instruction.
pub fn text(instruction: &Instruction, numbers: Numbers) -> String {
    let mut formatter = GasFormatter::new();
    let options = formatter.options_mut();
    options.set_uppercase_hex(false);
    if numbers == Numbers::Hexadecimal {
        options.set_branch_leading_zeros(false);
        options.set_small_hex_numbers_in_decimal(false);
    }
    let mut text = String::new();
    formatter.format(instruction, &mut text);
    text
}

/// The text of an instruction in a message.
pub(crate) fn instruction(instruction: &Instruction) -> String {
    text(instruction, Numbers::Short)
}

/// Disassembles the first instruction in `bytes`, at `rip`, in code of 16, 32 or 64 bits.
pub(crate) fn one(bytes: &[u8], rip: u64, bits: u32) -> String {
    let first = decode_all(bytes, rip, bits).next();
    first.map_or_else(|| "(bad)".into(), |first| instruction(&first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_not_an_instruction_are_bad() {
        assert_eq!(one(&[0xf3, 0x0f, 0xb8, 0xc0], 0, 64), "popcnt %eax,%eax");
        assert_eq!(one(&[0x06], 0, 64), "(bad)");
        assert_eq!(one(&[], 0, 64), "(bad)");
    }

    #[test]
    fn numbers_are_written_in_two_ways() {
        let both = |code: &[u8]| {
            let instruction = decode_all(code, 0x1000, 64).next().expect("an instruction");
            [Numbers::Short, Numbers::Hexadecimal].map(|numbers| text(&instruction, numbers))
        };
        assert_eq!(both(&[0x83, 0xf8, 0x01]), ["cmp $1,%eax", "cmp $0x1,%eax"]);
        assert_eq!(both(&[0x83, 0xf8, 0x2a]), ["cmp $0x2a,%eax"; 2]);
        assert_eq!(both(&[0x75, 0xfe]), ["jne 0x0000000000001000", "jne 0x1000"]);
        assert_eq!(both(&[0x8b, 0x05, 0, 1, 0, 0]), ["mov 0x1106,%eax"; 2]);
    }
}
