//! What the program does when a signal ends, stops or continues it.

use vmm::signals::{Moment, Second, Signals};

use crate::{terminal, writer};

/// Takes over the signals, as [`Signals::take`] says.
pub(crate) fn take(second: Second) -> vmm::Result<Signals> {
    Signals::take(second, |moment| {
        if moment == Moment::Ends {
            writer::hurry();
        }
        terminal::at(moment);
    })
}
