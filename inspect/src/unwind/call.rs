//! Tells whether an address is behind a call instruction.

/// The longest call in bytes, without prefixes: the opcode, `ModRM`, SIB and 4 bytes.
pub(super) const LONGEST: usize = 7;

/// Whether these bytes end in a call: `e8` with a relative address, or `ff` with `ModRM.reg` 2
/// (near) or 3 (far) in 32- and 64-bit code (Intel SDM vol. 2, CALL). Prefixes come before.
pub(super) fn is_at_end(bytes: &[u8]) -> bool {
    (0..bytes.len()).any(|start| match bytes.get(start..).unwrap_or_default() {
        [0xe8, rest @ ..] => rest.len() == 4,
        [0xff, rest @ ..] => indirect_length(rest) == Some(rest.len()),
        _ => false,
    })
}

/// The number of bytes behind the opcode `ff` of an indirect call.
fn indirect_length(bytes: &[u8]) -> Option<usize> {
    let (&modrm, rest) = bytes.split_first()?;
    let (form, operation, register) = (modrm >> 6, modrm >> 3 & 7, modrm & 7);
    if !matches!(operation, 2 | 3) {
        return None;
    }
    let has_sib = form != 3 && register == 4;
    // Without a base register there are 4 bytes of address (Intel SDM vol. 2, tables 2-2 and 2-3).
    let base = if has_sib { rest.first()? & 7 } else { register };
    let address = match form {
        0 if base == 5 => 4,
        1 => 1,
        2 => 4,
        _ => 0,
    };
    Some(1 + usize::from(has_sib) + address)
}

#[cfg(test)]
#[path = "call_tests.rs"]
mod tests;
