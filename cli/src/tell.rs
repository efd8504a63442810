//! Printing that survives a reader who has gone away: `println!` would panic.

use std::io::{self, Write};

/// A line for the user, on standard error.
pub(crate) fn user(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Text on standard output, which carries what was asked for. An error, which names it, ends the
/// program in order.
pub(crate) fn output(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).or_else(|error| {
        // `jitterbug guests | head` is no failure.
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Ok(());
        }
        Err(io::Error::new(error.kind(), format!("standard output: {error}")))
    })
}
