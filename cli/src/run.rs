//! `jitterbug run`: boots a guest, once or repeatedly.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use experiments::finding::Machine;
use inspect::{Monitor, Symbols};
use probes::Options;
use vmm::controlled::can_control;
use vmm::end::End;
use vmm::jitter::Injections;
use vmm::parallel::Remote;
use vmm::signals::{Second, Signals};
use vmm::watchpoints::WatchPlan;
use vmm::{Host, MachineConfig};

use crate::args::{Cli, RunArgs, resolved};
use crate::boots::{Boots, Keep};
use crate::confine::{self, Files};
use crate::console;
use crate::document::{FORMAT, print_json};
use crate::finding_folder::LOST;
use crate::gdb::{Address, live};
use crate::guest::Guest;
use crate::on_hang::OnHang;
use crate::progress::Progress;
use crate::report::{Report, RunReport};
use crate::reproduce::{Explained, Explaining};
use crate::scripts::Scripts;
use crate::status::{Status, conclude};
use crate::tell;
use crate::trace::Tracing;
use crate::trial::Setting;
use crate::typing::{self, Typing};
use crate::writer::{ERROR, OUTPUT};
use crate::{ctl, explain, fault_counts, keys, reproduce, scripts, signals, watching};

/// Runs the guest, reports, and returns the exit status.
pub(crate) fn run(cli: &Cli, args: &RunArgs) -> Result<Status> {
    let pages = args.pages.get().check(args.explain)?;
    check(args)?;
    // This comes before any thread is started, so that all threads leave these signals to it.
    let signals = signals::take(Second::Ends)?;
    let many = args.is_repeated();
    let guest = Guest::find(&args.guest, &signals)?;
    let symbols = guest.symbols(args.probing.symbols.as_deref(), &signals)?;
    let machine = machine(args, &guest, symbols.as_deref(), &signals)?;
    let watchdog = watchdog(args, &guest)?;
    let options = Options::default();
    if let Some(pass) = args.probing.dump_pass {
        let symbols = symbols.as_ref();
        return scripts::dump(&args.probing, pass, symbols, &machine, &options, &signals);
    }
    let scripts = Scripts::load(&args.probing, symbols.as_ref(), &machine, &options, &signals)?;
    let tracing = Tracing::check(args.probing.trace.as_deref())?;
    let host = Host::open(&cli.kvm)?;
    let plan = plan(args, scripts.as_ref(), &machine, &host)?;
    let setting = Setting {
        jitter: args.jitter.clone(),
        scripts,
        machine,
        plan,
        tracing,
        symbols,
        is_nameless: args.probing.is_nameless(),
        watchdog,
        timeout: args.timeout,
        host,
        signals,
        remote: Remote::default(),
        on_hang: args.control.on_hang.clone(),
        debugged: args.control.gdb.is_some(),
        keep_console: many || args.json,
        keep_lines: args.json,
        screen: if args.probing.take_output() { ERROR } else { OUTPUT },
    };
    let explaining = args.explain.then(|| Explaining::check(args, &guest, pages)).transpose()?;
    let progress = if many { Progress::of(args.repeat) } else { Progress::none() };
    let (boots, interrupted) = boot_attended(&setting, args, guest.may_idle, &progress)?;
    progress.finish();
    // A signal that arrived after the last run had ended has interrupted nothing.
    let ended_by = setting.signals.end().filter(|_| interrupted);
    if many {
        boots.summarise(progress.seconds(), ended_by.is_some());
    }
    if many && !args.jitter.is_off() {
        tell::user(&describe(&args.jitter.to_string(), &boots.injected));
    }
    boots.probes.warn_of_silent_ones(&format!("the guest ran for {:.3} s", boots.seconds));
    watching::tell(&boots.watched);
    if let Some(scripts) = &setting.scripts {
        scripts.tell_changes(&boots.changes, boots.probes.runs());
    }
    let mut problems = fault_counts::conclude(&boots.faults);
    let explained = explaining
        .map(|explaining| reproduce::explain_failure(args, &setting, &explaining, &boots.reports));
    // After an error, the report of the runs follows.
    let explained = explained.transpose().unwrap_or_else(|error| {
        problems.push(error);
        None
    });
    let Explained { reproduction, explanation, is_lost } = explained.unwrap_or_default();
    let status = match ended_by {
        _ if is_lost => Status::Lost,
        _ if boots.failed > 0 => Status::Failure,
        Some(signal) => Status::interrupted(signal),
        None => Status::Clean,
    };
    let (count, exits, injected) = (boots.count, boots.guest_exits, boots.injected);
    let printed = if args.json {
        print_json(&Report {
            format: FORMAT,
            machine: Machine::of(&setting.machine),
            jitter: &setting.jitter,
            seconds: progress.seconds(),
            runs: count,
            failed: boots.failed,
            interrupted: ended_by.is_some(),
            hunt: boots.can_be_sought.then(|| reproduce::hunt_command(&setting)),
            boots: boots.reports,
            boots_left_out: boots.left_out,
            reproduction,
            explanation,
        })
    } else {
        explanation.map_or(Ok(()), |report| explain::show(&report))
    };
    problems.extend(printed.err());
    if !setting.jitter.is_off() && injected.total() == 0 && count > 0 {
        problems.push(anyhow!(
            "--jitter {}: nothing was injected in {count} run(s) with {exits} exits: the guest gives \
             this setting no occasion; hold at other exits, or pause more often",
            setting.jitter
        ));
    }
    problems.extend(flush_console().err());
    problems.extend(setting.tracing.as_ref().and_then(|tracing| tracing.finish().err()));
    problems.extend(setting.scripts.as_ref().and_then(|scripts| scripts.finish().err()));
    if status == Status::Lost {
        tell::user(LOST);
    }
    conclude(status, problems)
}

/// The machine that the arguments describe. Fails if a search under control, which `--explain`
/// makes, can't have it.
fn machine(
    args: &RunArgs,
    guest: &Guest,
    symbols: Option<&Symbols>,
    signals: &Signals,
) -> Result<MachineConfig> {
    let criteria = args.criteria.criteria(symbols, guest.may_idle)?;
    let initrd = Guest::initrd(args.initrd.as_deref(), signals)?;
    let faults = resolved(&args.fault, symbols)?;
    let machine = MachineConfig { criteria, initrd, faults, ..guest.machine(&args.machine)? };
    if args.explain {
        can_control(&machine)?;
    }
    Ok(machine)
}

/// Fails if options don't go together.
fn check(args: &RunArgs) -> Result<()> {
    if args.out.is_some() && !args.explain {
        bail!("--out: that is for --explain, which is not there");
    }
    if args.explain && !args.fault.is_empty() {
        bail!(
            "--explain: it searches under control, where faults strike by choice: see `hunt --fault`"
        );
    }
    if args.seed.checked_add(args.repeat.unwrap_or(0)).is_none() {
        bail!("--seed {}: too large for --repeat: seeds end at {}", args.seed, u64::MAX);
    }
    check_outputs(args)?;
    if args.trap_pages && args.probing.probe.is_empty() && args.probing.code.is_empty() {
        bail!("--trap-pages: there is no script: give one by --probe or -e");
    }
    typing::check(args)?;
    args.probing.check_output(args.json, args.explain)
}

/// The files that the runs open.
fn files(args: &RunArgs, machine: &MachineConfig) -> Files {
    let RunArgs { control, probing, .. } = args;
    let mut files = Files::none().machine(machine).outputs(probing.files());
    files = files.outputs(control.on_hang.iter().flat_map(OnHang::dumps));
    if args.explain {
        files = files.make_in(args.out_folder()).pages(args.pages.get());
    }
    if let Some(socket) = &control.ctl {
        files = files.address(&Address::Socket(socket.clone()));
    }
    if let Some(address) = &control.gdb {
        files = files.address(address);
    }
    let can_dump = probing.destructive || control.ctl.is_some() || control.gdb.is_some();
    if can_dump { files.dumps() } else { files }
}

/// The watchdog's window. Fails if a hang is to be examined that can't be found.
fn watchdog(args: &RunArgs, guest: &Guest) -> Result<Option<Duration>> {
    let watchdog = guest.watchdog(args.watchdog);
    if let Some(on_hang) = &args.control.on_hang {
        on_hang.check(watchdog)?;
    }
    Ok(watchdog)
}

/// Fails if a file is to be written that the command reads: a trace would replace a disk or a
/// kernel.
fn check_outputs(args: &RunArgs) -> Result<()> {
    let guest = Path::new(&args.guest);
    let files = args.machine_files();
    let inputs: Vec<PathBuf> =
        std::iter::once(guest).chain(files).filter_map(|path| path.canonicalize().ok()).collect();
    let outputs = args.probing.files().into_iter().chain(args.pages.get().files());
    for output in outputs {
        if output.canonicalize().is_ok_and(|real| inputs.contains(&real)) {
            bail!("{}: this command reads that file: name another to write to", output.display());
        }
    }
    Ok(())
}

/// Checks that the scripts can run on this host, and decides how they watch the guest's data.
fn plan(
    args: &RunArgs,
    scripts: Option<&Scripts>,
    machine: &MachineConfig,
    host: &Host,
) -> Result<WatchPlan> {
    let Some(scripts) = scripts else { return Ok(WatchPlan::default()) };
    scripts.check(host)?;
    scripts.plan(host, machine, args.trap_pages)
}

/// Waits until the guest's console is written. What was not read in time is no error: the writer
/// counts it.
fn flush_console() -> Result<()> {
    match OUTPUT.flush() {
        Err(error) if error.kind() != std::io::ErrorKind::TimedOut => {
            bail!("standard output: {error}: the guest's console is incomplete there")
        }
        _ => Ok(()),
    }
}

/// The same as [`boot_all`], with the control socket, gdb and the terminal that the arguments ask
/// for.
fn boot_attended(
    setting: &Setting,
    args: &RunArgs,
    is_from_file: bool,
    progress: &Progress,
) -> Result<(Boots, bool)> {
    confine::files(&args.confine, &files(args, &setting.machine), &setting.signals)?;
    let monitor = || Monitor::new(setting.remote.clone(), setting.inspector(), keys::end_run);
    let ctl = args.control.ctl.as_deref().map(|path| ctl::Server::start(path, monitor()));
    let _ctl = ctl.transpose()?;
    let gdb = args.control.gdb.as_ref().map(|address| {
        let (remote, image) = (setting.remote.clone(), setting.machine.guest.bytes.clone());
        live::Server::start(address, live::Machine { remote, monitor: monitor(), image })
    });
    let _gdb = gdb.transpose()?;
    confine::calls(&args.confine)?;
    let typing = Typing::begin(args, setting.screen, is_from_file)?;
    boot_all(setting, args, typing.as_ref(), progress)
}

/// Boots as often as the arguments say. Returns the results, and whether a signal ended the last
/// run.
fn boot_all(
    setting: &Setting,
    args: &RunArgs,
    typing: Option<&Typing>,
    progress: &Progress,
) -> Result<(Boots, bool)> {
    let many = args.is_repeated();
    let limit = match (args.repeat, args.until_failure) {
        (Some(runs), _) => runs,
        (None, true) => u64::MAX,
        (None, false) => 1,
    };
    let mut boots = Boots::new(match (many, args.json) {
        (false, _) => Keep::One,
        (true, true) => Keep::All,
        (true, false) => Keep::FirstFailure,
    });
    let mut interrupted = false;
    for number in 0..limit {
        let seed = args.seed.wrapping_add(number);
        let trial = setting.boot(seed, setting.inspector(), &[], typing, progress)?;
        interrupted = matches!(trial.outcome.end, End::Interrupted);
        let run = RunReport::new(trial, setting);
        let failed = run.failed();
        say(setting, args, &run, boots.failed + u64::from(failed), progress);
        if !(many && interrupted) {
            // A run that was interrupted says nothing about the guest.
            boots.add(run);
        }
        if many {
            progress.update(number + 1, boots.failed);
        }
        // A signal that arrives while a run ends is consumed by that run without interrupting it.
        interrupted |= number + 1 < limit && setting.signals.end().is_some();
        if interrupted || failed && args.until_failure {
            break;
        }
    }
    Ok((boots, interrupted))
}

/// Reports one run when it has ended. Of many that fail, only the first is reported in full: the
/// others are in the summary and in the JSON report.
fn say(setting: &Setting, args: &RunArgs, run: &RunReport, failed: u64, progress: &Progress) {
    let many = args.is_repeated();
    if run.failed() && failed > 1 {
        progress.print(&format!("jitterbug: seed {}: {}", run.seed(), run.description()));
    } else if run.failed() {
        if many && !args.json {
            // Only the console of a run that failed is of interest.
            progress.suspend(|| console::show(setting.screen, run.console()));
            if run.console_dropped() > 0 {
                progress.print(&format!(
                    "jitterbug: that is the end of its console: {} bytes before it were not kept",
                    run.console_dropped()
                ));
            }
        }
        progress.print(&format!("jitterbug: seed {}: {}", run.seed(), run.failure()));
        if run.can_be_sought() && !args.explain {
            let or_this =
                if reproduce::can_watch(setting) { ", or this command with --explain" } else { "" };
            let hunt = reproduce::hunt_command(setting);
            progress.print(&format!("jitterbug: to have it again and know why: {hunt}{or_this}"));
        }
    } else if !many {
        let what = run.description();
        progress.print(&format!(
            "jitterbug: {what} ({:.3} s, {} exits)",
            run.seconds(),
            run.guest_exits()
        ));
    }
    let console = run.console_use();
    tracing::info!(exits = console.exits, time = ?console.time, "the vCPUs' use of the console");
    for line in run.dumps() {
        progress.print(&line);
    }
    if !many && !setting.jitter.is_off() {
        progress.print(&describe(&setting.jitter.to_string(), run.injections()));
    }
}

fn describe(jitter: &str, injected: &Injections) -> String {
    format!(
        "jitterbug: jitter {jitter}: {} holds, {} pauses, {} throttle gaps; {:.3} s in all",
        injected.holds,
        injected.pauses,
        injected.throttles,
        injected.microseconds as f64 / 1e6
    )
}
