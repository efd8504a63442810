//! A machine that makes run after run.
//!
//! It boots once, up to the guest's mark, and is put back there before each run: what comes before
//! the mark is the same in all of them. There, each vCPU runs in turn. A guest that never marks a
//! place, or ends before it, is put back to its first instruction.

use vmm::controlled::{Choice, Chooser, ControlledMachine, Point, Snapshot};
use vmm::{Host, MachineConfig};

use super::recorder::Recording;
use crate::strategy::RoundRobin;

/// The most scheduling points before the mark; a guest that takes more hangs, probably.
const TO_MARK: u64 = 1_000_000;

/// A machine, and where its runs begin.
pub(super) struct Lab {
    machine: ControlledMachine,
    start: Snapshot,
    /// The decisions before that.
    prefix: Recording,
}

impl Lab {
    /// Boots a machine.
    pub(super) fn new(host: &Host, config: &MachineConfig, mark: bool) -> vmm::Result<Self> {
        if mark && let Some(lab) = Self::at_mark(host, config)? {
            return Ok(lab);
        }
        let mut machine = boot(host, config)?;
        let start = machine.save()?;
        Ok(Self { machine, start, prefix: Recording::default() })
    }

    fn at_mark(host: &Host, config: &MachineConfig) -> vmm::Result<Option<Self>> {
        let mut machine = boot(host, config)?;
        let mut prefix = Recording::default();
        let mut in_turn = RoundRobin;
        let mut choose = |point: &Point| -> Choice {
            let choice = in_turn.choose(point);
            prefix.push(point, choice);
            choice
        };
        if machine.run_to_mark(&mut choose, TO_MARK)?.is_some() {
            return Ok(None);
        }
        match machine.save() {
            Ok(start) => Ok(Some(Self { machine, start, prefix })),
            // A vCPU stands in the middle of something: it is no place for a snapshot.
            Err(vmm::Error::Snapshot { problem }) => {
                tracing::info!("every run boots: no snapshot at the mark: {problem}");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// The machine, put back to where its runs begin, and what was decided before that.
    pub(super) fn begin(&mut self) -> vmm::Result<(&mut ControlledMachine, Recording)> {
        self.machine.restore(&self.start)?;
        Ok((&mut self.machine, self.prefix.clone()))
    }
}

fn boot(host: &Host, config: &MachineConfig) -> vmm::Result<ControlledMachine> {
    ControlledMachine::new(host, config, Box::new(std::io::sink()))
}
