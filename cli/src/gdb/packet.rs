//! Looks at packets before gdbstub does.

/// The longest packet, in bytes. gdb is told so.
pub(super) const MAX_PACKET: usize = 4096;

/// The packet that is being received.
#[derive(Debug, Default)]
pub(super) struct Packets {
    bytes: Vec<u8>,
}

impl Packets {
    /// Takes the next byte in. Returns what is wrong with a packet that ends here and that gdbstub
    /// can't serve: it adds the length to the address.
    pub(super) fn take(&mut self, byte: u8) -> Result<(), &'static str> {
        match byte {
            b'$' if self.bytes.is_empty() => self.bytes.push(byte),
            b'#' if !self.bytes.is_empty() => {
                let packet = std::mem::take(&mut self.bytes);
                return check(&packet[1..]);
            }
            _ if !self.bytes.is_empty() && self.bytes.len() < MAX_PACKET => self.bytes.push(byte),
            _ => {}
        }
        Ok(())
    }
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
