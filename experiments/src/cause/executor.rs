//! A machine for the analysis of a failure: it makes run after run from the guest's mark, or from a
//! snapshot on the way.

use vmm::controlled::{Choice, ControlledMachine, Point, Snapshot, Waiter};
use vmm::end::End;
use vmm::fault::Strike;
use vmm::{Cancel, FaultSpec, Host, MachineConfig};

use super::failure::Failure;
use super::faults::{FaultPlace, Pending, forget_lost_ipis, places, runs};
use super::schedule_state::{EnabledTransition, ScheduleState};
use super::trace::{Recorder, Step, Vcpu};
use crate::hunt::recorder::Recording;
use crate::replay::Recorded;
use crate::schedule::Schedule;
use crate::waits::{Names, Row};

/// A run may have this many times the points of the finding,
const BUDGET_FACTOR: u64 = 10;
/// plus this number of points.
const BUDGET_EXTRA_POINTS: u64 = 5_000;

/// Decides which choice is taken at a scheduling point.
pub(super) trait Decide {
    /// Returns one of the point's choices. `by_itself` is the non-preemptive continuation.
    fn decide(
        &mut self,
        point: &Point,
        schedule_state: &ScheduleState,
        by_itself: Choice,
    ) -> Choice;
}

impl<F: FnMut(&Point, &ScheduleState, Choice) -> Choice> Decide for F {
    fn decide(
        &mut self,
        point: &Point,
        schedule_state: &ScheduleState,
        by_itself: Choice,
    ) -> Choice {
        self(point, schedule_state, by_itself)
    }
}

/// Always takes the non-preemptive continuation.
pub(super) fn undisturbed(_: &Point, _: &ScheduleState, by_itself: Choice) -> Choice {
    by_itself
}

/// A run from where runs begin.
#[derive(Clone, Debug)]
pub(super) struct Run {
    pub(super) steps: Vec<Step>,
    pub(super) ending: End,
    /// What failed; `None` if the run didn't fail.
    pub(super) failure: Option<Failure>,
}

impl Run {
    pub(super) fn choices(&self) -> Vec<Choice> {
        self.steps.iter().map(|step| step.choice).collect()
    }

    pub(super) fn preemptions(&self) -> usize {
        self.steps.iter().filter(|step| step.preempts()).count()
    }

    /// The indices of the steps that deviate from the non-preemptive continuation.
    pub(super) fn deviations(&self) -> Vec<usize> {
        let steps = self.steps.iter().enumerate();
        steps.filter(|(_, step)| step.deviates()).map(|(at, _)| at).collect()
    }

    /// The consecutive steps of one vCPU from step `at` on.
    pub(super) fn segment(&self, at: usize) -> &[Step] {
        let rest = &self.steps[at.min(self.steps.len())..];
        let vcpu = rest.first().map(Step::vcpu);
        let end = rest.iter().position(|step| Some(step.vcpu()) != vcpu);
        &rest[..end.unwrap_or(rest.len())]
    }
}

/// The choices that a run begins with.
struct Plan<'a> {
    prefix: &'a [Choice],
    next: usize,
    specs: &'a [FaultSpec],
}

impl Plan<'_> {
    /// The planned choice; `None` from where it is not possible.
    fn next(&mut self, point: &Point) -> Option<Choice> {
        let planned = loop {
            let planned = *self.prefix.get(self.next)?;
            self.next += 1;
            // A fault that has struck elsewhere changes nothing in what the vCPUs do next.
            if runs(planned, self.specs) || point.offers(planned) {
                break planned;
            }
        };
        if !point.offers(planned) {
            self.next = usize::MAX;
            return None;
        }
        Some(planned)
    }

    /// A fault strikes by itself.
    fn strikes(&mut self, fault: Choice) {
        if self.prefix.get(self.next) == Some(&fault) {
            self.next += 1;
        }
    }
}

/// A state that runs can be put back to.
struct Place {
    /// The number of steps that lead to it.
    steps: usize,
    snapshot: Snapshot,
    schedule_state: ScheduleState,
    vcpus: Vec<Vcpu>,
}

/// A run with snapshots along it.
#[derive(Default)]
struct Trunk {
    steps: Vec<Step>,
    places: Vec<Place>,
}

/// The machine, and the state in which its runs begin.
pub(super) struct Executor<'a> {
    setup: Setup<'a>,
    machine: ControlledMachine,
    recorder: Recorder,
    start: Place,
    /// The decisions that led to `start`.
    before: Recording,
    trunk: Trunk,
    /// Where faults strike in the runs.
    faults: Vec<FaultPlace>,
    /// Whether snapshots can be taken along a run.
    plants: bool,
    /// The number of runs so far.
    pub(super) runs: u64,
    /// The scheduling points of these runs.
    pub(super) points: u64,
}

/// The parameters of an executor.
#[derive(Clone)]
pub(super) struct Setup<'a> {
    pub(super) host: &'a Host,
    pub(super) config: &'a MachineConfig,
    pub(super) names: Names<'a>,
    /// A schedule that leads to the guest's mark.
    pub(super) schedule: Schedule,
    /// The number of its scheduling points.
    pub(super) points: u64,
    /// The finding's hang budget.
    pub(super) hang_budget: u64,
    /// The hang budget while a cause is searched for.
    pub(super) search_budget: u64,
    /// Whether a loop is run out before it is called a hang. It is not if the finding is a hang by
    /// budget itself.
    pub(super) run_out: bool,
    /// Cancels the runs.
    pub(super) cancel: &'a Cancel,
}

impl Setup<'_> {
    fn boot(&self, recorder: &Recorder) -> vmm::Result<ControlledMachine> {
        let mut machine =
            ControlledMachine::new(self.host, self.config, Box::new(std::io::sink()))?;
        machine.set_hang_budget(self.search_budget);
        machine.set_run_out(self.run_out);
        machine.set_cancel(self.cancel.clone());
        recorder.tape().vcpus = vec![Vcpu::default(); self.config.cpus.get() as usize];
        machine.attach(&[recorder])?;
        Ok(machine)
    }

    /// A machine at the guest's mark, and the decisions that led there; `None` if there is no mark
    /// on the way, or no snapshot can be taken there.
    fn at_mark(
        &self,
        recorder: &Recorder,
    ) -> vmm::Result<Option<(ControlledMachine, Place, Recording)>> {
        let mut machine = self.boot(recorder)?;
        let (mut schedule_state, mut before) = (self.schedule_state(), Recording::default());
        let mut choices = self.schedule.choices();
        let mut early_fault = false;
        let mut follow = |point: &Point| {
            schedule_state.arrive(point, |vcpu| recorder.tape().progress(vcpu));
            let next = choices.next();
            // What comes before the mark can't be varied.
            early_fault |= matches!(next, Some(Choice::Fault(..)));
            let choice = next.filter(|choice| point.enabled.contains(choice));
            let choice = choice.unwrap_or_else(|| schedule_state.goes_on(point));
            schedule_state.choose(point, choice);
            before.push(point, choice);
            choice
        };
        if machine.run_to_mark(&mut follow, self.points)?.is_some() || early_fault {
            return Ok(None);
        }
        let Some(snapshot) = snapshot(&mut machine)? else { return Ok(None) };
        let vcpus = recorder.tape().vcpus.clone();
        Ok(Some((machine, Place { steps: 0, snapshot, schedule_state, vcpus }, before)))
    }

    fn at_start(&self, recorder: &Recorder) -> vmm::Result<(ControlledMachine, Place, Recording)> {
        let mut machine = self.boot(recorder)?;
        let snapshot = machine.save()?;
        let vcpus = recorder.tape().vcpus.clone();
        let start = Place { steps: 0, snapshot, schedule_state: self.schedule_state(), vcpus };
        Ok((machine, start, Recording::default()))
    }

    fn schedule_state(&self) -> ScheduleState {
        ScheduleState::new(self.config.cpus.get())
    }

    fn budget(&self) -> u64 {
        self.points.saturating_mul(BUDGET_FACTOR).saturating_add(BUDGET_EXTRA_POINTS)
    }
}

impl<'a> Executor<'a> {
    /// Boots a machine and follows the schedule to the guest's mark. If there is no mark on the
    /// way, runs begin at the first instruction.
    pub(super) fn new(setup: Setup<'a>) -> vmm::Result<Self> {
        let recorder = Recorder::default();
        let (machine, start, before) = match setup.at_mark(&recorder)? {
            Some(at_mark) => at_mark,
            None => setup.at_start(&recorder)?,
        };
        let trunk = Trunk::default();
        Ok(Self {
            setup,
            machine,
            recorder,
            start,
            before,
            trunk,
            faults: Vec::new(),
            plants: true,
            runs: 0,
            points: 0,
        })
    }

    /// Replaces a machine that can't be used any more. The new one takes no snapshots along a run.
    fn start_anew(&mut self) -> vmm::Result<()> {
        let fresh = Self::new(self.setup.clone())?;
        let faults = std::mem::take(&mut self.faults);
        *self = Self { runs: self.runs, points: self.points, plants: false, faults, ..fresh };
        Ok(())
    }

    /// Where faults strike in the runs.
    pub(super) fn faults(&self) -> &[FaultPlace] {
        &self.faults
    }

    /// Lets faults strike there in the runs that follow, and nowhere else.
    pub(super) fn set_faults(&mut self, faults: Vec<FaultPlace>) {
        if faults != self.faults {
            (self.faults, self.trunk) = (faults, Trunk::default());
        }
    }

    /// Where faults struck in a run.
    pub(super) fn faults_of(&self, run: &Run) -> Vec<FaultPlace> {
        places(&run.steps, &self.setup.config.faults)
    }

    /// The strikes of the last run, in order.
    pub(super) fn strikes(&self) -> &[Strike] {
        self.machine.strikes()
    }

    /// The choices of a run, with what happens by itself in place of its faults.
    pub(super) fn choices_without_faults(&self, run: &Run) -> Vec<Choice> {
        let choices = run.choices().into_iter();
        let choices = choices.filter(|choice| runs(*choice, &self.setup.config.faults));
        let by_itself = |choice| match choice {
            Choice::Fault(vcpu, _) => Choice::Step(vcpu),
            other => other,
        };
        choices.map(by_itself).collect()
    }

    /// The decisions made before runs begin.
    pub(super) fn before(&self) -> &Recording {
        &self.before
    }

    /// Makes a run: first the choices of `prefix`, then those of `decide`. If a choice of the
    /// prefix is not possible, `decide` takes over there.
    pub(super) fn run(&mut self, prefix: &[Choice], decide: &mut dyn Decide) -> vmm::Result<Run> {
        self.runs += 1;
        let common = prefix.iter().zip(&self.trunk.steps).take_while(|(a, b)| **a == b.choice);
        let common = common.count();
        let on_trunk = self.trunk.places.iter().rfind(|place| place.steps <= common);
        let place = on_trunk.unwrap_or(&self.start);
        self.machine.restore(&place.snapshot)?;
        let mut schedule_state = place.schedule_state.clone();
        {
            let mut tape = self.recorder.tape();
            tape.steps.clear();
            tape.steps.extend_from_slice(&self.trunk.steps[..place.steps]);
            tape.vcpus.clone_from(&place.vcpus);
        }
        let specs = &self.setup.config.faults;
        let mut pending = Pending::new(&self.faults, specs, &self.trunk.steps[..place.steps]);
        let (recorder, begun) = (&self.recorder, place.steps);
        let mut plan = Plan { prefix, next: place.steps, specs };
        let mut choose = |point: &Point| {
            let mut tape = recorder.tape();
            schedule_state.arrive(point, |vcpu| tape.progress(vcpu));
            if let Some(fault) = pending.strikes(point, &schedule_state, &tape.steps) {
                plan.strikes(fault);
                tape.next = Some(Step::of_fault(point, &schedule_state, fault));
                return fault;
            }
            let strike = |choice| pending.in_place_of(choice, point, &schedule_state);
            let by_itself = strike(schedule_state.goes_on(point));
            let mut decide = || {
                let enabled = pending.instead(point, &schedule_state);
                let point = Point { enabled: &enabled, faults: &[], ..*point };
                decide.decide(&point, &schedule_state, by_itself)
            };
            let choice = plan.next(point).map_or_else(&mut decide, strike);
            if !runs(choice, specs) {
                tape.next = Some(Step::of_fault(point, &schedule_state, choice));
                return choice;
            }
            let transition = |it: EnabledTransition| {
                let choice = strike(it.choice);
                EnabledTransition { choice, ..it }
            };
            let transitions = schedule_state.transitions(point).into_iter().map(transition);
            let transitions = transitions.collect();
            pending.chosen(choice, &schedule_state);
            let step = Step::new(point, &schedule_state, choice);
            tape.next = Some(Step { transitions, by_itself, ..step });
            schedule_state.choose(point, choice);
            choice
        };
        let ending = self.machine.run(&mut choose, self.setup.budget())?;
        let steps = self.taped(&ending)?;
        self.points += steps.len().saturating_sub(begun) as u64;
        let failure = if ending.is_failure() {
            let waits = self.waits()?;
            Some(Failure::new(&ending, &waits))
        } else {
            None
        };
        Ok(Run { steps, ending, failure })
    }

    /// The steps of a run that ended like this.
    fn taped(&mut self, ending: &End) -> vmm::Result<Vec<Step>> {
        // The state of a vCPU at the end shows whether it turned interrupts off in its last step.
        let waiters = if ending.is_failure() { self.machine.waiters()? } else { Vec::new() };
        let mut tape = self.recorder.tape();
        for Waiter { vcpu, attention, .. } in waiters {
            tape.comes_to(vcpu, attention.on);
        }
        let mut steps = std::mem::take(&mut tape.steps);
        forget_lost_ipis(&mut steps, &self.setup.config.faults);
        Ok(steps)
    }

    /// Makes a run once more, with every stack and with the finding's own hang budget. Also returns
    /// what each vCPU waits for, and what a replay must reproduce.
    pub(super) fn look_closely(
        &mut self,
        choices: &[Choice],
    ) -> vmm::Result<(Run, Vec<Row>, Recorded)> {
        self.trunk = Trunk::default();
        self.recorder.tape().stacks = true;
        let (own, search) = (self.setup.hang_budget, self.setup.search_budget);
        self.machine.set_hang_budget(own);
        self.machine.set_run_out(true);
        let run = self.run(choices, &mut undisturbed);
        self.machine.set_hang_budget(search);
        self.machine.set_run_out(self.setup.run_out);
        self.recorder.tape().stacks = false;
        let run = run?;
        let mut whole = self.before.clone();
        run.steps.iter().for_each(|step| whole.add(step.hash, step.choice));
        let recorded = whole.run(&self.machine, self.setup.hang_budget, &run.ending);
        Ok((run, self.waits()?, recorded))
    }

    fn waits(&mut self) -> vmm::Result<Vec<Row>> {
        Ok(self.setup.names.table(&self.machine.waiters()?, self.machine.memory()))
    }

    /// Takes snapshots along a run: before each `every`th of its steps from `from` to `to`. Later
    /// runs that begin with the same choices start from such a snapshot.
    pub(super) fn plant(
        &mut self,
        run: &Run,
        from: usize,
        to: usize,
        every: usize,
    ) -> vmm::Result<()> {
        if !self.plants {
            return Ok(());
        }
        let mut places = Vec::new();
        let (mut schedule_state, mut done) = (self.start.schedule_state.clone(), 0);
        self.machine.restore(&self.start.snapshot)?;
        {
            let mut tape = self.recorder.tape();
            tape.steps.clear();
            tape.vcpus.clone_from(&self.start.vcpus);
        }
        for at in (from..to.min(run.steps.len())).step_by(every.max(1)) {
            let recorder = &self.recorder;
            let mut follow = |point: &Point| {
                let mut tape = recorder.tape();
                schedule_state.arrive(point, |vcpu| tape.progress(vcpu));
                let step = run.steps.get(done);
                done += 1;
                tape.next = step.cloned();
                let choice = step.map_or(point.enabled[0], |step| step.choice);
                if step.is_none_or(|step| step.runs) {
                    schedule_state.choose(point, choice);
                }
                choice
            };
            let ending = self.machine.run(&mut follow, run.steps[at].point)?;
            if ending != End::Budget || done != at {
                break;
            }
            let Some(snapshot) = snapshot(&mut self.machine)? else {
                return self.start_anew();
            };
            let vcpus = self.recorder.tape().vcpus.clone();
            places.push(Place {
                steps: at,
                snapshot,
                schedule_state: schedule_state.clone(),
                vcpus,
            });
        }
        self.trunk = Trunk { steps: run.steps.clone(), places };
        Ok(())
    }
}

/// Takes a snapshot; `None` if a vCPU is in the middle of an operation, which a snapshot can't
/// hold.
fn snapshot(machine: &mut ControlledMachine) -> vmm::Result<Option<Snapshot>> {
    match machine.save() {
        Ok(snapshot) => Ok(Some(snapshot)),
        Err(vmm::Error::Snapshot { problem }) => {
            tracing::info!("no snapshot here: {problem}");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
