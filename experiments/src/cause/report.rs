//! The cause of a failure as a report, with names for everything, for people and for programs.

mod check;
mod html;
mod perfetto;
mod source;
mod summary;
mod text;

use schemars::JsonSchema;
use serde::Serialize;

use super::explain::{Cause, Question};
use super::naming::{Named, NamedStep, Naming};
use super::point_of_no_return::jump;
use super::proof::{Condition, Scope};
pub use source::Source;
use summary::Figures;

use super::trace::Step;
use super::{Claim, FailureRate, Matters, Operation};
use crate::commands::quoted;
use crate::fault_effect::FaultEffect;
use crate::finding::Machine;
use crate::observed::ObservedFailure;
use crate::waits::{Names, Row};

/// The version of the format of all JSON documents.
pub const FORMAT: u32 = 3;

/// The explanation of a failure.
#[derive(Clone, Debug, JsonSchema, Serialize)]
#[schemars(rename = "Explanation")]
pub struct Report {
    /// The format's version.
    pub format: u32,
    /// The guest and its machine.
    pub machine: Machine,
    /// What failed, in words.
    pub verdict: String,
    /// Whether a cause has been shown.
    pub shown: bool,
    /// What happened, in sentences.
    pub summary: Vec<String>,
    /// The decisive orders: pairs whose order decides.
    pub pairs: Vec<Pair>,
    /// The further orders that the failure takes.
    pub conditions: Vec<String>,
    /// The number of pairs that were found but failed their test.
    pub refuted: usize,
    /// Runs with all of these orders forced.
    pub forced: FailureRate,
    /// Runs with nothing forced.
    pub chance: FailureRate,
    /// The faults that strike in the shortest schedule.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<TestedFault>,
    /// Another pair of accesses, whose order makes no difference.
    pub unrelated: Option<Unrelated>,
    /// Conflicting accesses that nothing orders.
    pub unordered: Vec<Unordered>,
    /// What each vCPU waits for.
    pub waits: Vec<Row>,
    /// The failure observed in real time that the finding reproduces, if a search for it was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed: Option<ObservedFailure>,
    /// The shortest schedule that fails.
    pub schedule: Shortest,
    /// The failure rates along it.
    pub failure_rates: Vec<CurvePoint>,
    /// The point of no return.
    pub jump: Option<Jump>,
    /// The steps of the shortest schedule.
    pub steps: Vec<NamedStep>,
    /// Two runs that differ by one pair's order.
    pub apart: Option<Sides>,
    /// Commands that reproduce the runs.
    pub commands: Vec<Command>,
    /// Source lines, where the source was found.
    pub source: Source,
    /// The number of runs and the time that the explanation took.
    pub cost: Cost,
}

/// Two runs that differ by the order of the first pair alone.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct Sides {
    /// The steps of the run that fails.
    pub fails: Vec<NamedStep>,
    /// The steps of the run that passes.
    pub passes: Vec<NamedStep>,
    /// The schedule of the run that passes.
    pub passing_schedule: String,
}

/// A command to type.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct Command {
    /// What it does.
    pub what: String,
    /// The command.
    pub command: String,
}

/// Two operations whose order decides.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct Pair {
    /// The operation that comes first when the run fails.
    pub first: Named,
    /// The operation that comes later.
    pub second: Named,
    /// The operation that comes later in the shortest schedule, if it is another one at the same
    /// place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub meets: Option<Named>,
    /// Runs with the other order.
    pub reversed: FailureRate,
    /// What was left to chance in these runs.
    pub scope: Scope,
    /// Runs with the other order and all other failing orders; only if the failure is rare.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub among: Option<FailureRate>,
    /// The index of the pair with which this one encloses what another vCPU does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encloses: Option<usize>,
}

/// A fault that strikes in the shortest schedule.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct TestedFault {
    /// The scheduling point at which it strikes, from 1.
    pub point: u64,
    /// What it does, in words.
    pub what: String,
    /// Where the vCPU is at which it strikes.
    pub place: String,
    /// Runs without it, with all orders of the pairs as they fail.
    pub without: FailureRate,
}

/// Two accesses whose order makes no difference.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct Unrelated {
    /// The access that came first.
    pub first: Named,
    /// The access that came later.
    pub second: Named,
    /// Runs with this order.
    pub as_it_was: FailureRate,
    /// Runs with the other order.
    pub turned: FailureRate,
}

/// Two conflicting accesses that nothing orders.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct Unordered {
    /// The access that came first.
    pub first: Named,
    /// The access that came later.
    pub second: Named,
    /// Runs with the other order.
    pub turned: FailureRate,
    /// Whether the order matters.
    pub matters: Matters,
}

/// The shortest schedule that fails.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct Shortest {
    /// The schedule, from the first instruction.
    pub text: String,
    /// Its switches.
    pub switches: Vec<NamedSwitch>,
    /// The number of preemptions in it.
    pub preemptions: usize,
    /// Whether a systematic search found it; otherwise it is the finding's own schedule, shortened.
    pub systematic: bool,
    /// If present: every schedule with fewer preemptions and at most this number of switches was
    /// tried, and passes.
    pub excluded: Option<usize>,
}

/// A switch.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct NamedSwitch {
    /// The number of scheduling points before the switch.
    pub point: u64,
    /// The vCPU that ran last, and where it was.
    pub from: String,
    /// The choice taken instead of the non-preemptive continuation.
    pub to: String,
    /// Whether the switch is a preemption.
    pub preempts: bool,
}

/// The failure rate after some steps of the schedule.
#[derive(Clone, Copy, Debug, JsonSchema, Serialize)]
pub struct CurvePoint {
    /// The number of steps.
    pub steps: usize,
    /// The number of runs.
    pub runs: u32,
    /// The number of runs that failed.
    pub failed: u32,
}

/// The point of no return: the step at which the failure rate jumps to its final value.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct Jump {
    /// The last sample before it.
    pub before: CurvePoint,
    /// The first sample after it.
    pub behind: CurvePoint,
    /// What happens there, in words.
    pub what: String,
}

/// The cost of an explanation.
#[derive(Clone, Copy, Debug, JsonSchema, Serialize)]
pub struct Cost {
    /// Runs to find the schedule and the pairs.
    pub search_runs: u64,
    /// Runs for the tests.
    pub proof_runs: u64,
    /// The time in seconds.
    pub seconds: f64,
}

impl NamedSwitch {
    fn of(step: &Step, naming: Naming) -> Self {
        let from = step.left.map_or_else(String::new, |(vcpu, program_point)| {
            format!("vCPU {vcpu} at {}", naming.program_point(program_point))
        });
        Self { point: step.point, from, to: step.choice.to_string(), preempts: step.preempts() }
    }
}

impl Report {
    /// Makes the report of a cause, with names for everything.
    pub fn new(question: &Question, cause: &Cause) -> Self {
        let names = Names { symbols: question.symbols, image: &question.machine.guest.bytes };
        let naming = Naming(names);
        let named = |operation: &Operation| naming.operation(operation, &cause.steps);
        let both = |first: &Operation, second: &Operation| {
            let first = named(first);
            let second = naming.later(second, &first, &cause.steps);
            (first, second)
        };
        let pair = |claim: &Claim| {
            let (first, second) = both(&claim.first, &claim.second);
            Pair {
                meets: claim.meets.as_ref().map(|met| naming.later(met, &first, &cause.steps)),
                first,
                second,
                reversed: claim.reversed.0,
                scope: claim.reversed.1,
                among: claim.among,
                encloses: claim.encloses,
            }
        };
        let steps: Vec<_> = cause.steps.iter().map(|step| naming.step(step)).collect();
        let proof = &cause.proof;
        let pairs: Vec<Pair> = proof.claims.iter().map(pair).collect();
        let condition = |condition: &Condition| match condition {
            Condition::Pair(first, second) => {
                let (first, second) = both(first, second);
                summary::order(&first, &second, &steps)
            }
            Condition::Interrupt(vcpu, program_point) => {
                format!(
                    "vCPU {vcpu} takes its interrupt at {}",
                    naming.program_point(*program_point)
                )
            }
        };
        let switches = cause.steps.iter().filter(|step| step.deviates());
        let switches = switches.map(|step| NamedSwitch::of(step, naming));
        let failure_rates: Vec<CurvePoint> =
            cause.failure_rates.iter().map(CurvePoint::of).collect();
        let jump = jump(&cause.failure_rates).map(|(before, behind)| Jump {
            before: CurvePoint::of(&before),
            behind: CurvePoint::of(&behind),
            what: summary::segment(&steps, before.steps, behind.steps),
        });
        let (shown, forced, chance) = (cause.is_shown(), proof.forced, proof.chance);
        let figures = Figures { shown, forced, chance };
        let faults: Vec<TestedFault> = cause.faults().map(TestedFault::of).collect();
        Self {
            format: FORMAT,
            machine: cause.finding.machine.clone(),
            verdict: cause.finding.verdict.clone(),
            shown,
            summary: summary::tell(&pairs, &faults, figures, &steps),
            faults,
            conditions: proof.conditions.iter().map(condition).collect(),
            refuted: proof.refuted,
            forced,
            chance,
            unrelated: proof.unrelated.as_ref().map(|(first, second, as_it_was, turned)| {
                let (as_it_was, turned) = (*as_it_was, *turned);
                let (first, second) = both(first, second);
                Unrelated { first, second, as_it_was, turned }
            }),
            unordered: proof
                .races
                .iter()
                .map(|race| {
                    let (first, second) = both(&race.first, &race.second);
                    Unordered { first, second, turned: race.turned, matters: race.matters() }
                })
                .collect(),
            pairs,
            waits: cause.finding.waits.clone(),
            observed: cause.finding.observed.clone(),
            schedule: Shortest {
                text: cause.finding.schedule.clone(),
                switches: switches.collect(),
                preemptions: cause.preemptions,
                systematic: cause.systematic,
                excluded: cause.excluded,
            },
            failure_rates,
            jump,
            steps,
            apart: cause.apart.as_ref().map(|apart| {
                let name = |steps: &[Step]| steps.iter().map(|step| naming.step(step)).collect();
                Sides {
                    fails: name(&apart.fails),
                    passes: name(&apart.passes),
                    passing_schedule: apart.schedule.to_string(),
                }
            }),
            commands: Vec::new(),
            source: Source::new(),
            cost: Cost {
                search_runs: cause.search_runs,
                proof_runs: cause.proof_runs,
                seconds: cause.time.as_secs_f64(),
            },
        }
    }

    /// Adds the commands that reproduce the runs. `failing` is the file of the shortest schedule,
    /// if there is one.
    pub fn add_commands(&mut self, failing: Option<&str>) {
        let machine = self.machine.arguments();
        let mut add = |what: &str, command: String| {
            self.commands.push(Command { what: what.into(), command });
        };
        if let Some(file) = failing {
            add("The failure, exactly", format!("jitterbug replay {}", quoted(file)));
        }
        if let Some(Sides { passing_schedule: schedule, .. }) = &self.apart {
            add(
                "One order apart, and it passes",
                format!("jitterbug hunt {machine} --schedule '{schedule}'"),
            );
        }
        add(
            "The failing schedule in words",
            format!("jitterbug hunt {machine} --schedule '{}'", self.schedule.text),
        );
        if let Some(observed) = &self.observed {
            add("In real time, where it is a matter of luck", observed.command.clone());
        }
    }
}

impl TestedFault {
    fn of((fault, without): (&FaultEffect, FailureRate)) -> Self {
        let FaultEffect { point, what, place, .. } = fault.clone();
        Self { point, what, place, without }
    }
}

impl Pair {
    /// The operation that comes later in the shortest schedule.
    pub fn later(&self) -> &Named {
        self.meets.as_ref().unwrap_or(&self.second)
    }
}

impl CurvePoint {
    fn of(sample: &super::Sample) -> Self {
        Self { steps: sample.steps, runs: sample.rate.runs, failed: sample.rate.failed }
    }

    /// The failure rate in percent.
    pub fn percent(&self) -> u32 {
        (self.failed * 100 + self.runs / 2) / self.runs.max(1)
    }
}

#[cfg(test)]
#[path = "report/truth_tests.rs"]
mod truth_tests;
