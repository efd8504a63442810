//! The program's exit status.

use std::process::ExitCode;

use vmm::ErrorClass;
use vmm::interrupts::EndSignal;

use crate::tell;

/// What the program comes to. clap itself exits with 2 for wrong usage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// No failure was found.
    Clean = 0,
    /// A failure was found.
    Failure = 1,
    /// Wrong usage or input.
    Input = 2,
    /// The host can't do it.
    Host = 3,
    /// No run came to an end: nothing can be said of the guest.
    Nothing = 4,
    /// A finding could not be followed on another build of its guest.
    NotCarried = 5,
    /// A failure was found, and its file could not be written: it is on standard error.
    Lost = 6,
    /// SIGINT ended it before anything was found, as shells have it: 128 and the signal's number.
    Interrupted = 130,
    /// The same by SIGTERM.
    Terminated = 143,
}

impl Status {
    /// Its name in JSON.
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

    /// That of a program which was ended by this signal before anything was found.
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

/// The status for an error: the host's if the machine says so, else the user's.
pub(crate) fn of(error: &anyhow::Error) -> Status {
    if error
        .downcast_ref::<bed::Error>()
        .is_some_and(|error| error.class() == bed::ErrorClass::Host)
    {
        return Status::Host;
    }
    match error.downcast_ref::<vmm::Error>().map(vmm::Error::class) {
        Some(ErrorClass::Host) => Status::Host,
        Some(ErrorClass::Input) | None => Status::Input,
    }
}

/// The status of what was done, unless something else went wrong. A failure that was found comes
/// first: problems are only told then.
pub(crate) fn conclude(status: Status, problems: Vec<anyhow::Error>) -> anyhow::Result<Status> {
    let mut problems = problems.into_iter();
    let first = if status == Status::Clean { problems.next() } else { None };
    problems.for_each(|problem| tell::user(&format!("jitterbug: {problem:#}")));
    first.map_or(Ok(status), Err)
}
