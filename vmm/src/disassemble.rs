//! Instructions as text, in the syntax of `objdump`.

use iced_x86::{Decoder, DecoderOptions, Formatter, GasFormatter, Instruction};

/// Disassembles the first instruction in `bytes`, at `rip`, in code of 16, 32 or 64 bits.
pub(crate) fn one(bytes: &[u8], rip: u64, bits: u32) -> String {
    let mut decoder = Decoder::with_ip(bits, bytes, rip, DecoderOptions::NONE);
    let instruction = decoder.decode();
    if instruction.is_invalid() { "(bad)".into() } else { self::instruction(&instruction) }
}

/// The text of a decoded instruction.
pub(crate) fn instruction(instruction: &Instruction) -> String {
    let mut text = String::new();
    let mut formatter = GasFormatter::new();
    formatter.options_mut().set_uppercase_hex(false);
    formatter.format(instruction, &mut text);
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn reads_like_objdump() {
        assert_eq!(super::one(&[0xf3, 0x0f, 0xb8, 0xc0], 0, 64), "popcnt %eax,%eax");
        assert_eq!(super::one(&[0x06], 0, 64), "(bad)");
        assert_eq!(super::one(&[], 0, 64), "(bad)");
    }
}
