//! Copies bytes between the test bed and the host.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, PoisonError};

/// Copies everything that arrives, without delay, until the end. A reader that has closed its end
/// doesn't stop the copying.
pub(crate) fn pump(mut from: impl Read, mut to: impl Write) {
    let mut buffer = [0; 16 * 1024];
    let mut open = true;
    loop {
        match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => {
                open = open && to.write_all(&buffer[..length]).and_then(|()| to.flush()).is_ok();
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
}

/// Keeps the end of what is written to it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tail(Arc<Mutex<VecDeque<u8>>>);

impl Tail {
    const LENGTH: usize = 8192;

    /// The bytes that are kept, as text.
    pub(crate) fn text(&self) -> String {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(kept.make_contiguous()).into_owned()
    }
}

impl Write for Tail {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend(bytes);
        let surplus = kept.len().saturating_sub(Self::LENGTH);
        kept.drain(..surplus);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
