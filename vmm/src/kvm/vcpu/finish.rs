//! Going into KVM without running on.

use super::{KvmCpu, Unfinished};
use crate::cpu::Cpu;
use crate::error::Result;
use crate::exit::{Entry, Exit};

impl KvmCpu {
    /// Finishes the access that the latest exit announced, with this answer, and runs no further:
    /// [`Exit::Kicked`] then, or a debug exit where the instruction is being stepped. Another access
    /// is the instruction's next.
    pub(crate) fn finish(&mut self, entry: Entry) -> Result<Exit> {
        self.flag.raise();
        let exit = self.run(entry);
        self.flag.retract();
        exit
    }

    /// Finishes the latest exit's access without running on. `Some` if there is something to tell:
    /// another part of the access, or a kick.
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

    /// Goes into KVM and back, so that the run page is that of now. A kick that comes meanwhile stays.
    pub(in crate::kvm) fn refresh(&mut self) -> Result<()> {
        if self.finish(Entry::Resume)? == Exit::Kicked && self.kicked {
            self.flag.kick();
        }
        Ok(())
    }
}
