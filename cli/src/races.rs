//! `jitterbug races`: finds data races on chosen variables, in runs in real time.

mod found;
mod show;
mod variables;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::{Result, bail};
use experiments::collider::{self, Collider, Report, Search, Tally, Variable};
use experiments::finding::Machine;
use inspect::Inspector;
use schemars::JsonSchema;
use serde::Serialize;
use vmm::end::End;
use vmm::jitter::JitterSpec;
use vmm::parallel::Remote;
use vmm::signals::Second;
use vmm::watchpoints::{WatchPlan, WatchReport};
use vmm::{Host, MachineConfig};

use crate::args::{Cli, RacesArgs};
use crate::confine::{self, Files};
use crate::document::{FORMAT, print_json};
use crate::guest::Guest;
use crate::progress::Progress;
use crate::report::RunReport;
use crate::status::Status;
use crate::trial::{Setting, Trial};
use crate::writer::OUTPUT;
use crate::{signals, watching};
use found::{Found, LookedAt, Missing, Refused};
use variables::Named;

/// The maximum number of failed runs that are described.
const MAX_FAILURES: usize = 100;

/// The report of `races --json`.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "Races")]
pub(crate) struct Document<'a> {
    /// The version of the documents' format.
    format: u32,
    /// The guest and its machine.
    machine: Machine,
    /// The variables that were to be watched.
    variables: Vec<String>,
    /// Those among them that were not found in the running kernel, in at least one run.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    #[schemars(default)]
    missing: &'a [Missing],
    /// Those that were found, and later not watched for a while although they may have been there,
    /// in at least one run.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    #[schemars(default)]
    refused: &'a [Refused],
    /// How they were watched, in words.
    watched_by: String,
    /// The number of runs that came to their end.
    runs: u64,
    /// The number of runs that failed.
    failed: u64,
    /// The failures, in words: at most 100.
    failures: &'a [String],
    /// Whether a signal ended the last run.
    interrupted: bool,
    /// What was looked at, in all runs.
    tally: &'a Tally,
    /// What was looked at of each variable that was watched, in all runs.
    by_variable: &'a [LookedAt],
    /// Why no race could have been seen; absent if one could.
    #[serde(skip_serializing_if = "Option::is_none")]
    blind: Option<&'static str>,
    /// The races.
    races: &'a [Report],
}

/// Runs the guest, holds its vCPUs at accesses, reports, and returns the exit status.
pub(crate) fn run(cli: &Cli, args: &RacesArgs) -> Result<Status> {
    if args.seed.checked_add(args.repeat).is_none() {
        bail!("--seed {}: too large for --repeat: seeds end at {}", args.seed, u64::MAX);
    }
    // This comes before any thread is started, so that all threads leave these signals to it.
    let signals = signals::take(Second::Ends)?;
    let guest = Guest::find(&args.guest, &signals)?;
    let symbols = guest.symbols(args.symbols.as_deref(), &signals)?;
    let criteria = args.criteria.criteria(symbols.as_deref(), guest.may_idle)?;
    let initrd = Guest::initrd(args.initrd.as_deref(), &signals)?;
    let machine = MachineConfig { criteria, initrd, ..guest.machine(&args.machine)? };
    if machine.cpus.get() == 1 {
        bail!("one vCPU: a race needs two: give --cpus 2 or more");
    }
    let named = variables::find(&args.watch, symbols.as_deref(), &machine)?;
    let host = Host::open(&cli.kvm)?;
    let plan = plan(args, &named, &machine, &host)?;
    let setting = Setting {
        jitter: JitterSpec::default(),
        scripts: None,
        machine,
        plan,
        tracing: None,
        symbols,
        is_nameless: args.symbols.as_deref() == Some(Path::new("none")),
        watchdog: guest.watchdog(args.watchdog),
        timeout: args.timeout,
        host,
        signals,
        remote: Remote::default(),
        on_hang: None,
        debugged: false,
        keep_console: args.json || args.repeat > 1,
        keep_lines: false,
        screen: OUTPUT,
    };
    let files = Files::none().machine(&setting.machine);
    confine::files(&args.confine, &files, &setting.signals)?;
    confine::calls(&args.confine)?;
    let (found, interrupted) = collide(&setting, args, &named)?;
    watching::tell(&WatchReport { inexact: 0, ..found.watched.clone() });
    let blind = found.blind();
    if args.json {
        print_json(&Document {
            format: FORMAT,
            machine: Machine::of(&setting.machine),
            variables: named.names(),
            missing: &found.missing,
            refused: &found.refused,
            watched_by: setting.plan.to_string(),
            runs: found.runs,
            failed: found.failed,
            failures: &found.failures,
            interrupted,
            tally: &found.tally,
            by_variable: &found.by_variable,
            blind,
            races: &found.races,
        })?;
    } else {
        show::all(&found, interrupted);
    }
    show::gaps(&found, blind);
    Ok(match setting.signals.end().filter(|_| interrupted) {
        _ if !found.races.is_empty() || found.failed > 0 => Status::Failure,
        Some(signal) => Status::interrupted(signal),
        None if found.sees_less_than_all() => Status::Nothing,
        None => Status::Clean,
    })
}

/// How the variables are watched. Fails if they can't be.
fn plan(
    args: &RacesArgs,
    named: &Named,
    machine: &MachineConfig,
    host: &Host,
) -> Result<WatchPlan> {
    let watches = named.known.iter().map(Variable::watch).collect();
    let plan = if !named.sought.is_empty() {
        WatchPlan::growing(watches, "a variable is sought in the running kernel")
    } else if args.trap_pages {
        WatchPlan::pages(watches, "--trap-pages was given")
    } else {
        WatchPlan::choose(host, machine, watches, 0)
    };
    for variable in &named.known {
        plan.check(&variable.physical, machine)?;
    }
    Ok(plan)
}

/// Makes the runs. Returns what was found, and whether a signal ended the last run.
fn collide(setting: &Setting, args: &RacesArgs, named: &Named) -> Result<(Found, bool)> {
    let mut found = Found::default();
    let progress = if args.repeat > 1 { Progress::of(Some(args.repeat)) } else { Progress::none() };
    let mut interrupted = false;
    for number in 0..args.repeat {
        let seed = args.seed.wrapping_add(number);
        let search = Search {
            variables: named.known.as_slice().into(),
            sought: named.sought.as_slice().into(),
            hold: args.hold,
            seed,
            has_values: !setting.plan.uses_watchpoints(),
            inspector: setting.inspector(),
        };
        let inspector = search.inspector.clone();
        let collider = Collider::new(search, setting.machine.cpus.get());
        let trial = match boot(setting, seed, inspector, &collider, &progress) {
            Ok(trial) => trial,
            Err(error) => {
                // What was found is true whatever comes after it.
                collider::merge(&mut found.races, collider.results().0);
                for race in &found.races {
                    progress.print(&race.to_string());
                }
                progress.finish();
                return Err(error);
            }
        };
        interrupted = matches!(trial.outcome.end, End::Interrupted);
        let run = RunReport::new(trial, setting);
        let (races, tally) = collider.results();
        found.tally.merge(&tally);
        found.look_at(collider.tallies());
        found.tally.left_out += collider::merge(&mut found.races, races);
        run.watched().for_each(|watched| found.watched.add(watched));
        found.miss(collider.never_found(), interrupted);
        found.refuse(collider.refused());
        if !interrupted {
            found.runs += 1;
        }
        if run.failed() {
            found.failed += 1;
            if found.failed == 1 {
                progress.print(&format!("jitterbug: seed {seed}: {}", run.failure()));
            }
            if found.failures.len() < MAX_FAILURES {
                found.failures.push(format!("seed {seed}: {}", run.description()));
            }
        } else if args.repeat == 1 {
            progress.print(&format!("jitterbug: {}", run.description()));
        }
        progress.update(number + 1, found.failed);
        // A signal that arrives while a run ends is consumed by that run without interrupting it.
        interrupted |= number + 1 < args.repeat && setting.signals.end().is_some();
        if interrupted {
            break;
        }
    }
    progress.finish();
    Ok((found, interrupted))
}

/// Makes a run. Variables that have no place before it are sought meanwhile.
fn boot(
    setting: &Setting,
    seed: u64,
    inspector: Arc<Inspector>,
    collider: &Collider,
    progress: &Progress,
) -> Result<Trial> {
    let boot = || setting.boot(seed, inspector, &[collider], None, progress);
    if !collider.seeks() {
        return boot();
    }
    let is_over = AtomicBool::new(false);
    let notice = |text: &str| progress.print(&format!("jitterbug: {text}"));
    thread::scope(|scope| {
        scope.spawn(|| collider.seek(&setting.remote, &is_over, notice));
        let _ends = Ends(&is_over);
        boot()
    })
}

/// Ends the search when it is dropped, also by a panic.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}
