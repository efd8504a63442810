//! What goes over the control socket (docs/control.md).
//!
//! A request is a line: a command. Its answer is any number of lines that begin with a space, and
//! then one that doesn't: `ok`, `usage: PROBLEM` or `failed: PROBLEM`.

use std::io::{self, BufRead, ErrorKind, Read};

use anyhow::{Context, Result, bail};
use inspect::monitor::{Command, Refusal};

/// The most bytes of a request, without its newline.
pub(super) const MAX_REQUEST: usize = 8192;

/// A line of an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// Text for the user, with its newline.
    Text(String),
    /// The command was done.
    Done,
    /// It was not.
    Refused(Refusal),
    /// The connection has ended.
    End,
}

/// The request for a command. A file is named by its whole path: the run has a folder of its own.
pub(super) fn request(line: &str, command: &Command) -> Result<String> {
    let request = match command {
        Command::Dump(path) => {
            let path = std::path::absolute(path).with_context(|| path.display().to_string())?;
            let Some(path) = path.to_str() else {
                bail!("{}: the current folder's path is not valid UTF-8", path.display());
            };
            format!("dump {path}")
        }
        _ => line.to_owned(),
    };
    if request.contains('\n') || request.len() > MAX_REQUEST {
        bail!("ctl: a command is a line of at most {MAX_REQUEST} bytes");
    }
    Ok(request + "\n")
}

/// The whole answer to a request.
pub(super) fn answer(done: Result<String, Refusal>) -> String {
    let one_line = |text: &str| text.replace(['\n', '\r'], " ");
    match done {
        Ok(text) => {
            let lines = text.lines().map(|line| format!(" {line}\n"));
            lines.collect::<String>() + "ok\n"
        }
        Err(Refusal::Usage(problem)) => format!("usage: {}\n", one_line(&problem)),
        Err(Refusal::Failed(problem)) => format!("failed: {}\n", one_line(&problem)),
    }
}

/// What came over the socket for a server.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Request {
    /// A whole line, without its newline.
    Line(String),
    /// Something else: what is wrong.
    Garbage(&'static str),
    /// The end. A line that was begun doesn't count.
    End,
}

/// Reads a request.
pub(super) fn read_request(from: &mut impl BufRead) -> io::Result<Request> {
    let mut bytes = Vec::new();
    from.take(MAX_REQUEST as u64 + 1).read_until(b'\n', &mut bytes)?;
    if bytes.pop_if(|last| *last == b'\n').is_none() {
        let is_long = bytes.len() > MAX_REQUEST;
        return Ok(if is_long { Request::Garbage("a line is too long") } else { Request::End });
    }
    let line = String::from_utf8(bytes);
    Ok(line.map_or(Request::Garbage("a line is not valid UTF-8"), Request::Line))
}

/// Reads a line of an answer. `waits` is called whenever none has come for a while.
pub(super) fn read_answer(from: &mut impl BufRead, mut waits: impl FnMut()) -> io::Result<Line> {
    let mut bytes = Vec::new();
    loop {
        match from.read_until(b'\n', &mut bytes) {
            Ok(_) => break,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                waits();
            }
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(Line::End),
            Err(error) => return Err(error),
        }
    }
    if bytes.pop_if(|last| *last == b'\n').is_none() {
        return Ok(Line::End);
    }
    let line = String::from_utf8_lossy(&bytes);
    if let Some(text) = line.strip_prefix(' ') {
        return Ok(Line::Text(format!("{text}\n")));
    }
    match line.split_once(": ") {
        None if line == "ok" => Ok(Line::Done),
        Some(("usage", problem)) => Ok(Line::Refused(Refusal::Usage(problem.into()))),
        Some(("failed", problem)) => Ok(Line::Refused(Refusal::Failed(problem.into()))),
        _ => Err(io::Error::other("this is no answer of jitterbug's")),
    }
}

#[cfg(test)]
#[path = "protocol_tests.rs"]
mod tests;
