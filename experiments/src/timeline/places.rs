//! Snapshots along the run, and how the machine gets from one to any position.

use std::sync::Arc;

use vmm::controlled::{Choice, ControlledMachine, Point, Snapshot, Walk};
use vmm::end::End;
use vmm::{Cancel, Host, MachineConfig};

use super::watcher::{Hit, Recording, Watcher};
use super::{Position, Result, Timeline, TimelineError};
use crate::replay::{self, Cursor, Divergence, Follower, Recorded};

/// The least number of scheduling points between two snapshots.
const MIN_INTERVAL: u64 = 256;
/// About the most snapshots.
const MAX_PLACES: u64 = 256;
/// A snapshot near the position is worth its time if it saves this number of scheduling points.
const NEAR: u64 = 16;

/// A snapshot, and where the schedule was.
#[derive(Clone, Debug)]
pub(super) struct Place {
    snapshot: Snapshot,
    cursor: Cursor,
}

impl Place {
    pub(super) fn point(&self) -> u64 {
        self.snapshot.points()
    }
}

/// A machine before its first step, and a snapshot of it.
pub(super) fn boot(
    host: &Host,
    recorded: &Recorded,
    config: &MachineConfig,
    watcher: &Watcher,
    cancel: &Cancel,
) -> vmm::Result<(ControlledMachine, Place)> {
    let mut machine = replay::boot(host, config, recorded.hang_budget, &[watcher], cancel)?;
    let snapshot = machine.save()?;
    Ok((machine, Place { snapshot, cursor: Cursor::default() }))
}

impl Timeline<'_> {
    fn interval(&self) -> u64 {
        (self.recorded.points / MAX_PLACES).max(MIN_INTERVAL)
    }

    /// Where the next snapshot may be due.
    pub(super) fn chunk_end(&self) -> u64 {
        let interval = self.interval();
        (self.machine.points() / interval + 1).saturating_mul(interval)
    }

    /// Follows the schedule until this number of points have passed. `Some` if the run ended.
    fn follow(&mut self, budget: u64) -> Result<Option<End>> {
        let watcher = self.watcher.clone();
        let mut look = |point: &Point, _: Choice, _| watcher.lock().step = Some(point.number);
        let mut follower = Follower::new(&self.plan, &mut self.cursor, &mut look);
        self.clean = false;
        // A run that leaves its schedule is stopped by this budget at the latest.
        let most = self.recorded.points.saturating_add(1);
        let ending = self.machine.run(&mut follower, budget.min(most))?;
        let divergence = follower.divergence.take();
        self.check(divergence, &ending)?;
        self.clean = ending == End::Budget;
        Ok((!self.clean).then_some(ending))
    }

    /// Makes the next step as a walk. Returns the first watchpoint that was hit.
    pub(super) fn walk(&mut self, until: u64, record: Recording) -> Result<(Walk, Option<Hit>)> {
        self.begin(record);
        let watcher = self.watcher.clone();
        let mut look = |point: &Point, _: Choice, _| watcher.lock().step = Some(point.number);
        let mut follower = Follower::new(&self.plan, &mut self.cursor, &mut look);
        self.clean = false;
        let walk = self.machine.walk(&mut follower, until)?;
        let divergence = follower.divergence.take();
        self.check(divergence, walk.ending.as_ref().unwrap_or(&End::Budget))?;
        self.clean = !walk.stopped && walk.ending.is_none();
        Ok((walk, self.watcher.lock().first.take()))
    }

    /// Runs on, and returns the first hit and how the run ended.
    pub(super) fn scan(
        &mut self,
        budget: u64,
        record: Recording,
    ) -> Result<(Option<Hit>, Option<End>)> {
        self.begin(record);
        let ending = self.follow(budget);
        self.watcher.lock().recording = Recording::Nothing;
        Ok((self.watcher.lock().first.take(), ending?))
    }

    pub(super) fn begin(&mut self, record: Recording) {
        let mut watched = self.watcher.lock();
        (watched.recording, watched.step) = (record, None);
        (watched.first, watched.last) = (None, None);
    }

    /// Fails if a run is not the recorded one.
    fn check(&self, divergence: Option<Divergence>, ending: &End) -> Result<()> {
        let divergence = divergence.or_else(|| match ending {
            End::Budget if self.machine.points() <= self.recorded.points => None,
            ending => self.recorded.differs(&self.machine, ending),
        });
        divergence.map_or(Ok(()), |divergence| Err(TimelineError::Diverged(divergence)))
    }

    /// Puts the machine to a scheduling point, or to the first one behind it at which a choice is
    /// made.
    pub(super) fn run_to(&mut self, point: u64) -> Result<()> {
        let before = |place: &&Arc<Place>| place.point() <= point;
        let places = self.places.iter().chain(&self.near).filter(before);
        let Some(best) = places.max_by_key(|place| place.point()).cloned() else { return Ok(()) };
        let now = self.machine.points();
        if !self.clean || now > point || now < best.point() {
            self.restore(&best)?;
        }
        while self.machine.points() < point {
            self.begin(Recording::Nothing);
            if self.follow(self.chunk_end().min(point))?.is_some() {
                break;
            }
            self.plant()?;
        }
        Ok(())
    }

    /// Puts the machine to a position.
    pub(super) fn seek(&mut self, position: Position) -> Result<()> {
        let Position::At { point, executed } = position else {
            self.run_to(self.recorded.points.saturating_sub(1))?;
            while self.clean {
                self.begin(Recording::Nothing);
                self.follow(u64::MAX)?;
            }
            return Ok(());
        };
        self.run_to(point)?;
        if executed == 0 {
            return Ok(());
        }
        self.stay_near()?;
        let (walk, _) = self.walk(executed, Recording::Nothing)?;
        let came_to = walk.boundaries.last().map_or(0, |last| last.executed);
        if walk.stopped && came_to == executed {
            return Ok(());
        }
        let recorded = format!("{executed} instructions of vCPU {}", self.vcpu());
        Err(TimelineError::Diverged(Divergence {
            point,
            recorded,
            happened: format!("{came_to} instructions"),
        }))
    }

    pub(super) fn restore(&mut self, place: &Place) -> Result<()> {
        self.clean = false;
        self.machine.restore(&place.snapshot)?;
        self.cursor = place.cursor;
        self.clean = true;
        Ok(())
    }

    /// Takes a snapshot for later if one is due here.
    pub(super) fn plant(&mut self) -> Result<()> {
        let last = self.places.last().map_or(0, |place| place.point());
        if self.machine.points() >= last + self.interval()
            && let Some(place) = self.save()?
        {
            self.places.push(Arc::new(place));
        }
        Ok(())
    }

    /// Takes a snapshot here if the last one is far.
    fn stay_near(&mut self) -> Result<()> {
        let point = self.machine.points();
        let is_near = |place: &Arc<Place>| place.point() <= point && point - place.point() < NEAR;
        if !self.places.iter().chain(&self.near).any(is_near)
            && let Some(place) = self.save()?
        {
            self.near = Some(Arc::new(place));
        }
        Ok(())
    }

    /// Takes a snapshot; `None` if a vCPU is in the middle of an operation, which a snapshot can't
    /// hold. The machine can't be used any more then, so the run begins anew, without snapshots.
    fn save(&mut self) -> Result<Option<Place>> {
        if !self.saves {
            return Ok(None);
        }
        match self.machine.save() {
            Ok(snapshot) => Ok(Some(Place { snapshot, cursor: self.cursor })),
            Err(vmm::Error::Snapshot { problem }) => {
                tracing::info!("no snapshots from here: {problem}");
                let point = self.machine.points();
                let Self { host, recorded, config, watcher, cancel, .. } = self;
                let (machine, first) = boot(host, recorded, config, watcher, cancel)?;
                (self.machine, self.places, self.near) = (machine, vec![Arc::new(first)], None);
                (self.saves, self.clean, self.cursor) = (false, true, Cursor::default());
                while self.machine.points() < point {
                    self.begin(Recording::Nothing);
                    self.follow(point)?;
                }
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }
}
