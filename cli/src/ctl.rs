//! `jitterbug ctl`: sends a command to a run that has a control socket (`run --ctl`).

mod protocol;
mod server;

use std::io::{BufReader, ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use inspect::monitor::{Command, HELP, Refusal};

use crate::args::CtlArgs;
use crate::socket::check_length;
use crate::status::Status;
use crate::tell;
use protocol::Line;

pub(crate) use server::Server;

/// After this time without an answer the user is told that there is none yet.
const PATIENCE: Duration = Duration::from_secs(5);

/// Sends the command, prints its answer, and returns the exit status.
pub(crate) fn run(args: &CtlArgs) -> Result<Status> {
    let line = args.command.join(" ");
    let command = Command::parse(&line).map_err(|refusal| anyhow!("ctl: {refusal}"))?;
    if command == Command::Help {
        tell::output(HELP)?;
        return Ok(Status::Clean);
    }
    let request = protocol::request(&line, &command)?;
    let socket = args.socket.display();
    let stream = connect(&args.socket)?;
    let broken = || format!("{socket}: the connection broke");
    stream.set_read_timeout(Some(PATIENCE)).with_context(broken)?;
    match (&stream).write_all(request.as_bytes()) {
        // A server that has too many clients has answered already, and closed the connection.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
        sent => sent.with_context(broken)?,
    }
    let mut answer = BufReader::new(&stream);
    let (mut text, mut told) = (String::new(), false);
    loop {
        let line = protocol::read_answer(&mut answer, || {
            if !std::mem::replace(&mut told, true) {
                tell::user(&format!("jitterbug: {socket}: no answer yet; Ctrl-C ends the wait"));
            }
        });
        match line.with_context(broken)? {
            Line::Text(line) => text.push_str(&line),
            Line::Done => {
                tell::output(&text)?;
                return Ok(Status::Clean);
            }
            Line::Refused(Refusal::Usage(problem)) => bail!("{problem}"),
            Line::Refused(Refusal::Failed(problem)) => {
                tell::user(&format!("jitterbug: {problem}"));
                return Ok(Status::Failure);
            }
            Line::End => {
                tell::user(&format!(
                    "jitterbug: {socket}: the run ended before the command was answered"
                ));
                return Ok(Status::Failure);
            }
        }
    }
}

fn connect(path: &Path) -> Result<UnixStream> {
    check_length(path).with_context(|| path.display().to_string())?;
    UnixStream::connect(path).map_err(|error| {
        let hint = match error.kind() {
            ErrorKind::NotFound => ": give the socket of `run --ctl`; its run may be over",
            ErrorKind::ConnectionRefused => {
                ": no program listens there: it is no socket, or its run is over"
            }
            _ => "",
        };
        anyhow!("{}: {error}{hint}", path.display())
    })
}
