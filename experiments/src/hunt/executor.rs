//! A machine that makes run after run.
//!
//! It boots once, up to the guest's mark, and is put back there before each run: what comes before
//! the mark is the same in all of them. There, each vCPU runs in turn. A guest that never marks a
//! place, or ends before it, is put back to its first instruction.

use vmm::controlled::{Choice, Chooser, ControlledMachine, Point, Snapshot};
use vmm::{Cancel, Host};

use super::Hunt;
use super::recorder::Recording;
use crate::strategy::RoundRobin;

/// The most scheduling points before the mark; a guest that takes more hangs, probably.
const TO_MARK: u64 = 1_000_000;

/// A machine, and where its runs begin.
pub(super) struct Executor {
    machine: ControlledMachine,
    start: Snapshot,
    /// The decisions before that.
    prefix: Recording,
}

impl Executor {
    /// Boots a machine. Fails with [`vmm::Error::Cancelled`] if the search is over before the machine gets
    /// to where runs begin.
    pub(super) fn new(host: &Host, hunt: &Hunt, cancel: &Cancel) -> vmm::Result<Self> {
        // A schedule that somebody has written down begins at the first instruction.
        if hunt.strategy.varies() {
            let mut machine = boot(host, hunt, cancel)?;
            if let Some(prefix) = to_mark(&mut machine)? {
                match machine.save() {
                    Ok(start) => return Ok(Self { machine, start, prefix }),
                    // A vCPU stands in the middle of something: it is no place for a snapshot.
                    Err(vmm::Error::Snapshot { problem }) => {
                        tracing::info!("every run boots: no snapshot at the mark: {problem}");
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        let mut machine = boot(host, hunt, cancel)?;
        let start = machine.save()?;
        Ok(Self { machine, start, prefix: Recording::default() })
    }

    /// The machine, put back to where its runs begin, and what was decided before that.
    pub(super) fn begin(&mut self) -> vmm::Result<(&mut ControlledMachine, Recording)> {
        self.machine.restore(&self.start)?;
        Ok((&mut self.machine, self.prefix.clone()))
    }
}

/// Runs a machine to its guest's mark; the decisions on the way. `None` if there is no mark.
fn to_mark(machine: &mut ControlledMachine) -> vmm::Result<Option<Recording>> {
    let mut prefix = Recording::default();
    let mut choose = |point: &Point| -> Choice {
        let choice = RoundRobin.choose(point);
        prefix.push(point, choice);
        choice
    };
    let ending = machine.run_to_mark(&mut choose, TO_MARK)?;
    Ok(ending.is_none().then_some(prefix))
}

fn boot(host: &Host, hunt: &Hunt, cancel: &Cancel) -> vmm::Result<ControlledMachine> {
    let mut machine = ControlledMachine::new(host, &hunt.machine, Box::new(std::io::sink()))?;
    machine.set_hang_budget(hunt.hang_budget);
    machine.set_cancel(cancel.clone());
    Ok(machine)
}
