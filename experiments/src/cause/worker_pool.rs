//! Makes runs at random on all CPUs: a thread for each, with a machine of its own. A run is a
//! function of its number, so the results don't depend on which thread makes which run.

use std::ops::Range;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, Scope};

use super::counterfactual::FailureRate;
use super::executor::{Executor, Run, Setup};
use super::failure::Failure;
use super::faults::FaultPlace;
use super::force::{Forcing, Rules};

/// Runs to make.
#[derive(Clone, Copy)]
pub(super) struct Order<'a> {
    pub(super) failure: &'a Failure,
    pub(super) rules: &'a Rules,
    /// The run, and the number of its steps, that each run begins with.
    pub(super) behind: Option<(&'a Run, usize)>,
    pub(super) seed: u64,
}

/// The part of an order that one helper makes.
struct Part {
    failure: Failure,
    faults: Vec<FaultPlace>,
    rules: Rules,
    behind: Option<(Run, usize)>,
    seed: u64,
    numbers: Vec<u32>,
}

struct Helper {
    parts: Sender<Part>,
    made: Receiver<vmm::Result<FailureRate>>,
}

/// The executor of the calling thread, and the helper threads.
pub(super) struct WorkerPool<'a> {
    pub(super) executor: Executor<'a>,
    helpers: Vec<Helper>,
    /// The number of runs that helpers have made.
    helped: u64,
}

impl<'a> WorkerPool<'a> {
    /// Makes the calling thread's executor. Each helper makes its own when it is first needed.
    pub(super) fn new<'scope>(
        scope: &'scope Scope<'scope, '_>,
        setup: Setup<'a>,
    ) -> vmm::Result<Self>
    where
        'a: 'scope,
    {
        let cpus = thread::available_parallelism().map_or(1, usize::from);
        let mut helpers = Vec::new();
        for number in 1..cpus {
            let (parts, todo) = mpsc::channel::<Part>();
            let (done, made) = mpsc::channel();
            let setup = setup.clone();
            let work = move || {
                let mut executor = None;
                for part in todo {
                    if done.send(help(&mut executor, &setup, &part)).is_err() {
                        break;
                    }
                }
            };
            let thread = thread::Builder::new().name(format!("explain {number}"));
            // If no thread can be started, the work only takes longer.
            if thread.spawn_scoped(scope, work).is_ok() {
                helpers.push(Helper { parts, made });
            }
        }
        Ok(Self { executor: Executor::new(setup)?, helpers, helped: 0 })
    }

    /// The number of runs so far.
    pub(super) fn runs(&self) -> u64 {
        self.executor.runs + self.helped
    }

    /// Makes the runs with these numbers.
    pub(super) fn make(&mut self, order: Order, numbers: Range<u32>) -> vmm::Result<FailureRate> {
        let parts = self.helpers.len() as u32 + 1;
        let part = |own: u32| numbers.clone().filter(|n| n % parts == own).collect::<Vec<u32>>();
        let mut asked = Vec::new();
        for (helper, own) in self.helpers.iter().zip(1..) {
            let numbers = part(own);
            let part = Part {
                failure: order.failure.clone(),
                faults: self.executor.faults().to_vec(),
                rules: order.rules.clone(),
                behind: order.behind.map(|(run, steps)| (run.clone(), steps)),
                seed: order.seed,
                numbers: numbers.clone(),
            };
            if !numbers.is_empty() && helper.parts.send(part).is_ok() {
                asked.push((helper, numbers));
            }
        }
        let mut rate = make(&mut self.executor, order, &part(0))?;
        for (helper, numbers) in asked {
            let made = match helper.made.recv() {
                Ok(made) => {
                    self.helped += numbers.len() as u64;
                    made?
                }
                // The helper has ended.
                Err(_) => make(&mut self.executor, order, &numbers)?,
            };
            rate = rate.and(made);
        }
        Ok(rate)
    }
}

fn help<'a>(
    executor: &mut Option<Executor<'a>>,
    setup: &Setup<'a>,
    part: &Part,
) -> vmm::Result<FailureRate> {
    let mut own = match executor.take() {
        Some(executor) => executor,
        None => Executor::new(setup.clone())?,
    };
    let Part { failure, faults, rules, behind, seed, numbers } = part;
    own.set_faults(faults.clone());
    let behind = behind.as_ref().map(|(run, steps)| (run, *steps));
    let rate = make(&mut own, Order { failure, rules, behind, seed: *seed }, numbers)?;
    *executor = Some(own);
    Ok(rate)
}

fn make(executor: &mut Executor, order: Order, numbers: &[u32]) -> vmm::Result<FailureRate> {
    let Order { failure, rules, behind, seed } = order;
    let mut rate = FailureRate { runs: numbers.len() as u32, ..FailureRate::default() };
    let (mut prefix, mut before) = (Vec::new(), &[][..]);
    if let Some((run, steps)) = behind {
        executor.plant(run, steps, steps + 1, 1)?;
        before = &run.steps[..steps];
        prefix = before.iter().map(|step| step.choice).collect();
    }
    for number in numbers {
        let mut forcing = Forcing::new(rules, before, seed, u64::from(*number));
        let run = executor.run(&prefix, &mut forcing)?;
        rate.unforced += u32::from(forcing.broken);
        match &run.failure {
            Some(found) if found == failure => rate.failed += 1,
            Some(_) => rate.otherwise += 1,
            None => {}
        }
    }
    Ok(rate)
}
