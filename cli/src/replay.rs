//! `jitterbug replay`: runs a finding again.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use experiments::finding::{Machine, image_hash};
use experiments::follow::obstacle;
use experiments::{Finding, Recorded, follow, replay};
use probes::engine::Changes;
use probes::session::ProbeCount;
use probes::{Options, OutputLine, Symbols};
use schemars::JsonSchema;
use serde::Serialize;
use vmm::controlled::Ending;
use vmm::hook::Attach;
use vmm::interrupts::{EndSignal, Interrupts, Second};
use vmm::{Host, MachineConfig};

use crate::args::{Cli, ReplayArgs};
use crate::document::{FORMAT, print_json};
use crate::guest::Guest;
use crate::scripts::{self, ProbeSums, Probing, Scripts};
use crate::status::{Status, conclude};
use crate::tell;
use crate::trace::Tracing;
use crate::trial::{KeptLines, ScriptLine};
use crate::writer;

/// The report of `replay --json`.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "Replay")]
pub(crate) struct Report<'a> {
    /// The version of the documents' format.
    format: u32,
    /// The guest and its machine, as the finding says.
    machine: &'a Machine,
    /// What failed, in words.
    verdict: &'a str,
    /// The finding's file.
    file: &'a Path,
    /// Whether it happened again: exactly as recorded, or on another build with the same verdict.
    reproduced: bool,
    /// A signal ended it: there might have been more runs.
    interrupted: bool,
    /// The first difference, if not.
    difference: Option<String>,
    /// How many runs there were.
    runs: u64,
    /// How long they took.
    seconds: f64,
    /// How long they took in the guest's time.
    virtual_seconds: f64,
    /// Scheduling points of the recorded run.
    points: u64,
    /// Its hash.
    hash: &'a str,
    /// Which switches found their place, on another build.
    #[serde(skip_serializing_if = "Option::is_none")]
    switches: Option<Switches>,
    /// How often each probe fired in the last run; all runs are the same.
    probes: &'a [ProbeCount],
    /// What scripts did.
    changes: &'a Changes,
    /// Files that the machine was dumped to.
    dumps: &'a [PathBuf],
    /// What scripts printed.
    script_output: &'a [ScriptLine],
    /// Lines of scripts that are not in the report, for want of room.
    script_lines_dropped: u64,
}

/// The switches of a schedule on another build of its guest.
#[derive(Default, JsonSchema, Serialize)]
struct Switches {
    /// How many found their place.
    found: usize,
    /// What is known of the others.
    missed: Vec<String>,
}

/// What the replays came to.
struct Replayed {
    difference: Option<String>,
    status: Status,
    runs: u64,
    switches: Option<Switches>,
}

/// Everything that stays the same from one replay to the next.
struct Setting<'a> {
    args: &'a ReplayArgs,
    finding: &'a Finding,
    recorded: Recorded,
    machine: MachineConfig,
    symbols: Option<Arc<Symbols>>,
    host: Host,
    interrupts: Interrupts,
}

/// Runs a finding as often as asked, and says whether it happened again.
pub(crate) fn run(cli: &Cli, args: &ReplayArgs) -> Result<Status> {
    let start = Instant::now();
    args.probing.check_output(args.json, false)?;
    let interrupts = Interrupts::take(Second::Ends, writer::hurry)?;
    let finding = Finding::read(&args.finding)?;
    let recorded = Recorded::try_from(&finding)?;
    let guest = Guest::of_finding(&finding, &args.finding, args.guest.as_deref())?;
    let machine = finding.machine.config(guest.image.clone())?;
    let symbols = guest.symbols(args.probing.symbols.as_deref())?;
    let same = image_hash(&guest.image.bytes) == finding.machine.guest_hash;
    if !same {
        check_other_build(&guest, &finding, symbols.as_deref())?;
    }
    let scripts = Scripts::load(&args.probing, symbols.as_ref(), &machine, &Options::controlled())?;
    let host = Host::open(&cli.kvm)?;
    if let Some(scripts) = &scripts {
        scripts.check(&host)?;
    }
    let mut watch = Watch {
        scripts,
        tracing: Tracing::check(args.probing.trace.as_deref())?,
        title: format!("{}: {}", machine.guest.name, finding.verdict),
        vcpus: machine.cpus.get(),
        counts: ProbeSums::default(),
        last_counts: Vec::new(),
        changes: Changes::default(),
        time: Duration::ZERO,
        dumps: Vec::new(),
        lines: args.json.then(Arc::default),
    };
    let setting = Setting { args, finding: &finding, recorded, machine, symbols, host, interrupts };
    let replayed =
        if same { setting.same_build(&mut watch)? } else { setting.another_build(&mut watch)? };
    let problems = watch.finish();
    // A signal that comes when all is done changes nothing.
    let reproduced = replayed.difference.is_none() && replayed.runs > 0;
    let interrupted = matches!(replayed.status, Status::Interrupted | Status::Terminated);
    let mut problems = problems;
    if args.json {
        let lines = watch.lines.unwrap_or_default();
        let lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
        let printed = print_json(&Report {
            format: FORMAT,
            machine: &finding.machine,
            verdict: &finding.verdict,
            file: &args.finding,
            reproduced,
            interrupted,
            difference: replayed.difference,
            runs: replayed.runs,
            seconds: start.elapsed().as_secs_f64(),
            virtual_seconds: watch.time.as_secs_f64(),
            points: finding.run.points,
            hash: &finding.run.hash,
            switches: replayed.switches,
            probes: &watch.last_counts,
            changes: &watch.changes,
            dumps: &watch.dumps,
            script_output: &lines.lines,
            script_lines_dropped: lines.dropped,
        });
        problems.extend(printed.err());
    }
    conclude(replayed.status, problems)
}

impl Setting<'_> {
    fn same_build(&self, watch: &mut Watch) -> Result<Replayed> {
        let Self { finding, recorded, machine, host, .. } = self;
        let cancel = self.interrupts.cancel();
        for number in 1..=self.args.repeat {
            let replayed = watch.run(|hooks| {
                let replayed = replay(host, recorded, machine, hooks, &cancel)?;
                Ok((replayed.ending, replayed.time, replayed.dumps, replayed.divergence))
            })?;
            let Some(replayed) = replayed else {
                return Ok(self.interrupted(number - 1, None));
            };
            if let Some(divergence) = replayed {
                tell::user(&format!("jitterbug: replay {number}: not reproduced: {divergence}"));
                let difference = Some(divergence.to_string());
                let status = Status::Failure;
                return Ok(Replayed { difference, status, runs: number, switches: None });
            }
        }
        tell::user(&format!(
            "jitterbug: reproduced{}: {}, {} points, hash {}",
            self.times(),
            finding.verdict,
            finding.run.points,
            finding.run.hash
        ));
        let status = Status::Clean;
        Ok(Replayed { difference: None, status, runs: self.args.repeat, switches: None })
    }

    /// Follows the finding on another image than the one that it is about.
    fn another_build(&self, watch: &mut Watch) -> Result<Replayed> {
        let Self { finding, recorded, machine, host, .. } = self;
        tell::user(&format!(
            "jitterbug: {} is another build: following by symbol+offset and hit counts",
            machine.guest.name
        ));
        let symbols = self.symbols.as_deref();
        let mut last = Switches::default();
        let cancel = self.interrupts.cancel();
        for number in 1..=self.args.repeat {
            let followed = watch.run(|hooks| {
                let schedule = &recorded.schedule;
                let followed = follow(host, finding, schedule, machine, symbols, hooks, &cancel)?;
                Ok((followed.ending.clone(), followed.time, followed.dumps.clone(), followed))
            })?;
            let Some(followed) = followed else {
                return Ok(self.interrupted(number - 1, Some(last)));
            };
            let of = followed.found + followed.missed.len();
            let switches = format!("{} of {of} switches found their place", followed.found);
            let missed = followed.missed.iter().map(ToString::to_string).collect();
            last = Switches { found: followed.found, missed };
            if let Some(difference) = followed.difference {
                let carried = followed.missed.is_empty();
                let what = if carried { "not reproduced" } else { "not carried over" };
                tell::user(&format!(
                    "jitterbug: replay {number}: {what}: {difference}; {switches}"
                ));
                for miss in followed.missed.iter().take(SHOWN) {
                    tell::user(&format!("  {miss}"));
                }
                let difference = Some(difference);
                let status = if carried { Status::Failure } else { Status::NotCarried };
                return Ok(Replayed { difference, status, runs: number, switches: Some(last) });
            }
            if number == self.args.repeat {
                tell::user(&format!(
                    "jitterbug: reproduced{} (same verdict, on another build): {}; {switches}",
                    self.times(),
                    followed.ending
                ));
            }
        }
        let (status, switches) = (Status::Clean, Some(last));
        Ok(Replayed { difference: None, status, runs: self.args.repeat, switches })
    }

    /// The user wants an end, after so many replays that all came out as recorded.
    fn interrupted(&self, runs: u64, switches: Option<Switches>) -> Replayed {
        let of = self.args.repeat;
        tell::user(&format!(
            "jitterbug: interrupted: {runs} of {of} replays were made{}",
            match runs {
                0 => "",
                _ => ", and reproduced it",
            }
        ));
        let signal = self.interrupts.end().unwrap_or(EndSignal::Interrupt);
        Replayed { difference: None, status: Status::interrupted(signal), runs, switches }
    }

    fn times(&self) -> String {
        match self.args.repeat {
            1 => String::new(),
            repeat => format!(" {repeat} times"),
        }
    }
}

/// Refuses an image on which the finding can't be followed.
fn check_other_build(guest: &Guest, finding: &Finding, symbols: Option<&Symbols>) -> Result<()> {
    let Some(obstacle) = obstacle(finding, symbols) else { return Ok(()) };
    bail!(
        "{}: not the image that the finding is about (hash {}, recorded {}), and it can't be \
         followed as another build of it: {obstacle}",
        guest.image.name,
        image_hash(&guest.image.bytes),
        finding.machine.guest_hash
    );
}

/// How many missed switches are told.
const SHOWN: usize = 3;

/// Who looks on, and what they have seen in all replays.
struct Watch {
    scripts: Option<Scripts>,
    tracing: Option<Tracing>,
    /// What the trace is called, and how many tracks it has.
    title: String,
    vcpus: u32,
    counts: ProbeSums,
    /// Those of the last replay.
    last_counts: Vec<ProbeCount>,
    changes: Changes,
    /// How much virtual time the replays took.
    time: Duration,
    dumps: Vec<PathBuf>,
    /// What scripts printed, for a report.
    lines: Option<Arc<Mutex<KeptLines>>>,
}

impl Watch {
    /// Makes one replay, and prints what the scripts have to say of it. `None` if it was stopped.
    fn run<T>(
        &mut self,
        replay: impl FnOnce(&[&dyn Attach]) -> vmm::Result<(Ending, Duration, Vec<PathBuf>, T)>,
    ) -> Result<Option<T>> {
        let tracing = self.tracing.as_ref();
        let trace = tracing.and_then(|tracing| tracing.start(&self.title, self.vcpus));
        let probing = match &self.scripts {
            // A replay has no delays to draw.
            Some(scripts) => {
                let (kept, room) = (self.lines.clone(), scripts.line_room());
                let line = move |line: OutputLine| {
                    tell::user(&line.text());
                    if let Some(kept) = &kept {
                        kept.lock().unwrap_or_else(PoisonError::into_inner).put(&line, &room);
                    }
                };
                Some(scripts.start(0, line, trace.as_ref())?)
            }
            None => None,
        };
        let mut hooks: Vec<&dyn Attach> = Vec::new();
        hooks.extend(trace.as_ref().map(|trace| -> &dyn Attach { trace }));
        hooks.extend(probing.as_ref().map(Probing::hook));
        let (failed, time, dumps, replayed) = match replay(&hooks) {
            Ok((ending, time, dumps, replayed)) => {
                (ending.is_failure(), time, dumps, Some(replayed))
            }
            // What the scripts have seen until then is told.
            Err(vmm::Error::Cancelled) => (false, Duration::ZERO, Vec::new(), None),
            Err(error) => return Err(error.into()),
        };
        self.time += time;
        if let (Some(tracing), Some(trace)) = (tracing, &trace) {
            // They are all the same, until one is not, which is the last.
            tracing.end(trace, false);
        }
        if let Some(probing) = probing {
            let (counts, changes) = probing.finish(failed)?;
            self.counts.add(&counts);
            self.last_counts = counts;
            self.changes.add(&changes);
        }
        for line in scripts::dumps(&dumps, &[]) {
            tell::user(&line);
        }
        self.dumps.extend(dumps);
        Ok(replayed)
    }

    /// All replays are over. What went wrong with what they were to leave behind.
    fn finish(&self) -> Vec<anyhow::Error> {
        let ran = format!("the guest ran for {:.6} s of virtual time", self.time.as_secs_f64());
        self.counts.warn_of_silent_ones(&ran);
        let mut problems = Vec::new();
        problems.extend(self.tracing.as_ref().and_then(|tracing| tracing.finish().err()));
        if let Some(scripts) = &self.scripts {
            scripts.tell_changes(&self.changes, self.counts.runs());
            problems.extend(scripts.finish().err());
        }
        problems
    }
}
