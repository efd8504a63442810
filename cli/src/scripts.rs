//! The probe scripts of a command, which run in each of its machines.

use std::io::{self, BufWriter, IsTerminal};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, anyhow, bail};
use inspect::{Inspector, Symbols};
use probes::engine::Changes;
use probes::passes::Pass;
use probes::point::Mechanisms;
use probes::session::ProbeCount;
use probes::{
    Diagnostics, Folded, Options, Output, OutputLine, Script, Session, Source, Style, Trace,
};
use vmm::boot::segments::Segments;
use vmm::doctor::DebugCapabilities;
use vmm::hook::Attach;
use vmm::signals::Signals;
use vmm::watchpoints::WatchPlan;
use vmm::{Host, MachineConfig};

use crate::args::ProbeArgs;
use crate::file::OutputFile;
use crate::input;
use crate::status::Status;
use crate::tell;

/// Why replays trap pages.
const CONTROLLED: &str = "a replay is the same on every host";

/// All scripts of a command, checked.
pub(crate) struct Scripts {
    script: Script,
    scheduler: Mechanisms,
    folding: Option<Folding>,
    room: LineRoom,
}

/// How many bytes of script lines the reports may still keep, over all runs.
#[derive(Clone)]
pub(crate) struct LineRoom(Arc<AtomicUsize>);

impl LineRoom {
    const BYTES: usize = 64 << 20;

    /// Reserves room for a line, if there is enough.
    pub(crate) fn take(&self, bytes: usize) -> bool {
        self.0.try_update(Relaxed, Relaxed, |left| left.checked_sub(bytes)).is_ok()
    }
}

/// `--folded`: the stacks of all machines, and where they are written at the end.
struct Folding {
    stacks: Mutex<Folded>,
    /// `None` means standard output.
    file: Option<OutputFile>,
}

impl Scripts {
    /// Loads all scripts for a machine; `None` if no script was given. `options` are those of the
    /// scheduler.
    pub(crate) fn load(
        args: &ProbeArgs,
        symbols: Option<&Arc<Symbols>>,
        machine: &MachineConfig,
        options: &Options,
        signals: &Signals,
    ) -> Result<Option<Self>> {
        let sources = sources(args, signals)?;
        if sources.is_empty() {
            return match args.useless_without_a_script() {
                Some(option) => bail!("{option}: there is no script: give one by --probe or -e"),
                None => Ok(None),
            };
        }
        let options = with_arguments(options, args, symbols, machine);
        let script = Script::load(&sources, &options).map_err(|refused| not_run(&refused))?;
        if options.mechanisms == Mechanisms::CONTROLLED {
            let plan = WatchPlan::pages(script.watches(), CONTROLLED);
            script.check_watches(machine, &plan).map_err(|refused| not_run(&refused))?;
        }
        warn(script.warnings());
        let folding = match &args.folded {
            Some(_) if !script.counts_stacks() => bail!(
                "--folded: no script has an aggregate whose key is a stack; this one would do: \
                 VMM:PROFILE:10msec {{ hot[gueststack()]++; }}"
            ),
            Some(path) => Some(Folding::new(path)?),
            None => None,
        };
        let room = LineRoom(Arc::new(AtomicUsize::new(LineRoom::BYTES)));
        Ok(Some(Self { script, scheduler: options.mechanisms, folding, room }))
    }

    /// Fails if the scripts have points that need something that this host lacks. Warns if points
    /// are possible by single steps only.
    pub(crate) fn check(&self, host: &Host) -> Result<()> {
        let needed = self.script.mechanisms();
        let Err(refused) = self.script.check((needed & self.scheduler).on(host)) else {
            let stops = self.script.stops();
            if stops > 0 {
                warn_of_steps(stops, DebugCapabilities::of(host));
            }
            return Ok(());
        };
        let error = vmm::Error::Capability {
            capability: "what its probe points need",
            purpose: "run this script",
        };
        Err(error).context(not_run(&refused))
    }

    /// Decides how `run` watches the guest's data on this host. Fails if it can't be watched.
    pub(crate) fn plan(
        &self,
        host: &Host,
        machine: &MachineConfig,
        trap_pages: bool,
    ) -> Result<WatchPlan> {
        let watches = self.script.watches();
        if trap_pages && watches.is_empty() {
            bail!(
                "--trap-pages: no script has a point at the guest's data, such as GUEST:WRITE:..."
            );
        }
        let plan = if trap_pages {
            WatchPlan::pages(watches, "--trap-pages was given")
        } else {
            WatchPlan::choose(host, machine, watches, self.script.most_stops())
        };
        self.script.check_watches(machine, &plan).map_err(|refused| not_run(&refused))?;
        Ok(plan)
    }

    /// Starts the scripts for one machine, whose stacks `inspector` unwinds. `seed` is that of
    /// their delays. `line` gets what they print, on a thread of its own; the trace gets their
    /// firings.
    pub(crate) fn start(
        &self,
        seed: u64,
        inspector: &Arc<Inspector>,
        line: impl FnMut(OutputLine) + Send + 'static,
        trace: Option<&Trace>,
    ) -> vmm::Result<Probing<'_>> {
        let output = Output::to_callback(line, Some(Arc::clone(inspector))).map_err(|source| {
            let what = "the thread that writes the scripts' output can't be started";
            vmm::Error::System { what, source }
        })?;
        let session = Session::new(&self.script.seeded(seed).inspecting(inspector), output.sink());
        let session = match trace {
            Some(trace) => session.traced(trace),
            None => session,
        };
        Ok(Probing { session, output, folding: self.folding.as_ref() })
    }

    /// The room that reports have for what scripts print.
    pub(crate) fn line_room(&self) -> LineRoom {
        self.room.clone()
    }

    /// Called after all machines have ended: writes what was collected.
    pub(crate) fn finish(&self) -> Result<()> {
        self.folding.as_ref().map_or(Ok(()), Folding::finish)
    }
}

impl Folding {
    fn new(path: &Path) -> Result<Self> {
        let on_stdout = path == Path::new("-");
        let file = (!on_stdout).then(|| OutputFile::check("--folded", path)).transpose()?;
        Ok(Self { stacks: Mutex::default(), file })
    }

    fn stacks(&self) -> MutexGuard<'_, Folded> {
        self.stacks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn finish(&self) -> Result<()> {
        let stacks = self.stacks();
        if stacks.is_empty() {
            bail!("--folded: no stack was counted: the probes that do so didn't fire");
        }
        if let Some(file) = &self.file {
            return file.write(|file| stacks.write(BufWriter::new(file)));
        }
        let mut text = Vec::new();
        stacks.write(&mut text)?;
        tell::output(&String::from_utf8_lossy(&text)).context("--folded")
    }
}

/// `--dump-pass`: prints what a pass makes of the scripts for a machine, instead of running it.
/// `options` are those of the scheduler.
pub(crate) fn dump(
    args: &ProbeArgs,
    pass: Pass,
    symbols: Option<&Arc<Symbols>>,
    machine: &MachineConfig,
    options: &Options,
    signals: &Signals,
) -> Result<Status> {
    let sources = sources(args, signals)?;
    if sources.is_empty() {
        bail!("--dump-pass: there is no script: give one by --probe or -e");
    }
    if !sources.iter().any(|source| pass.has(source.language())) {
        bail!("--dump-pass {pass}: only scripts in Emmett go through this pass, and none is given");
    }
    let options = with_arguments(options, args, symbols, machine);
    let dumped = Script::dump(&sources, &options, pass).map_err(|refused| not_run(&refused))?;
    warn(&dumped.warnings);
    tell::output(&dumped.text)?;
    Ok(Status::Clean)
}

/// The options of the scheduler, and those of the command line.
fn with_arguments(
    options: &Options,
    args: &ProbeArgs,
    symbols: Option<&Arc<Symbols>>,
    machine: &MachineConfig,
) -> Options {
    Options {
        strict: args.strict_vp,
        symbols: symbols.cloned(),
        segments: Segments::of(&machine.guest),
        ring: args.ring,
        parameters: args.set.clone(),
        timestamps: args.timestamps,
        folded: args.folded.is_some(),
        destructive: args.destructive,
        ..options.clone()
    }
}

fn warn(warnings: &Diagnostics) {
    if !warnings.is_empty() {
        tell::user(warnings.render(style()).trim_end());
    }
}

fn sources(args: &ProbeArgs, signals: &Signals) -> Result<Vec<Source>> {
    args.check_settings()?;
    let mut sources = Vec::new();
    for path in &args.probe {
        let name = path.display().to_string();
        let text = input::text(path, signals);
        let text = text.with_context(|| format!("--probe {name}: can't be read"))?;
        sources.push(Source::new(name, text));
    }
    for (number, code) in (1..).zip(&args.code) {
        sources.push(Source::new(format!("-e #{number}"), code.clone()));
    }
    Ok(sources)
}

/// The scripts in one machine. The session is dropped first, because at its end it prints what it
/// has counted.
pub(crate) struct Probing<'a> {
    session: Session,
    output: Output,
    folding: Option<&'a Folding>,
}

impl Probing<'_> {
    /// The hook that the machine has to call.
    pub(crate) fn hook(&self) -> &dyn Attach {
        &self.session
    }

    /// Called when the machine has stopped: prints what scripts print at the end, and the ring if
    /// the guest `failed`. Returns how often each probe fired, and what the scripts did to the
    /// guest.
    pub(crate) fn finish(self, failed: bool) -> Result<(Vec<ProbeCount>, Changes)> {
        let Self { session, output, folding } = self;
        session.finish();
        if let Some(folding) = folding {
            session.fold(&mut folding.stacks());
        }
        if failed {
            session.print_ring();
        }
        let (counts, changes) = (session.counts(), session.changes());
        drop(session);
        output.finish().context("the scripts' output can't be written")?;
        Ok((counts, changes))
    }
}

impl Scripts {
    /// Reports what scripts that may change the guest have done to it, in this number of runs.
    pub(crate) fn tell_changes(&self, changes: &Changes, runs: usize) {
        let runs = if runs == 1 { String::new() } else { format!(" in {runs} runs") };
        if !self.script.is_destructive() {
            return;
        }
        // This includes actions that were not done because there were too many.
        match changes.to_string().as_str() {
            "" => tell::user(&format!(
                "jitterbug: --destructive: the scripts have changed nothing{runs}"
            )),
            done => tell::user(&format!("jitterbug: by scripts{runs}: {done}")),
        }
    }
}

/// Reports the files to which the machine was dumped, and dumps that are missing.
pub(crate) fn dumps(written: &[PathBuf], missed: &[PathBuf]) -> Vec<String> {
    let written = written.iter().map(|path| format!("jitterbug: dumped to {}", path.display()));
    let missed = missed.iter().map(|path| {
        format!(
            "jitterbug: {}: no dump: the run ended before all vCPUs stood still and it was \
             written",
            path.display()
        )
    });
    written.chain(missed).collect()
}

/// Single steps are not an error, but the user should know why the run is slow. (Where int3 is
/// used, a vCPU that has to be stepped nevertheless says so itself.)
fn warn_of_steps(stops: usize, stopping: DebugCapabilities) {
    let slots = stopping.breakpoint_slots();
    if stops <= slots || stopping.int3 {
        return;
    }
    let unseen = if slots == 0 && !stopping.steps_into_handlers {
        ", and what runs in interrupt handlers is missed"
    } else {
        ""
    };
    tell::user(&format!(
        "jitterbug: warning: probes at {stops} of the guest's instructions, and this host has \
         {slots} breakpoints: vCPUs go in single steps, which is slow{unseen}"
    ));
}

/// How often each probe fired, in all runs together.
#[derive(Default)]
pub(crate) struct ProbeSums {
    runs: usize,
    sums: Vec<ProbeCount>,
}

impl ProbeSums {
    /// Adds the counts of a run.
    pub(crate) fn add(&mut self, counts: &[ProbeCount]) {
        self.runs += 1;
        if self.sums.is_empty() {
            self.sums = counts.to_vec();
        } else {
            self.sums.iter_mut().zip(counts).for_each(|(sum, count)| sum.add(count));
        }
    }

    /// The number of runs.
    pub(crate) fn runs(&self) -> usize {
        self.runs
    }

    /// Warns of probes that never fired in any run, because they may be unable to. `ran` says how
    /// long the guest ran.
    pub(crate) fn warn_of_silent_ones(&self, ran: &str) {
        for probe in self.sums.iter().filter(|probe| probe.firings == 0) {
            let why = match probe.filtered {
                0 => ran.to_owned(),
                tried => format!("its predicate held in none of {tried} cases"),
            };
            tell::user(&format!(
                "jitterbug: warning: {}:{}: {} never fired; {why}",
                probe.file, probe.line, probe.point
            ));
        }
    }
}

fn not_run(refused: &Diagnostics) -> anyhow::Error {
    anyhow!("the script is not run\n{}", refused.render(style()).trim_end())
}

/// How messages about a text are rendered.
pub(crate) fn style() -> Style {
    if io::stderr().is_terminal() { Style::Colour } else { Style::Ascii }
}
