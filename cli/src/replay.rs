//! `jitterbug replay`: replays a finding.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use experiments::finding::{Machine, image_hash};
use experiments::follow::obstacle;
use experiments::{Finding, Recorded, follow, replay};
use inspect::{Inspector, Stack, Symbols};
use probes::engine::Changes;
use probes::session::ProbeCount;
use probes::{Options, OutputLine};
use schemars::JsonSchema;
use serde::Serialize;
use vmm::end::End;
use vmm::fault::Strike;
use vmm::hook::Attach;
use vmm::signals::{EndSignal, Second, Signals};
use vmm::{Host, MachineConfig};

use crate::args::{Cli, ReplayArgs};
use crate::confine::{self, Files};
use crate::document::{FORMAT, print_json};
use crate::gdb::{self, Subject};
use crate::guest::Guest;
use crate::input;
use crate::scripts::{self, ProbeSums, Probing, Scripts};
use crate::signals;
use crate::status::{Status, conclude};
use crate::tell;
use crate::trace::Tracing;
use crate::trial::{KeptLines, ScriptLine};

/// The report of `replay --json`.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "Replay")]
pub(crate) struct Report<'a> {
    /// The version of the documents' format.
    format: u32,
    /// The guest and its machine, from the finding.
    machine: &'a Machine,
    /// What failed, in words.
    verdict: &'a str,
    /// The finding's file.
    file: &'a Path,
    /// Whether the failure was reproduced: exactly as recorded, or on another build with the same
    /// verdict.
    reproduced: bool,
    /// Whether a signal ended the program, so that there might have been more runs.
    interrupted: bool,
    /// The first difference, if the failure was not reproduced.
    difference: Option<String>,
    /// The number of runs.
    runs: u64,
    /// How long the runs took, in seconds.
    seconds: f64,
    /// How long the runs took in virtual time, in seconds.
    virtual_seconds: f64,
    /// The number of scheduling points of the recorded run.
    points: u64,
    /// The hash of the recorded run.
    hash: &'a str,
    /// The faults that struck, in words; only of the build that the finding is about.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    faults: Vec<String>,
    /// The switches whose place was reached, on another build.
    #[serde(skip_serializing_if = "Option::is_none")]
    switches: Option<Switches>,
    /// How often each probe fired in the last run; all runs are the same.
    probes: &'a [ProbeCount],
    /// What scripts did to the machine.
    changes: &'a Changes,
    /// Files to which the machine was dumped.
    dumps: &'a [PathBuf],
    /// What scripts printed.
    script_output: &'a [ScriptLine],
    /// Lines of scripts that are missing from the report, because there was no room.
    script_lines_dropped: u64,
}

/// The switches of a schedule on another build of its guest.
#[derive(Default, JsonSchema, Serialize)]
struct Switches {
    /// The number of switches whose place was reached.
    found: usize,
    /// The switches whose place was not reached, in words.
    missed: Vec<String>,
}

/// The results of the replays.
struct Replayed {
    difference: Option<String>,
    status: Status,
    runs: u64,
    switches: Option<Switches>,
    /// The faults that struck, in words.
    faults: Vec<String>,
}

/// What stays the same in all replays.
struct Setting<'a> {
    args: &'a ReplayArgs,
    finding: &'a Finding,
    recorded: Recorded,
    machine: MachineConfig,
    symbols: Option<Arc<Symbols>>,
    host: Host,
    signals: Signals,
}

/// Replays a finding the given number of times, and reports whether the failure was reproduced.
pub(crate) fn run(cli: &Cli, args: &ReplayArgs) -> Result<Status> {
    let start = Instant::now();
    args.probing.check_output(args.json, false)?;
    let signals = signals::take(Second::Ends)?;
    let finding = input::finding(&args.finding, &signals)?;
    let recorded = Recorded::try_from(&finding)?;
    let other = args.guest.as_deref();
    let guest = Guest::of_finding(&finding, &args.finding, other, &signals)?;
    let machine = finding.machine.config(guest.image.clone());
    let machine = machine.with_context(|| args.finding.display().to_string())?;
    let symbols = guest.symbols(args.probing.symbols.as_deref(), &signals)?;
    let same = image_hash(&guest.image.bytes) == finding.machine.guest_hash;
    if !same {
        check_other_build(&guest, &finding, symbols.as_deref())?;
    }
    let options = Options::controlled();
    if let Some(pass) = args.probing.dump_pass {
        let symbols = symbols.as_ref();
        return scripts::dump(&args.probing, pass, symbols, &machine, &options, &signals);
    }
    let scripts = Scripts::load(&args.probing, symbols.as_ref(), &machine, &options, &signals)?;
    let host = Host::open(&cli.kvm)?;
    if let Some(scripts) = &scripts {
        scripts.check(&host)?;
    }
    if let Some(address) = &args.gdb {
        if !same {
            bail!(
                "--gdb: {}: not the image that the finding is about, so there is no recorded run \
                 of it to go through",
                guest.image.name
            );
        }
        let files = Files::none().address(address).dumps();
        confine::files(&args.confine, &files, &signals)?;
        let listener = gdb::Listener::bind(address)?;
        confine::calls(&args.confine)?;
        let symbols = symbols.clone();
        let subject = Subject { host: &host, recorded: &recorded, machine: &machine, symbols };
        if let Some(status) = gdb::debug(&subject, listener, &signals)? {
            return Ok(status);
        }
    }
    let inspector = Inspector::new(symbols.clone(), args.probing.is_nameless());
    let mut watch = Watch {
        scripts,
        inspector: Arc::new(inspector),
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
    if args.gdb.is_none() {
        let files = Files::none().outputs(args.probing.files());
        let files = if args.probing.destructive { files.dumps() } else { files };
        confine::files(&args.confine, &files, &signals)?;
        confine::calls(&args.confine)?;
    }
    let setting = Setting { args, finding: &finding, recorded, machine, symbols, host, signals };
    let replayed =
        if same { setting.same_build(&mut watch)? } else { setting.another_build(&mut watch)? };
    let problems = watch.finish();
    // A signal that arrives after the last replay has no effect.
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
            faults: replayed.faults,
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
        let cancel = self.signals.cancel();
        let mut faults = Vec::new();
        for number in 1..=self.args.repeat {
            let replayed = watch.run(|hooks| {
                let replayed = replay(host, recorded, machine, hooks, &cancel)?;
                let what = (replayed.divergence, replayed.strikes);
                Ok((replayed.ending, replayed.time, replayed.dumps, what))
            })?;
            let Some((divergence, strikes)) = replayed else {
                return Ok(self.interrupted(number - 1, None));
            };
            faults = strikes.iter().map(|strike| self.fault(strike)).collect();
            if let Some(divergence) = divergence {
                tell::user(&format!("jitterbug: replay {number}: not reproduced: {divergence}"));
                let difference = Some(divergence.to_string());
                let status = Status::Failure;
                return Ok(Replayed { difference, status, runs: number, switches: None, faults });
            }
        }
        for fault in &faults {
            tell::user(fault);
        }
        tell::user(&format!(
            "jitterbug: reproduced{}: {}, {} points, hash {}",
            self.times(),
            finding.verdict,
            finding.run.points,
            finding.run.hash
        ));
        let status = Status::Clean;
        Ok(Replayed { difference: None, status, runs: self.args.repeat, switches: None, faults })
    }

    /// Follows the finding on another build of its guest.
    fn another_build(&self, watch: &mut Watch) -> Result<Replayed> {
        let Self { finding, recorded, machine, host, .. } = self;
        tell::user(&format!(
            "jitterbug: {} is another build: following by symbol+offset and hit counts",
            machine.guest.name
        ));
        let symbols = self.symbols.as_deref();
        let mut last = Switches::default();
        let cancel = self.signals.cancel();
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
                return Ok(Replayed {
                    difference,
                    status,
                    runs: number,
                    switches: Some(last),
                    faults: Vec::new(),
                });
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
        Ok(Replayed {
            difference: None,
            status,
            runs: self.args.repeat,
            switches,
            faults: Vec::new(),
        })
    }

    /// Called when a signal interrupts the replays; the `runs` replays until then reproduced the
    /// finding.
    fn interrupted(&self, runs: u64, switches: Option<Switches>) -> Replayed {
        let of = self.args.repeat;
        tell::user(&format!(
            "jitterbug: interrupted: {runs} of {of} replays were made{}",
            match runs {
                0 => "",
                _ => ", and reproduced it",
            }
        ));
        let signal = self.signals.end().unwrap_or(EndSignal::Interrupt);
        let status = Status::interrupted(signal);
        Replayed { difference: None, status, runs, switches, faults: Vec::new() }
    }

    /// A fault that struck, in words.
    fn fault(&self, strike: &Strike) -> String {
        let place = Stack::new(&[strike.rip], self.symbols.as_deref());
        format!("fault: at point {} {strike}, in {place}", strike.point)
    }

    fn times(&self) -> String {
        match self.args.repeat {
            1 => String::new(),
            repeat => format!(" {repeat} times"),
        }
    }
}

/// Fails if the finding can't be followed on this image.
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

/// The maximum number of missed switches that are printed.
const SHOWN: usize = 3;

/// The observers of the replays (scripts and a trace), and what they recorded.
struct Watch {
    scripts: Option<Scripts>,
    /// What is known about the guest.
    inspector: Arc<Inspector>,
    tracing: Option<Tracing>,
    /// The title of the trace, and its number of tracks.
    title: String,
    vcpus: u32,
    counts: ProbeSums,
    /// The counts of the last replay.
    last_counts: Vec<ProbeCount>,
    changes: Changes,
    /// How much virtual time the replays took.
    time: Duration,
    dumps: Vec<PathBuf>,
    /// The lines that scripts printed, for a report.
    lines: Option<Arc<Mutex<KeptLines>>>,
}

impl Watch {
    /// Makes one replay, and prints what the scripts report. `None` if the replay was cancelled.
    fn run<T>(
        &mut self,
        replay: impl FnOnce(&[&dyn Attach]) -> vmm::Result<(End, Duration, Vec<PathBuf>, T)>,
    ) -> Result<Option<T>> {
        let tracing = self.tracing.as_ref();
        let trace = tracing.and_then(|tracing| tracing.start(&self.title, self.vcpus));
        let probing = match &self.scripts {
            // The seed is for delays, which a replay doesn't have.
            Some(scripts) => {
                let (kept, room) = (self.lines.clone(), scripts.line_room());
                let line = move |line: OutputLine| {
                    tell::user(&line.text());
                    if let Some(kept) = &kept {
                        kept.lock().unwrap_or_else(PoisonError::into_inner).put(&line, &room);
                    }
                };
                Some(scripts.start(0, &self.inspector, line, trace.as_ref())?)
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
            // What the scripts have recorded until then is still reported.
            Err(vmm::Error::Cancelled) => (false, Duration::ZERO, Vec::new(), None),
            Err(error) => return Err(error.into()),
        };
        self.time += time;
        if let (Some(tracing), Some(trace)) = (tracing, &trace) {
            // All replays are the same, except perhaps the last, so it doesn't matter which one is
            // kept.
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

    /// Called after all replays. Returns the errors of the files that were to be written.
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
