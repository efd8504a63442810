//! A machine that makes run after run.
//!
//! It boots once, up to the guest's mark, and is put back there before each run: what comes before
//! the mark is the same in all of them. There, each vCPU runs in turn. A guest that never marks a
//! place, or ends before it, is put back to its first instruction.

use vmm::Host;
use vmm::controlled::{Choice, Chooser, ControlledMachine, Ending, Point, Snapshot};

use super::Hunt;
use super::queue::Queue;
use super::recorder::Recording;
use crate::replay::SLICE;
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
    /// Boots a machine. `None` if it is not wanted any more before it gets to where runs begin.
    pub(super) fn new(host: &Host, hunt: &Hunt, queue: &Queue) -> vmm::Result<Option<Self>> {
        // A schedule that somebody has written down begins at the first instruction.
        if hunt.strategy.varies() {
            let mut machine = boot(host, hunt)?;
            match to_mark(&mut machine, queue)? {
                Way::Closed => return Ok(None),
                Way::Nowhere => {}
                Way::Mark(prefix) => match machine.save() {
                    Ok(start) => return Ok(Some(Self { machine, start, prefix })),
                    // A vCPU stands in the middle of something: it is no place for a snapshot.
                    Err(vmm::Error::Snapshot { problem }) => {
                        tracing::info!("every run boots: no snapshot at the mark: {problem}");
                    }
                    Err(error) => return Err(error),
                },
            }
        }
        let mut machine = boot(host, hunt)?;
        let start = machine.save()?;
        Ok(Some(Self { machine, start, prefix: Recording::default() }))
    }

    /// The machine, put back to where its runs begin, and what was decided before that.
    pub(super) fn begin(&mut self) -> vmm::Result<(&mut ControlledMachine, Recording)> {
        self.machine.restore(&self.start)?;
        Ok((&mut self.machine, self.prefix.clone()))
    }
}

/// What there was on the way to the mark.
enum Way {
    /// The mark, after these decisions.
    Mark(Recording),
    /// No mark.
    Nowhere,
    /// The end of the search.
    Closed,
}

/// Runs a machine to its guest's mark.
fn to_mark(machine: &mut ControlledMachine, queue: &Queue) -> vmm::Result<Way> {
    let mut prefix = Recording::default();
    let mut choose = |point: &Point| -> Choice {
        let choice = RoundRobin.choose(point);
        prefix.push(point, choice);
        choice
    };
    loop {
        let slice = machine.points().saturating_add(SLICE).min(TO_MARK);
        match machine.run_to_mark(&mut choose, slice)? {
            None => return Ok(Way::Mark(prefix)),
            Some(Ending::Budget) if machine.points() < TO_MARK => {}
            Some(_) => return Ok(Way::Nowhere),
        }
        if queue.is_closed() {
            return Ok(Way::Closed);
        }
    }
}

fn boot(host: &Host, hunt: &Hunt) -> vmm::Result<ControlledMachine> {
    let mut machine = ControlledMachine::new(host, &hunt.machine, Box::new(std::io::sink()))?;
    machine.set_hang_budget(hunt.hang_budget);
    Ok(machine)
}
