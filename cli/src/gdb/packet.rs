//! Looks at packets before gdbstub does.

/// The longest packet, in bytes. gdb is told so.
pub(super) const MAX_PACKET: usize = 4096;

/// What becomes of the bytes that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// A packet has begun, and more of it has to come.
    Part,
    /// These bytes are for gdbstub: a whole packet, or a byte between packets.
    Whole(Vec<u8>),
    /// The packet's checksum is wrong: the client has to be told, and sends it again.
    Garbled,
}

/// The packet that is being received, from its `$` on.
#[derive(Debug, Default)]
pub(super) struct Packets {
    bytes: Vec<u8>,
}

impl Packets {
    /// Takes the next byte in. Fails with what is wrong about a packet that gdbstub can't serve: it
    /// adds the length of a read to the address.
    pub(super) fn take(&mut self, byte: u8) -> Result<Taken, &'static str> {
        if self.bytes.is_empty() && byte != b'$' {
            return Ok(Taken::Whole(vec![byte]));
        }
        self.bytes.push(byte);
        let end = self.bytes.iter().position(|byte| *byte == b'#');
        match end {
            // The characters around the contents count for the buffer, too.
            None if self.bytes.len() >= MAX_PACKET => Err("a packet that is too long"),
            Some(end) if self.bytes.len() == end + 1 + CHECKSUM => {
                let packet = std::mem::take(&mut self.bytes);
                if !has_sum(&packet[1..end], &packet[end + 1..]) {
                    return Ok(Taken::Garbled);
                }
                check(&packet[1..end])?;
                Ok(Taken::Whole(packet))
            }
            _ => Ok(Taken::Part),
        }
    }
}

/// The characters of a checksum, behind the `#`.
const CHECKSUM: usize = 2;

/// Whether the checksum is that of the contents: their sum, as two digits in base 16.
fn has_sum(contents: &[u8], sum: &[u8]) -> bool {
    let is_hex = sum.iter().all(u8::is_ascii_hexdigit);
    let sum = str::from_utf8(sum).ok().and_then(|sum| u8::from_str_radix(sum, 16).ok());
    is_hex && sum == Some(contents.iter().fold(0, |sum: u8, byte| sum.wrapping_add(*byte)))
}

fn check(packet: &[u8]) -> Result<(), &'static str> {
    let Some(read) = packet.strip_prefix(b"m") else { return Ok(()) };
    let read = String::from_utf8_lossy(read);
    let Some((address, length)) = read.split_once(',') else { return Ok(()) };
    let number = |text| u64::from_str_radix(text, 16).ok();
    match (number(address), number(length)) {
        (Some(address), Some(length)) if length <= MAX_PACKET as u64 => {
            let fits = address.checked_add(length).is_some() || address.wrapping_add(length) == 0;
            if fits { Ok(()) } else { Err("a read beyond the last address") }
        }
        _ => Err("a read of more than a packet holds"),
    }
}

#[cfg(test)]
#[path = "packet_tests.rs"]
mod tests;
