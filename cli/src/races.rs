//! `jitterbug races`: finds data races on chosen variables, in runs in real time.

mod variables;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::{Result, bail};
use experiments::collider::{self, Blind, Collider, Report, Search, Tally, Variable, count};
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
use crate::document::{FORMAT, print_json};
use crate::guest::Guest;
use crate::progress::Progress;
use crate::report::RunReport;
use crate::status::Status;
use crate::trial::{Setting, Trial};
use crate::writer::OUTPUT;
use crate::{signals, tell, watching};
use variables::Named;

/// The maximum number of failed runs that are described.
const MAX_FAILURES: usize = 100;

/// The maximum number of variables that a line for people names.
const MAX_NAMES: usize = 20;

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

/// A variable that was not found in the running kernel.
#[derive(JsonSchema, Serialize)]
struct Missing {
    /// The variable.
    variable: String,
    /// The number of runs that came to their end and in which it was never found; 0 if it was only
    /// not found until a signal ended a run.
    runs: u64,
    /// Why, in the last of these runs.
    reason: String,
}

/// A variable that was found in the running kernel, and later could not be watched.
#[derive(JsonSchema, Serialize)]
struct Refused {
    /// The variable.
    variable: String,
    /// The number of runs in which that happened, with one that a signal ended.
    runs: u64,
    /// Why, in the last of these runs.
    reason: String,
}

/// What was looked at of a variable.
#[derive(JsonSchema, Serialize)]
struct LookedAt {
    /// The variable.
    variable: String,
    /// The accesses and the holds behind them. An access that touches several variables counts for
    /// each.
    tally: Tally,
    /// Why no race on it could have been seen; absent if one could.
    #[serde(skip_serializing_if = "Option::is_none")]
    blind: Option<&'static str>,
}

/// The results of all runs.
#[derive(Default)]
struct Found {
    races: Vec<Report>,
    tally: Tally,
    by_variable: Vec<LookedAt>,
    watched: WatchReport,
    runs: u64,
    failed: u64,
    failures: Vec<String>,
    missing: Vec<Missing>,
    refused: Vec<Refused>,
}

impl Found {
    /// Notes that these variables were found in a run and could not be watched later.
    fn refuse(&mut self, refused: Vec<(String, String)>) {
        for (variable, reason) in refused {
            match self.refused.iter_mut().find(|known| known.variable == variable) {
                Some(known) => (known.runs, known.reason) = (known.runs + 1, reason),
                None => self.refused.push(Refused { variable, runs: 1, reason }),
            }
        }
    }

    /// Adds what a run looked at of each variable.
    fn look_at(&mut self, tallies: Vec<(String, Tally)>) {
        for (variable, tally) in tallies {
            match self.by_variable.iter_mut().find(|known| known.variable == variable) {
                Some(known) => known.tally.merge(&tally),
                None => self.by_variable.push(LookedAt { variable, tally, blind: None }),
            }
        }
        for known in &mut self.by_variable {
            known.blind = known.tally.blind().map(Blind::of_one);
        }
    }

    /// Why no race could have been seen on any variable; `None` if one could.
    fn blind(&self) -> Option<&'static str> {
        let is_each = self.by_variable.iter().all(|known| known.blind.is_some());
        let each = is_each.then_some("on no variable could one have been seen");
        self.tally.blind().map(Blind::of_all).or(each)
    }

    /// Whether no race could have been seen on at least one variable, for a while or in all runs.
    fn sees_less_than_all(&self) -> bool {
        let is_blind = |known: &LookedAt| known.blind.is_some();
        let has_gaps = !self.missing.is_empty() || !self.refused.is_empty();
        has_gaps || self.blind().is_some() || self.by_variable.iter().any(is_blind)
    }

    /// The names of the variables on which no race could have been seen, for each reason.
    fn blind_by_reason(&self) -> Vec<(&'static str, Vec<&str>)> {
        let mut reasons: Vec<(_, Vec<_>)> = Vec::new();
        for known in &self.by_variable {
            let Some(blind) = known.blind else { continue };
            match reasons.iter_mut().find(|(reason, _)| *reason == blind) {
                Some((_, names)) => names.push(&*known.variable),
                None => reasons.push((blind, vec![&*known.variable])),
            }
        }
        reasons
    }

    /// Notes that these variables were never found in a run, which a signal may have ended.
    fn miss(&mut self, never_found: Vec<(String, String)>, interrupted: bool) {
        let run = u64::from(!interrupted);
        for (variable, reason) in never_found {
            match self.missing.iter_mut().find(|known| known.variable == variable) {
                // What was not found until a signal came might have been found later.
                Some(_) if interrupted => {}
                Some(known) => (known.runs, known.reason) = (known.runs + run, reason),
                None => self.missing.push(Missing { variable, runs: run, reason }),
            }
        }
    }
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
        show(&found, interrupted);
    }
    show_gaps(&found, blind);
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

/// Prints the results for people.
fn show(found: &Found, interrupted: bool) {
    for race in &found.races {
        tell::user(&race.to_string());
    }
    let (failed, tally) = (found.failed, &found.tally);
    let (races, runs) = (count(found.races.len() as u64, "race"), count(found.runs, "run"));
    let cut = if interrupted { " and an interrupted one" } else { "" };
    tell::user(&format!("jitterbug: {races} in {runs}{cut}, {failed} failed: {tally}"));
    if tally.left_out > 0 {
        tell::user(&format!("jitterbug: {} more races were not kept", tally.left_out));
    }
    if tally.unknown > 0 {
        tell::user(&format!(
            "jitterbug: {} accesses were not compared, because too little is known of them \
             (--trap-pages tells all)",
            tally.unknown
        ));
    }
}

/// Prints on which variables no race could have been seen, which is why the status may be 4.
fn show_gaps(found: &Found, blind: Option<&str>) {
    for Missing { variable, runs, reason } in &found.missing {
        let when = match runs {
            0 => "not found until the interruption".to_owned(),
            _ if found.runs > 1 => format!("never found in {}", count(*runs, "run")),
            _ => "never found".to_owned(),
        };
        tell::user(&format!("jitterbug: --watch {variable}: {when}: {reason}"));
    }
    for Refused { variable, runs, reason } in &found.refused {
        let of =
            if found.runs > 1 { format!(" in {}", count(*runs, "run")) } else { String::new() };
        tell::user(&format!(
            "jitterbug: --watch {variable}: found, but later not watched for a while{of}: {reason}"
        ));
    }
    if let Some(reason) = blind {
        tell::user(&format!("jitterbug: that says nothing about races: {reason}"));
    }
    if found.by_variable.len() > 1 {
        for (reason, names) in found.blind_by_reason() {
            let (all, names) = (names.len(), names.iter().take(MAX_NAMES));
            let names = names.copied().collect::<Vec<_>>().join(", ");
            let more = all.saturating_sub(MAX_NAMES);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            tell::user(&format!(
                "jitterbug: that says nothing about races on {names}{more}: {reason}"
            ));
        }
    }
}

#[cfg(test)]
#[path = "races/races_tests.rs"]
mod tests;
