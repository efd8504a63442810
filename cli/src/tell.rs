//! What the program has to say, to people and to programs.

use std::io;

use crate::writer::{ERROR, OUTPUT};

/// A line for the user, on standard error.
pub(crate) fn user(line: &str) {
    ERROR.put(format!("{line}\n"));
}

/// Text on standard output, which carries what was asked for. An error, which names it, ends the
/// program in order.
pub(crate) fn output(text: &str) -> io::Result<()> {
    OUTPUT.put(text);
    OUTPUT.flush().or_else(|error| {
        // That nobody has read it in time is told at the program's end.
        if error.kind() == io::ErrorKind::TimedOut {
            return Ok(());
        }
        Err(io::Error::new(error.kind(), format!("standard output: {error}")))
    })
}
