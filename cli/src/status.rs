//! The program's exit status.

use std::process::ExitCode;

use vmm::Blame;

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
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> Self {
        Self::from(status as u8)
    }
}

/// The status for an error: the host's if the machine says so, else the user's.
pub(crate) fn of(error: &anyhow::Error) -> Status {
    if error.downcast_ref::<bed::Error>().is_some_and(|error| error.blame() == bed::Blame::Host) {
        return Status::Host;
    }
    match error.downcast_ref::<vmm::Error>().map(vmm::Error::blame) {
        Some(Blame::Host) => Status::Host,
        Some(Blame::Input) | None => Status::Input,
    }
}
