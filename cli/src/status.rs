//! The program's exit status.

use std::process::ExitCode;

use vmm::ErrorClass;
use vmm::signals::EndSignal;

use crate::{input, tell};

/// The exit status of the program. clap itself exits with 2 for wrong usage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// No failure was found.
    Clean = 0,
    /// A failure was found.
    Failure = 1,
    /// Wrong usage or input.
    Input = 2,
    /// The host lacks something that is needed.
    Host = 3,
    /// No run reached its end, or on a watched variable no race could have been seen: nothing is
    /// known about the guest, or about this variable.
    Nothing = 4,
    /// A finding did not carry over to another build of its guest.
    NotCarried = 5,
    /// A failure was found, and its file could not be written; the finding's text is on standard
    /// error.
    Lost = 6,
    /// SIGINT ended the program before a failure was found. As in shells, this is 128 plus the
    /// signal's number.
    Interrupted = 130,
    /// The same for SIGTERM.
    Terminated = 143,
}

impl Status {
    /// The name of the status in JSON.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Clean => "no failure",
            Self::Failure => "failure",
            Self::Input => "wrong input",
            Self::Host => "host can't",
            Self::Nothing => "nothing completed",
            Self::NotCarried => "not carried over",
            Self::Lost => "not written",
            Self::Interrupted => "interrupted",
            Self::Terminated => "terminated",
        }
    }

    /// The status of a program that this signal ended before a failure was found.
    pub(crate) fn interrupted(signal: EndSignal) -> Self {
        match signal {
            EndSignal::Interrupt => Self::Interrupted,
            EndSignal::Terminate => Self::Terminated,
        }
    }
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> Self {
        Self::from(status as u8)
    }
}

/// The status for an error: that of the signal if it is one, 3 if it is the host's, 2 otherwise.
pub(crate) fn of(error: &anyhow::Error) -> Status {
    if error
        .downcast_ref::<bed::Error>()
        .is_some_and(|error| error.class() == bed::ErrorClass::Host)
    {
        return Status::Host;
    }
    if let Some(input::Error::Interrupted(signal)) = error.downcast_ref() {
        return Status::interrupted(*signal);
    }
    match error.downcast_ref::<vmm::Error>().map(vmm::Error::class) {
        Some(ErrorClass::Host) => Status::Host,
        Some(ErrorClass::Input) | None => Status::Input,
    }
}

/// The status of the command, unless there was another error. A failure that was found has
/// priority: other errors are then only printed.
pub(crate) fn conclude(status: Status, problems: Vec<anyhow::Error>) -> anyhow::Result<Status> {
    let mut problems = problems.into_iter();
    let first = if status == Status::Clean { problems.next() } else { None };
    problems.for_each(|problem| tell::user(&format!("jitterbug: {problem:#}")));
    first.map_or(Ok(status), Err)
}
