//! Enters KVM without running the guest further.

use super::{KvmCpu, Unfinished};
use crate::cpu::Cpu;
use crate::error::Result;
use crate::exit::{Entry, Exit};

impl KvmCpu {
    /// Completes the access that the latest exit reported, with this answer, and runs no further.
    /// Returns [`Exit::Kicked`], or a debug exit if the instruction is being stepped. If another
    /// access is returned, it is the instruction's next.
    pub(crate) fn finish(&mut self, entry: Entry) -> Result<Exit> {
        self.flag.raise();
        let exit = self.run(entry);
        self.flag.retract();
        exit
    }

    /// Completes the latest exit's access without running further. `Some` if this ends with an
    /// exit: another part of the access, a debug exit, or a kick.
    pub(in crate::kvm) fn finish_access(&mut self, entry: Entry) -> Result<Option<Exit>> {
        if self.unfinished == Unfinished::Nothing {
            return Ok(None);
        }
        Ok(match self.finish(entry)? {
            Exit::Kicked if self.kicked => Some(Exit::Kicked),
            Exit::Kicked => None,
            exit => Some(exit),
        })
    }

    /// Enters KVM and returns, so that the run page is up to date. A kick that arrives meanwhile is
    /// kept.
    pub(crate) fn refresh(&mut self) -> Result<()> {
        if self.finish(Entry::Resume)? == Exit::Kicked && self.kicked {
            self.keep_kick();
        }
        Ok(())
    }

    /// Makes the next entry end with the kick that has just come.
    pub(crate) fn keep_kick(&mut self) {
        self.flag.kick();
    }
}
