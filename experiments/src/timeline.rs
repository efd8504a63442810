//! A replay that can be moved to any of its points, forwards and backwards: what a debugger shows.
//!
//! A place of the run is a [`Position`]: a scheduling point, and the number of instructions that
//! the chosen vCPU has executed since. To go back, the machine is restored from the nearest earlier
//! snapshot and follows the schedule again; snapshots are taken on the way. Every run is compared
//! with the recording as a replay is, and a position that was shown before must show the same
//! registers again.

mod back;
mod places;
mod watcher;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use inspect::image;
use vmm::controlled::{ControlledMachine, Granularity, Standing, Walk};
use vmm::paging::{self, PhysicalMemory};
use vmm::registers::Registers;
use vmm::{Cancel, Host, MachineConfig};

use crate::replay::{Cursor, Divergence, Plan, Recorded};
use places::Place;
use watcher::{Hit, Recording, Watcher};
pub use watcher::{WatchKind, Watchpoint};

/// A place of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Position {
    /// After this scheduling point.
    At {
        /// The number of scheduling points before.
        point: u64,
        /// The number of instructions that the chosen vCPU has executed since.
        executed: u64,
    },
    /// The end of the run.
    End,
}

/// Why a move ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// The instructions that were asked for have been executed, or undone.
    Step,
    /// The vCPU is before an instruction that has a breakpoint.
    Breakpoint,
    /// A vCPU has accessed watched memory; when the move was backwards, it is about to.
    Watchpoint(Watchpoint),
    /// The caller asked for it.
    Interrupted,
    /// The run begins here.
    Begin,
    /// The run ends here.
    End,
    /// The vCPU comes to this breakpoint after this scheduling point, in a handler in which single
    /// steps don't stop on this host. The position is the scheduling point.
    Unreachable(u64),
}

/// How a move ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop {
    /// The vCPU that the reason is about.
    pub vcpu: u32,
    /// The reason.
    pub why: Why,
}

/// Why a move failed. The timeline can't be used any more then, except after
/// [`TimelineError::TooLong`].
#[derive(Debug, thiserror::Error)]
pub enum TimelineError {
    /// The machine failed, or the move was cancelled.
    #[error(transparent)]
    Machine(#[from] vmm::Error),
    /// The run is not the recorded one.
    #[error("not reproduced: {0}")]
    Diverged(Divergence),
    /// More instructions without a scheduling point than are stepped through.
    #[error(
        "vCPU {vcpu} executes more than 1,000,000 instructions after point {point}, which are not \
         stepped through"
    )]
    TooLong {
        /// The vCPU.
        vcpu: u32,
        /// The scheduling point.
        point: u64,
    },
}

type Result<T> = std::result::Result<T, TimelineError>;

/// Asked now and then during a move; the move ends when it returns true.
pub type Poll<'a> = &'a mut dyn FnMut() -> bool;

/// A replay that can be moved.
pub struct Timeline<'a> {
    host: &'a Host,
    config: &'a MachineConfig,
    recorded: &'a Recorded,
    cancel: Cancel,
    machine: ControlledMachine,
    plan: Plan,
    cursor: Cursor,
    /// Whether the machine is at a scheduling point, and so can run on.
    clean: bool,
    /// Snapshots, in the order of their points. The first is of the beginning.
    places: Vec<Arc<Place>>,
    /// A snapshot near the position.
    near: Option<Arc<Place>>,
    /// Whether snapshots can be taken.
    saves: bool,
    watcher: Watcher,
    position: Position,
    /// The states that were shown.
    shown: BTreeMap<Position, Shown>,
}

/// What was shown at a position: the run's hash, and each vCPU's registers.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Shown {
    hash: u64,
    registers: Vec<Registers>,
}

impl<'a> Timeline<'a> {
    /// Makes the machine of a finding and puts it before its first step. Breakpoints need single
    /// steps that work on this host.
    pub fn new(
        host: &'a Host,
        recorded: &'a Recorded,
        config: &'a MachineConfig,
        cancel: &Cancel,
    ) -> Result<Self> {
        let watcher = Watcher::default();
        let (machine, first) = places::boot(host, recorded, config, &watcher, cancel)?;
        let mut timeline = Self {
            host,
            config,
            recorded,
            cancel: cancel.clone(),
            machine,
            plan: Plan::of(recorded),
            cursor: Cursor::default(),
            clean: true,
            places: vec![Arc::new(first)],
            near: None,
            saves: true,
            watcher,
            position: Position::At { point: 0, executed: 0 },
            shown: BTreeMap::new(),
        };
        timeline.show()?;
        Ok(timeline)
    }

    /// Where the run is.
    pub fn position(&self) -> Position {
        self.position
    }

    /// The recorded run.
    pub fn recorded(&self) -> &Recorded {
        self.recorded
    }

    /// The number of choices of the schedule before the position. A choice that is being carried
    /// out is not counted.
    pub fn choices_before(&self) -> usize {
        match self.position {
            Position::At { executed: 1.., .. } => self.cursor.next.saturating_sub(1),
            _ => self.cursor.next,
        }
    }

    /// The vCPU that runs at the position: the one that is chosen there; at the end, the last one.
    pub fn vcpu(&self) -> u32 {
        let next = self.plan.choices.get(self.choices_before());
        let choice = next.or_else(|| self.plan.choices.last());
        choice.map_or(0, |choice| choice.vcpu())
    }

    /// The number of vCPUs.
    pub fn vcpus(&self) -> u32 {
        self.config.cpus.get()
    }

    /// The machine at the position, to look into.
    pub fn machine(&mut self) -> &mut ControlledMachine {
        &mut self.machine
    }

    /// Where a vCPU stands.
    pub fn standing(&mut self, vcpu: u32) -> Result<Standing> {
        Ok(self.machine.standing(vcpu)?)
    }

    /// Reads guest memory through a vCPU's page tables, as far as it is mapped. Returns the number
    /// of bytes. Code reads as it was loaded. What the vCPU does not map is read where the image
    /// was loaded, if it is linked there: guests begin without their own page tables.
    pub fn read(&mut self, vcpu: u32, address: u64, buffer: &mut [u8]) -> Result<usize> {
        let system = self.machine.standing(vcpu)?.system;
        let memory = self.machine.loaded_memory();
        let (image, range) = (&self.config.guest.bytes, (address, buffer.len()));
        Ok(image::for_each_part(&system, &memory, image, range, |from, part| {
            memory.read(from, &mut buffer[part])
        }))
    }

    /// Sets the breakpoints: linear addresses of instructions.
    pub fn set_breakpoints(&mut self, addresses: Vec<u64>) {
        self.watcher.lock().breakpoints = addresses;
    }

    /// Sets a watchpoint. Returns whether the run has it: it must be in memory that vCPUs share,
    /// whose accesses are scheduling points.
    pub fn watch(&mut self, watchpoint: Watchpoint) -> Result<bool> {
        let Some(physical) = self.shared(&watchpoint)? else { return Ok(false) };
        self.watcher.lock().watchpoints.push((watchpoint, physical));
        Ok(true)
    }

    /// Removes a watchpoint, whichever vCPU it was set by. Returns whether there was one.
    pub fn unwatch(&mut self, watchpoint: &Watchpoint) -> bool {
        let watchpoints = &mut self.watcher.lock().watchpoints;
        let same = Watchpoint { vcpu: 0, ..watchpoint.clone() };
        let at = watchpoints
            .iter()
            .position(|(other, _)| Watchpoint { vcpu: 0, ..other.clone() } == same);
        at.map(|at| watchpoints.remove(at)).is_some()
    }

    /// The guest-physical bytes of a watchpoint; `None` if they are not all shared.
    fn shared(&mut self, watchpoint: &Watchpoint) -> Result<Option<Range<u64>>> {
        let system = self.machine.standing(watchpoint.vcpu)?.system;
        let memory = self.machine.memory();
        let start = image::locate(&system, &**memory, &self.config.guest.bytes, watchpoint.address);
        let range = start.and_then(|at| Some(at..at.checked_add(watchpoint.length)?));
        // Pages that are next to each other need not be so in physical memory.
        let in_page = (watchpoint.address % paging::PAGE_SIZE).saturating_add(watchpoint.length);
        let range = range.filter(|range| !range.is_empty() && in_page <= paging::PAGE_SIZE);
        Ok(range.filter(|range| memory.is_all_trapped(range)))
    }

    /// Runs on to a breakpoint, a watchpoint or the end.
    pub fn go_on(&mut self, poll: Poll) -> Result<Stop> {
        let Position::At { point, executed } = self.position else { return self.end() };
        self.run_to(point)?;
        if !self.watcher.lock().is_empty()
            && let Some(stop) = self.rest_of_step(point, executed)?
        {
            return Ok(stop);
        }
        loop {
            if poll() {
                return self.arrive(self.here(), Why::Interrupted);
            }
            match self.scan(self.chunk_end(), Recording::All)? {
                (Some(hit), _) => return self.land(&hit),
                (None, Some(_)) => return self.end(),
                (None, None) => self.plant()?,
            }
        }
    }

    /// Lets a vCPU execute one instruction, or instructions until it leaves `range`. Other vCPUs
    /// run on meanwhile as the schedule has it, and may come to a breakpoint or a watchpoint first.
    pub fn step(&mut self, vcpu: u32, range: Option<&Range<u64>>, poll: Poll) -> Result<Stop> {
        let Position::At { point, executed } = self.position else { return self.end() };
        let own = self.vcpu() == vcpu;
        self.run_to(point)?;
        if executed > 0
            && !own
            && let Some(stop) = self.rest_of_step(point, executed)?
        {
            return Ok(stop);
        }
        let mut done = if own { executed } else { 0 };
        loop {
            if poll() {
                return self.arrive(self.here(), Why::Interrupted);
            }
            let others = self.plan.choices[self.cursor.next..].iter();
            let others = others.take_while(|choice| choice.vcpu() != vcpu).count() as u64;
            let is_last = self.cursor.next == self.plan.choices.len();
            if others > 0 || is_last {
                let end = self.machine.points() + others;
                let end = if is_last { u64::MAX } else { end.min(self.chunk_end()) };
                match self.scan(end, Recording::All)? {
                    (Some(hit), _) => return self.land(&hit),
                    (None, Some(_)) => return self.end(),
                    (None, None) => self.plant()?,
                }
                continue;
            }
            let until = if range.is_some() { u64::MAX } else { done + 1 };
            let (walk, hit) = self.walk(until, Recording::Accesses)?;
            if let Some(hit) = hit.filter(|_| done == 0) {
                return self.land(&hit);
            }
            if let Some(position) = self.end_of_steps(vcpu, &walk, done, range)? {
                let stop = self.arrive(position, Why::Step)?;
                return Ok(Stop { vcpu, ..stop });
            }
            self.check_length(&walk)?;
            if walk.ending.is_some() {
                return self.end();
            }
            if walk.vcpu.is_some() {
                done = 0;
            }
        }
    }

    /// Where a vCPU has left `range` for the first time in a step, after more than `done`
    /// instructions.
    fn end_of_steps(
        &mut self,
        vcpu: u32,
        walk: &Walk,
        done: u64,
        range: Option<&Range<u64>>,
    ) -> Result<Option<Position>> {
        let Some(point) = walk.vcpu.and_then(|_| self.watcher.step()) else { return Ok(None) };
        let breakpoints = self.watcher.lock().breakpoints.clone();
        let ends = |rip: u64| {
            range.is_none_or(|range| !range.contains(&rip)) || breakpoints.contains(&rip)
        };
        if self.config.granularity == Granularity::Instruction {
            let rip = self.machine.standing(vcpu)?.registers.rip;
            let is_here = walk.ending.is_none() && ends(rip);
            return Ok(is_here.then(|| self.here()));
        }
        let mut boundaries = walk.boundaries.iter();
        let found = boundaries.find(|at| at.executed > done && ends(at.rip));
        Ok(found.map(|at| Position::At { point, executed: at.executed }))
    }

    /// Stays at the position: puts the machine there after a move that failed.
    pub fn stay(&mut self) -> Result<Stop> {
        self.arrive(self.position, Why::Interrupted)
    }

    /// Goes to a scheduling point. Points that belong to a proof of a hang are passed, and behind
    /// the last point is the end.
    pub fn go_to(&mut self, point: u64) -> Result<Stop> {
        if point >= self.recorded.points {
            return self.end();
        }
        self.run_to(point)?;
        self.arrive(self.here(), Why::Step)
    }

    /// The rest of the step after a point, in which `executed` instructions are done: a breakpoint
    /// or a watchpoint there.
    fn rest_of_step(&mut self, point: u64, executed: u64) -> Result<Option<Stop>> {
        let (walk, hit) = self.walk(u64::MAX, Recording::Accesses)?;
        if let Some(hit) = hit.filter(|_| executed == 0) {
            return self.land(&hit).map(Some);
        }
        let found = {
            let watcher = self.watcher.lock();
            let mut boundaries = walk.boundaries.iter();
            boundaries.find(|at| at.executed > executed && watcher.breaks_at(at.rip)).copied()
        };
        if let Some(found) = found {
            let position = Position::At { point, executed: found.executed };
            return self.arrive(position, Why::Breakpoint).map(Some);
        }
        self.check_length(&walk)?;
        if walk.ending.is_some() { self.end().map(Some) } else { Ok(None) }
    }

    /// Stops where something was found while the run went forwards.
    fn land(&mut self, hit: &Hit) -> Result<Stop> {
        self.run_to(hit.point)?;
        match &hit.watchpoint {
            None => {
                let found = self.breakpoints_in_step()?.into_iter().next();
                self.arrive_at_breakpoint(hit, found)
            }
            Some(watchpoint) => {
                let (walk, _) = self.walk(1, Recording::Nothing)?;
                let position = match (&walk.ending, walk.stopped) {
                    (Some(_), _) => Position::End,
                    (None, true) => Position::At { point: hit.point, executed: 1 },
                    // The instruction makes another access, which is not done.
                    (None, false) => self.here(),
                };
                let stop = self.arrive(position, Why::Watchpoint(watchpoint.clone()))?;
                Ok(Stop { vcpu: hit.vcpu, ..stop })
            }
        }
    }

    /// The numbers of instructions after which the next step comes to a breakpoint.
    fn breakpoints_in_step(&mut self) -> Result<Vec<u64>> {
        let (walk, _) = self.walk(u64::MAX, Recording::Nothing)?;
        let found: Vec<_> = {
            let watcher = self.watcher.lock();
            let found = walk.boundaries.iter().filter(|at| watcher.breaks_at(at.rip));
            found.map(|at| at.executed).collect()
        };
        if found.is_empty() {
            self.check_length(&walk)?;
        }
        Ok(found)
    }

    fn arrive_at_breakpoint(&mut self, hit: &Hit, executed: Option<u64>) -> Result<Stop> {
        let why = match executed {
            Some(_) => Why::Breakpoint,
            None => Why::Unreachable(hit.address),
        };
        let executed = executed.unwrap_or(0);
        let stop = self.arrive(Position::At { point: hit.point, executed }, why)?;
        Ok(Stop { vcpu: hit.vcpu, ..stop })
    }

    fn check_length(&self, walk: &Walk) -> Result<()> {
        match (walk.stopped, walk.vcpu, self.watcher.step()) {
            (true, Some(vcpu), Some(point)) => Err(TimelineError::TooLong { vcpu, point }),
            _ => Ok(()),
        }
    }

    /// The scheduling point at which the machine is.
    fn here(&self) -> Position {
        Position::At { point: self.machine.points(), executed: 0 }
    }

    fn end(&mut self) -> Result<Stop> {
        self.arrive(Position::End, Why::End)
    }

    /// Puts the machine to a position, which becomes the current one.
    fn arrive(&mut self, position: Position, why: Why) -> Result<Stop> {
        self.seek(position)?;
        self.position = position;
        self.show()?;
        Ok(Stop { vcpu: self.vcpu(), why })
    }

    /// Records what is shown at the position. Fails if it is not what was shown before.
    fn show(&mut self) -> Result<()> {
        let mut registers = Vec::new();
        for vcpu in 0..self.vcpus() {
            registers.push(self.machine.standing(vcpu)?.registers);
        }
        let shown = Shown { hash: self.machine.hash(), registers };
        let before = self.shown.entry(self.position).or_insert_with(|| shown.clone());
        if *before == shown {
            return Ok(());
        }
        let point = self.machine.points();
        let recorded = format!("hash {:016x} and the registers shown there before", before.hash);
        let happened = format!("hash {:016x} and others", shown.hash);
        Err(TimelineError::Diverged(Divergence { point, recorded, happened }))
    }
}

#[cfg(test)]
#[path = "timeline_tests.rs"]
mod tests;
