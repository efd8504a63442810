//! Registers what the supervisor waits for.

use std::io;
use std::os::fd::AsRawFd;

use event_manager::{EventOps, EventSet, Events};

use super::control::{Control, broken};

/// Registers a readable file descriptor. epoll accepts every kind that is used here; if it refused
/// one, the run could not be supervised, so the run is ended.
pub(super) fn listen(control: &Control, ops: &mut EventOps, fd: &impl AsRawFd) {
    if let Err(error) = ops.add(Events::new(fd, EventSet::IN)) {
        control.fail(broken(io::Error::other(format!("{error:?}"))));
    }
}
