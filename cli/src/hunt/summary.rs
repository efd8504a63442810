//! The result of a search, as sentences and as JSON.

use std::num::NonZero;

use experiments::finding::Machine;
use experiments::hunt::Progress as Searched;
use experiments::{Hunt, cause};
use schemars::JsonSchema;
use serde::Serialize;
use vmm::controlled::Granularity;

use super::findings::{self, Findings, Found, Group};
use crate::args::HuntArgs;
use crate::document::FORMAT;
use crate::finding_folder::LOST;
use crate::status::Status;
use crate::tell;

/// What no search can find.
const OUT_OF_REACH: &str =
    "stores are never delayed: bugs that need x86-TSO's store buffers are out of reach";
/// A number of consecutive runs without a new interleaving that is reported, then twice that
/// number, and so on.
const REPETITIONS: u64 = 1000;
/// How many places of runs that were cut short are printed.
const SHOWN: usize = 3;

/// The report of `hunt --json`.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "Hunt")]
pub(crate) struct Report<'a> {
    format: u32,
    /// The exit status; `outcome` is its name.
    status: u8,
    outcome: &'static str,
    interrupted: bool,
    machine: Machine,
    strategy: &'static str,
    depth: Option<u32>,
    seed: u64,
    seconds: f64,
    runs: u64,
    distinct: u64,
    /// Whether every possible interleaving was run.
    exhausted: bool,
    /// Runs since the last new interleaving.
    repeats: u64,
    failed: u64,
    cut_short: u64,
    /// Runs that ended quiet: every vCPU sleeps or was stopped, and none waits.
    quiet: u64,
    cut_short_at: Vec<Place<'a>>,
    diverged: u64,
    points: u64,
    /// Scheduling points at which there was more than one choice.
    choices: u64,
    /// Bytes of memory in which each access was a scheduling point.
    watched_bytes: Option<u64>,
    out_of_reach: [&'static str; 1],
    /// The machine's faults, in their order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    faults: Vec<FaultTally>,
    methods: Vec<MethodTally>,
    hashes: String,
    groups: &'a [Group],
    /// Failures that are in no group: only the first 100 kinds have one.
    #[serde(skip_serializing_if = "Option::is_none")]
    ungrouped: Option<NonZero<u64>>,
    findings: Vec<&'a Found>,
    /// The explanation of the first finding.
    #[serde(skip_serializing_if = "Option::is_none")]
    explanation: Option<cause::Report>,
}

/// A place where runs were cut short.
#[derive(JsonSchema, Serialize)]
struct Place<'a> {
    place: &'a str,
    runs: u64,
}

/// How often a fault could have struck, and did.
#[derive(JsonSchema, Serialize)]
struct FaultTally {
    /// The fault, as on the command line.
    fault: String,
    /// Runs in which it could have struck.
    possible: u64,
    /// Runs in which it struck.
    struck: u64,
}

/// The results of a method of the strategy.
#[derive(JsonSchema, Serialize)]
struct MethodTally {
    method: String,
    runs: u64,
    new: u64,
    failed: u64,
    repeats: u64,
}

/// Reports when runs only repeat earlier interleavings.
pub(super) struct Repetitions {
    next: u64,
}

impl Default for Repetitions {
    fn default() -> Self {
        Self { next: REPETITIONS }
    }
}

impl Repetitions {
    /// The line to print now, if any.
    pub(super) fn tell(&mut self, searched: &Searched, args: &HuntArgs) -> Option<String> {
        if searched.repeats == 0 {
            self.next = REPETITIONS;
        }
        // While repetitions are less than half of all runs, it is too early for this message.
        if searched.repeats < self.next || searched.repeats < searched.runs / 2 {
            return None;
        }
        self.next = searched.repeats.saturating_mul(2);
        let end = match (args.runs, args.time) {
            (None, None) => "; without --runs or --time it goes on until it is interrupted",
            _ => "",
        };
        Some(format!(
            "jitterbug: the last {} runs repeated interleavings that were seen before ({} distinct in {} \
             runs): what this search can reach is probably exhausted{end}",
            searched.repeats, searched.distinct, searched.runs
        ))
    }
}

/// The result of a search that has ended.
pub(super) struct Summary<'a> {
    pub(super) searched: &'a Searched,
    pub(super) setting: &'a Hunt,
    pub(super) status: Status,
    pub(super) interrupted: bool,
    pub(super) seconds: f64,
}

impl Summary<'_> {
    /// Prints the result for a person, with more details if `in_full`.
    pub(super) fn tell(&self, found: &Findings, in_full: bool) {
        let searched = self.searched;
        if searched.runs == 0 && !self.interrupted {
            tell::user("jitterbug: no run was made: give --time more room");
        }
        if searched.failed == 0 {
            self.looked_at();
        }
        if in_full {
            for (method, tally) in &searched.methods {
                tell::user(&format!(
                    "jitterbug: {method}: {} runs, {} new, {} failed",
                    tally.runs, tally.new, tally.failed
                ));
            }
            tell::user(&format!("jitterbug: {OUT_OF_REACH}"));
        }
        self.faults();
        self.cut_short();
        findings::tell(found);
        if self.status == Status::Lost {
            tell::user(LOST);
        }
        let interrupted = if self.interrupted { "interrupted: " } else { "" };
        let repeatable = if self.setting.verify || searched.diverged > 0 {
            format!(", {} not repeatable", searched.diverged)
        } else {
            String::new()
        };
        tell::user(&format!(
            "jitterbug: {interrupted}{} runs ({} distinct) in {:.1} s, {} failed, {} cut \
             short{repeatable}",
            searched.runs, searched.distinct, self.seconds, searched.failed, searched.cut_short
        ));
    }

    /// Prints what the runs of a search without a failure have covered.
    fn looked_at(&self) {
        let searched = self.searched;
        let watched = match (searched.watched, self.setting.machine.granularity) {
            (Some(bytes), _) => format!("accesses to {} KiB of shared memory, ", bytes / 1024),
            (None, Granularity::Instruction) => "instructions, ".into(),
            (None, Granularity::Watch) => String::new(),
        };
        tell::user(&format!(
            "jitterbug: looked at: {} scheduling points ({watched}ports, interrupts), {} of them with \
             more than one way to go on",
            searched.points, searched.choices
        ));
        if searched.quiet > 0 {
            tell::user(&format!(
                "jitterbug: {} of {} runs ended quiet (every vCPU sleeps or was stopped, and none waits): if that \
                 is a lost wake-up, say by --ok what success is",
                searched.quiet, searched.runs
            ));
        }
        if searched.exhausted {
            tell::user(
                "jitterbug: exhausted: every interleaving of these scheduling points was run, there is no other",
            );
        }
        if searched.runs > 0 && searched.choices < 2 * searched.runs {
            tell::user(
                "jitterbug: warning: next to nothing was searched: there was hardly ever more than one \
                 vCPU that could go on. Give more --cpus, or another --granularity",
            );
        }
    }

    /// Prints in how many runs each fault struck.
    fn faults(&self) {
        for (fault, tally) in self.setting.machine.faults.iter().zip(&self.searched.faults) {
            tell::user(&format!(
                "jitterbug: fault {fault}: struck in {} runs, could have struck in {}",
                tally.struck, tally.possible
            ));
        }
    }

    /// Prints where runs were cut short, the most frequent places first.
    fn cut_short(&self) {
        let mut places: Vec<_> = self.searched.cut_short_at.iter().collect();
        places.sort_by_key(|(_, runs)| std::cmp::Reverse(**runs));
        for (place, runs) in places.iter().take(SHOWN) {
            let times = if **runs == 1 { "time" } else { "times" };
            tell::user(&format!("jitterbug: cut short {runs} {times}: {place}"));
        }
        if let Some(more @ 1..) = places.len().checked_sub(SHOWN) {
            tell::user(&format!("jitterbug: cut short at {more} more places (--json has them)"));
        }
        if self.status == Status::Nothing && self.searched.runs > 0 {
            tell::user(
                "jitterbug: no run came to its end: that says nothing about the guest (status 4)",
            );
        }
    }

    /// The result for a program.
    pub(super) fn report<'b>(
        &'b self,
        found: &'b Findings,
        explanation: Option<cause::Report>,
    ) -> Report<'b> {
        let (searched, setting) = (self.searched, self.setting);
        let places = searched.cut_short_at.iter();
        let methods = searched.methods.iter().map(|(method, tally)| MethodTally {
            method: method.to_string(),
            runs: tally.runs,
            new: tally.new,
            failed: tally.failed,
            repeats: tally.repeats,
        });
        Report {
            format: FORMAT,
            status: self.status as u8,
            outcome: self.status.name(),
            interrupted: self.interrupted,
            machine: Machine::of(&setting.machine),
            strategy: setting.strategy.kind().name(),
            depth: setting.strategy.depth(),
            seed: setting.seed,
            seconds: self.seconds,
            runs: searched.runs,
            distinct: searched.distinct,
            exhausted: searched.exhausted,
            repeats: searched.repeats,
            failed: searched.failed,
            cut_short: searched.cut_short,
            quiet: searched.quiet,
            cut_short_at: places.map(|(place, runs)| Place { place, runs: *runs }).collect(),
            diverged: searched.diverged,
            points: searched.points,
            choices: searched.choices,
            watched_bytes: searched.watched,
            out_of_reach: [OUT_OF_REACH],
            faults: setting
                .machine
                .faults
                .iter()
                .zip(&searched.faults)
                .map(|(fault, tally)| FaultTally {
                    fault: fault.to_string(),
                    possible: tally.possible,
                    struck: tally.struck,
                })
                .collect(),
            methods: methods.collect(),
            hashes: format!("{:016x}", searched.hashes),
            groups: found.groups(),
            ungrouped: NonZero::new(found.ungrouped()),
            findings: found.kept(),
            explanation,
        }
    }
}
