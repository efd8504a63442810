//! Explains a finding: all steps of the analysis, one after the other.

use std::thread;
use std::time::{Duration, Instant};

use inspect::Symbols;
use vmm::controlled::Granularity;
use vmm::end::{End, HangEvidence};
use vmm::{Cancel, Host, MachineConfig};

use super::counterfactual::FailureRate;
use super::executor::{Executor, Run, Setup, undisturbed};
use super::failure::Failure;
use super::minimise::{Limits, minimise};
use super::operation::operations;
use super::pairs::{Critical, pairs};
use super::point_of_no_return::{Sample, failure_rates};
use super::proof::{Proof, prove};
use super::trace::Step;
use super::worker_pool::WorkerPool;
use crate::fault_effect::FaultEffect;
use crate::finding::Finding;
use crate::hunt::fault_effects::{Failure as FailingRun, effects};
use crate::replay::{Divergence, Recorded, survey};
use crate::schedule::{Schedule, ScheduleError};
use crate::segment_end::SegmentEnd;
use crate::waits::{Names, Row};

/// The hang budget while the cause of a hang by budget is searched for, in scheduling points of
/// each vCPU. Every failing run takes that many; the result is checked with the finding's own hang
/// budget.
const SEARCH_BUDGET: u64 = 2_000;

/// A finding to explain, and how.
#[derive(Clone, Copy)]
pub struct Question<'a> {
    /// The host.
    pub host: &'a Host,
    /// The finding's machine.
    pub machine: &'a MachineConfig,
    /// The finding.
    pub finding: &'a Finding,
    /// The guest's symbols.
    pub symbols: Option<&'a Symbols>,
    /// Cancels the explanation, which then fails with [`CauseError::Cancelled`].
    pub cancel: &'a Cancel,
    /// The limits of the search and of the tests.
    pub limits: Limits,
    /// The seed of all random decisions.
    pub seed: u64,
}

/// Why there is no explanation.
#[derive(Debug, thiserror::Error)]
pub enum CauseError {
    /// The finding's schedule ends in another verdict than the finding's.
    #[error("the finding's schedule comes to {now} now, and not to {recorded}: nothing to explain")]
    NotReproduced {
        /// The finding's verdict.
        recorded: String,
        /// The verdict now.
        now: String,
    },
    /// The run has no operation on anything that the vCPUs share.
    #[error(
        "the run shows no access to anything shared: there is nothing whose order could matter"
    )]
    NoAccesses,
    /// Accesses are not scheduling points at this granularity.
    #[error(
        "--granularity {0}: accesses aren't seen then, and nothing can be said of their order: hunt \
         with --granularity {watch}, the default", watch = Granularity::Watch
    )]
    Granularity(Granularity),
    /// The failure depends on when a fault strikes, beyond what the vCPU does there.
    #[error(
        "the failure comes only if a fault strikes while other vCPUs are at certain places, and a \
         fault is explained by what its own vCPU does: the finding says what it did, and replays"
    )]
    FaultMoment,
    /// The loop of the shortest schedule ends by itself within the finding's hang budget.
    #[error(
        "the shortest schedule that hangs for {0} scheduling points gets on later: hunt with a \
         larger --hang-budget"
    )]
    GivesUp(u64),
    /// The explanation was cancelled.
    #[error("interrupted before anything could be shown")]
    Cancelled,
    /// The same schedule had different results in two runs.
    #[error("the guest doesn't repeat itself, so nothing can be shown: {0}")]
    Unrepeatable(Divergence),
    /// The finding's schedule can't be parsed.
    #[error("the finding's schedule")]
    Schedule(#[from] ScheduleError),
    /// The machine reported an error.
    #[error(transparent)]
    Machine(vmm::Error),
}

impl From<vmm::Error> for CauseError {
    fn from(error: vmm::Error) -> Self {
        match error {
            vmm::Error::Cancelled => Self::Cancelled,
            error => Self::Machine(error),
        }
    }
}

/// Two runs that differ by one order.
#[derive(Clone, Debug)]
pub struct Apart {
    /// The steps of the run that fails.
    pub fails: Vec<Step>,
    /// The steps of the run that passes.
    pub passes: Vec<Step>,
    /// The schedule of the run that passes, from the first instruction.
    pub schedule: Schedule,
}

/// The cause of a finding.
#[derive(Clone, Debug)]
pub struct Cause {
    /// What failed.
    pub failure: Failure,
    /// The shortest schedule that fails, as a finding of its own.
    pub finding: Finding,
    /// The steps of the shortest schedule, from where runs begin.
    pub steps: Vec<Step>,
    /// The number of preemptions in it.
    pub preemptions: usize,
    /// Whether a systematic search found the schedule; otherwise it is the finding's own,
    /// shortened.
    pub systematic: bool,
    /// If present: every schedule with fewer preemptions and at most this number of switches was
    /// tried, and passes.
    pub excluded: Option<usize>,
    /// The pairs, and their tests.
    pub proof: Proof,
    /// The failure rates along the schedule.
    pub failure_rates: Vec<Sample>,
    /// Two runs that differ by the order of the first pair only.
    pub apart: Option<Apart>,
    /// Runs to find the schedule and the pairs.
    pub search_runs: u64,
    /// Runs for the tests.
    pub proof_runs: u64,
    /// How long the explanation took.
    pub time: Duration,
}

impl Cause {
    /// Whether a cause was shown: each claimed order is needed, and together they make runs fail;
    /// or no order matters, and a fault is needed.
    pub fn is_shown(&self) -> bool {
        let decided = !self.proof.claims.is_empty() || self.proof.is_decided_by_faults();
        decided && self.proof.forced.fails()
    }

    /// The faults of the shortest schedule, each with the runs without it.
    pub fn faults(&self) -> impl Iterator<Item = (&FaultEffect, FailureRate)> {
        self.finding.faults.iter().zip(self.proof.without_fault.iter().copied())
    }
}

/// Fails if findings of this granularity can't be explained.
pub fn can_explain(granularity: Granularity) -> Result<(), CauseError> {
    match granularity {
        Granularity::Watch => Ok(()),
        Granularity::Instruction => Err(CauseError::Granularity(granularity)),
    }
}

/// Explains a finding.
pub fn explain(question: &Question) -> Result<Cause, CauseError> {
    let Question { host, machine: config, finding, symbols, .. } = *question;
    can_explain(config.granularity)?;
    let by_budget = End::Hang(HangEvidence::Budget).to_string();
    let setup = Setup {
        host,
        config,
        names: Names { symbols, image: &config.guest.bytes },
        schedule: finding.schedule()?,
        points: finding.run.points,
        hang_budget: finding.run.hang_budget,
        search_budget: if finding.verdict == by_budget {
            finding.run.hang_budget.min(SEARCH_BUDGET)
        } else {
            finding.run.hang_budget
        },
        run_out: finding.verdict != by_budget,
        cancel: question.cancel,
    };
    thread::scope(|scope| work(&mut WorkerPool::new(scope, setup)?, question))
}

fn work(pool: &mut WorkerPool, question: &Question) -> Result<Cause, CauseError> {
    let begin = Instant::now();
    let Question { host, machine: config, finding, symbols, limits, seed, .. } = *question;
    let executor = &mut pool.executor;
    let before = executor.before().schedule.points() as usize;
    let choices: Vec<_> = finding.schedule()?.choices().skip(before).collect();
    let found = executor.run(&choices, &mut undisturbed)?;
    let now = found.ending.to_string();
    let Some(failure) = found.failure.clone().filter(|_| now == finding.verdict) else {
        let recorded = finding.verdict.clone();
        return Err(CauseError::NotReproduced { recorded, now });
    };
    if operations(&found).is_empty() {
        return Err(CauseError::NoAccesses);
    }
    let found = with_faults_tied(executor, &failure, found)?;
    let minimal = minimise(executor, &failure, found, &limits)?;
    let faults = executor.faults_of(&minimal.run);
    executor.set_faults(faults);
    tracing::info!("{} runs: the shortest schedule, {:?}", executor.runs, begin.elapsed());
    let critical = pairs(executor, &failure, &minimal.run)?;
    let search_runs = executor.runs;
    tracing::info!("{search_runs} runs: {} pairs, {:?}", critical.len(), begin.elapsed());
    let proof = prove(pool, &failure, &minimal.run, &critical, &limits, config.cpus.get(), seed)?;
    tracing::info!("{} runs: tested, {:?}", pool.runs(), begin.elapsed());
    // If every run at random fails, the failure was inevitable from the start.
    let failure_rates = if proof.chance.failed < proof.chance.runs {
        failure_rates(pool, &failure, &minimal.run, limits.samples, seed)?
    } else {
        Vec::new()
    };
    let (run, waits, recorded) = pool.executor.look_closely(&minimal.run.choices())?;
    if run.failure.as_ref() != Some(&failure) {
        return Err(CauseError::GivesUp(SEARCH_BUDGET));
    }
    let strikes = pool.executor.strikes().to_vec();
    let (replayed, ends) = survey(host, &recorded, config, symbols, question.cancel)?;
    if let Some(divergence) = replayed.divergence {
        return Err(CauseError::Unrepeatable(divergence));
    }
    let names = Names { symbols, image: &config.guest.bytes };
    let failing = FailingRun { recorded: &recorded, waits: &waits };
    let faults = effects(host, &failing, config, &strikes, &names, question.cancel);
    let claimed = |pair: &&Critical| {
        let claim = proof.claims.first();
        claim.is_some_and(|it| it.first.is_like(&pair.first) && it.second.is_like(&pair.second))
    };
    let apart = critical.iter().find(claimed).map(|pair| {
        let mut schedule = pool.executor.before().schedule.clone();
        pair.passes.steps.iter().for_each(|step| schedule.push(step.choice));
        let (fails, passes) = (pair.fails.steps.clone(), pair.passes.steps.clone());
        Apart { fails, passes, schedule }
    });
    Ok(Cause {
        failure,
        finding: shortest(finding, &recorded, &ends, faults, waits),
        preemptions: run.preemptions(),
        steps: run.steps,
        systematic: minimal.systematic,
        excluded: minimal.excluded,
        proof,
        failure_rates,
        apart,
        search_runs,
        proof_runs: pool.runs() - search_runs,
        time: begin.elapsed(),
    })
}

/// Ties the faults of a run to what their vCPUs do, and leaves out those without which it fails in
/// the same way. Returns the run that fails with the others.
fn with_faults_tied(
    executor: &mut Executor,
    failure: &Failure,
    found: Run,
) -> Result<Run, CauseError> {
    let mut faults = executor.faults_of(&found);
    if faults.is_empty() {
        return Ok(found);
    }
    let choices = executor.choices_without_faults(&found);
    executor.set_faults(faults.clone());
    let mut best = executor.run(&choices, &mut undisturbed)?;
    if best.failure.as_ref() != Some(failure) {
        return Err(CauseError::FaultMoment);
    }
    for number in (0..faults.len()).rev() {
        let mut fewer = faults.clone();
        fewer.remove(number);
        executor.set_faults(fewer.clone());
        let run = executor.run(&choices, &mut undisturbed)?;
        if run.failure.as_ref() == Some(failure) {
            (faults, best) = (fewer, run);
        }
    }
    executor.set_faults(faults);
    Ok(best)
}

/// The finding, with the shortest schedule in place of its own.
fn shortest(
    finding: &Finding,
    recorded: &Recorded,
    ends: &[SegmentEnd],
    faults: Vec<FaultEffect>,
    waits: Vec<Row>,
) -> Finding {
    Finding {
        verdict: recorded.verdict.clone(),
        schedule: recorded.schedule.to_string(),
        run: recorded.run(ends),
        faults,
        waits,
        ..finding.clone()
    }
}

#[cfg(test)]
#[path = "explain_tests.rs"]
mod tests;
