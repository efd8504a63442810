//! Reads files whole.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// The longest file that is read, in bytes: longer than any kernel with its debugging information.
const MAX_FILE_BYTES: u64 = 2 << 30;
/// The longest text (a script or a schedule) that is read, in bytes.
const MAX_TEXT: u64 = 64 << 20;

/// Reads a file's bytes. Fails if the file is too long, or has no end.
pub(crate) fn bytes(path: &Path) -> io::Result<Vec<u8>> {
    up_to(path, MAX_FILE_BYTES)
}

/// Reads a file's text.
pub(crate) fn text(path: &Path) -> io::Result<String> {
    let bytes = up_to(path, MAX_TEXT)?;
    String::from_utf8(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

fn up_to(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    // A pipe has no length, and /dev/zero no end, so the length is checked after reading, too.
    let too_long = || io::Error::other(format!("it is longer than {} MiB", most >> 20));
    if metadata.len() > most {
        return Err(too_long());
    }
    let mut bytes = Vec::with_capacity(metadata.len() as usize);
    file.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most { Err(too_long()) } else { Ok(bytes) }
}
