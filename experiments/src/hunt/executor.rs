//! A machine that makes run after run.
//!
//! The machine boots once and runs up to the guest's mark, with the vCPUs in turn. It is put back
//! there before each run, because what comes before the mark is the same in all runs. If the guest
//! has no mark, or ends before it, or if no snapshot can be taken there, the machine is put back to
//! its first instruction instead.

use vmm::controlled::{Choice, Chooser, ControlledMachine, Point, Snapshot};
use vmm::{Cancel, Host};

use super::Hunt;
use super::recorder::Recording;
use crate::strategy::RoundRobin;

/// The maximum number of scheduling points before the mark. A guest that takes more probably hangs.
const TO_MARK: u64 = 1_000_000;

/// A machine, and the state in which its runs begin.
pub(super) struct Executor {
    machine: ControlledMachine,
    start: Snapshot,
    /// The decisions that led to `start`.
    prefix: Recording,
}

impl Executor {
    /// Boots a machine. Fails with [`vmm::Error::Cancelled`] if the search is over before the
    /// machine has reached the state in which runs begin.
    pub(super) fn new(host: &Host, hunt: &Hunt, cancel: &Cancel) -> vmm::Result<Self> {
        // Only a strategy with more than one schedule starts at the mark: a schedule that the user
        // gives begins at the first instruction.
        if hunt.strategy.varies() {
            let mut machine = boot(host, hunt, cancel)?;
            if let Some(prefix) = to_mark(&mut machine)? {
                match machine.save() {
                    Ok(start) => return Ok(Self { machine, start, prefix }),
                    // A vCPU is in the middle of an operation, which a snapshot can't hold.
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

    /// Puts the machine back to where its runs begin. Returns it with the decisions made before
    /// that.
    pub(super) fn begin(&mut self) -> vmm::Result<(&mut ControlledMachine, Recording)> {
        self.machine.restore(&self.start)?;
        Ok((&mut self.machine, self.prefix.clone()))
    }
}

/// Runs a machine to its guest's mark and returns the decisions on the way; `None` if the run ended
/// before a mark.
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
