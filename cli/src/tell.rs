//! Prints messages for people, and output for programs.

use std::io;

use crate::writer::{ERROR, OUTPUT};

/// Prints a line for the user, on standard error.
pub(crate) fn user(line: &str) {
    ERROR.put(format!("{line}\n"));
}

/// Prints text on standard output, which is for what the user asked for. An error names standard
/// output, and ends the program in order.
pub(crate) fn output(text: &str) -> io::Result<()> {
    OUTPUT.put(text);
    OUTPUT.flush().or_else(|error| {
        // Output that was not read in time is reported at the program's end.
        if error.kind() == io::ErrorKind::TimedOut {
            return Ok(());
        }
        Err(io::Error::new(error.kind(), format!("standard output: {error}")))
    })
}
