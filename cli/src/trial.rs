//! One boot of a guest: a new machine, a seed, and the result.

use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use inspect::{Inspector, Symbols};
use probes::engine::Changes;
use probes::{LineKind, OutputLine};
use vmm::disk::DiskFaults;
use vmm::end::End;
use vmm::hook::Attach;
use vmm::jitter::{Injections, Jitter, JitterSpec};
use vmm::parallel::{self, Outcome, Remote};
use vmm::run_faults::RunFaults;
use vmm::signals::Signals;
use vmm::watchpoints::WatchPlan;
use vmm::{Host, Machine, MachineConfig};

use crate::console::{CapturedConsole, ConsoleText, Printing, Screen};
use crate::fault_counts::{self, FaultCount};
use crate::on_hang::{Examined, OnHang};
use crate::progress::Progress;
use crate::scripts::{LineRoom, Probing, Scripts};
use crate::trace::Tracing;
use crate::typing::Typing;
use crate::writer::{self, Stream};

/// What stays the same in all boots.
pub(crate) struct Setting {
    pub(crate) host: Host,
    pub(crate) machine: MachineConfig,
    /// How the guest's data is watched.
    pub(crate) plan: WatchPlan,
    pub(crate) jitter: JitterSpec,
    pub(crate) scripts: Option<Scripts>,
    pub(crate) tracing: Option<Tracing>,
    pub(crate) symbols: Option<Arc<Symbols>>,
    /// `--symbols none`: nothing is named.
    pub(crate) is_nameless: bool,
    pub(crate) watchdog: Option<Duration>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) signals: Signals,
    /// Controls the machine from other threads.
    pub(crate) remote: Remote,
    pub(crate) on_hang: Option<OnHang>,
    /// Whether the machine starts for gdb.
    pub(crate) debugged: bool,
    /// Whether the console is kept for the report instead of being shown.
    pub(crate) keep_console: bool,
    /// Whether the scripts' lines are kept for the report as well.
    pub(crate) keep_lines: bool,
    /// The stream on which the console is shown.
    pub(crate) screen: Stream,
}

/// The result of one boot.
pub(crate) struct Trial {
    pub(crate) seed: u64,
    /// What is known about the guest.
    pub(crate) inspector: Arc<Inspector>,
    pub(crate) outcome: Outcome,
    /// What a hung machine showed, if --on-hang had it examined.
    pub(crate) examined: Option<Examined>,
    pub(crate) injections: Injections,
    pub(crate) faults: Vec<FaultCount>,
    pub(crate) console: ConsoleText,
    pub(crate) probes: Vec<probes::session::ProbeCount>,
    pub(crate) changes: Changes,
    pub(crate) lines: KeptLines,
}

/// What scripts printed, as far as there was room.
#[derive(Debug, Default)]
pub(crate) struct KeptLines {
    pub(crate) lines: Vec<ScriptLine>,
    /// Lines that were not kept, because there was no room.
    pub(crate) dropped: u64,
}

/// A line that a script printed.
#[derive(Clone, Debug, schemars::JsonSchema, serde::Serialize)]
pub(crate) struct ScriptLine {
    /// The vCPU that printed it.
    vcpu: u32,
    /// The text.
    text: String,
    /// The stack that the line contains, with names.
    #[serde(skip_serializing_if = "Option::is_none")]
    stack: Option<String>,
}

impl ScriptLine {
    /// Its approximate size in bytes.
    pub(crate) fn size(&self) -> usize {
        size_of::<Self>() + self.text.len() + self.stack.as_ref().map_or(0, String::len)
    }
}

impl Setting {
    /// What is known about the guest of one boot before it runs.
    pub(crate) fn inspector(&self) -> Arc<Inspector> {
        Arc::new(Inspector::new(self.symbols.clone(), self.is_nameless))
    }

    /// Boots the guest once, with these hooks besides those of the setting, which may share the
    /// boot's inspector. With `typing` the terminal is in raw mode.
    pub(crate) fn boot(
        &self,
        seed: u64,
        inspector: Arc<Inspector>,
        more: &[&dyn Attach],
        typing: Option<&Typing>,
        progress: &Progress,
    ) -> Result<Trial> {
        writer::relax();
        let printing = Printing((!self.keep_console).then_some(self.screen));
        let kept = CapturedConsole::default();
        let console: Box<dyn Write + Send> = if self.keep_console {
            Box::new(kept.clone())
        } else {
            Box::new(Screen::new(self.screen))
        };
        let jitter = Jitter::new(self.jitter.clone(), seed);
        let disk_faults = DiskFaults::new(&self.machine.faults, seed);
        let run_faults = RunFaults::new(&self.machine.faults, seed);
        let lines = Arc::new(Mutex::new(KeptLines::default()));
        let title = || format!("{}, seed {seed}", self.machine.guest.name);
        let trace = self.tracing.as_ref();
        let trace = trace.and_then(|tracing| tracing.start(&title(), self.machine.cpus.get()));
        let probing = match &self.scripts {
            Some(scripts) => {
                let line = self.line(&lines, scripts.line_room(), progress);
                Some(scripts.start(seed, &inspector, line, trace.as_ref())?)
            }
            None => None,
        };

        let mut hooks: Vec<&dyn Attach> = Vec::new();
        // The trace is first, so that the actions of the other hooks at an exit come after the
        // exit's beginning.
        hooks.extend(trace.as_ref().map(|trace| -> &dyn Attach { trace }));
        hooks.extend(probing.as_ref().map(Probing::hook));
        if !self.jitter.is_off() {
            hooks.push(&jitter);
        }
        if !run_faults.is_empty() {
            hooks.push(&run_faults);
        }
        hooks.extend(more);
        let machine = Machine::watching(&self.host, &self.machine, self.plan.clone(), console)?;
        let examined = Mutex::new(None);
        let on_hang = self.on_hang.as_ref().map(|on_hang| {
            |_: &End| {
                let print = |line: &str| progress.print(line);
                let seen = on_hang.examine(&self.remote, &inspector, print);
                *examined.lock().unwrap_or_else(PoisonError::into_inner) = Some(seen);
            }
        });
        let options = parallel::Options {
            watchdog: self.watchdog,
            timeout: self.timeout,
            signals: Some(&self.signals),
            console_input: !self.keep_console,
            keys: typing.map(|typing| -> &dyn parallel::Keys { &typing.keys }),
            outlet: Some(&printing),
            remote: Some(&self.remote),
            debugged: self.debugged,
            disk_faults: Some(&disk_faults),
            on_hang: on_hang.as_ref().map(|on_hang| -> &(dyn Fn(&End) + Sync) { on_hang }),
        };
        let outcome = parallel::run(machine, &hooks, options)?;

        let failed = outcome.end.is_failure();
        if let (Some(tracing), Some(trace)) = (&self.tracing, &trace) {
            tracing.end(trace, failed);
        }
        let finished = probing.map(|probing| probing.finish(failed)).transpose()?;
        let (probes, changes) = finished.unwrap_or_default();
        let lines = std::mem::take(&mut *lines.lock().unwrap_or_else(PoisonError::into_inner));
        let (injections, console) = (jitter.injections(), kept.text());
        let examined = examined.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok(Trial {
            seed,
            inspector,
            outcome,
            examined,
            injections,
            faults: fault_counts::of(&self.machine.faults, &disk_faults, &run_faults),
            console,
            probes,
            changes,
            lines,
        })
    }

    /// The function that handles the lines that scripts print.
    fn line(
        &self,
        kept: &Arc<Mutex<KeptLines>>,
        room: LineRoom,
        progress: &Progress,
    ) -> impl FnMut(OutputLine) + Send + 'static {
        let (keep, kept, progress) = (self.keep_lines, kept.clone(), progress.clone());
        move |line: OutputLine| {
            progress.print(&line.text());
            if keep {
                kept.lock().unwrap_or_else(PoisonError::into_inner).put(&line, &room);
            }
        }
    }
}

impl KeptLines {
    /// Keeps a line. A stack is added to the line before it.
    pub(crate) fn put(&mut self, line: &OutputLine, room: &LineRoom) {
        let text = line.text().into_owned();
        if self.dropped > 0 || !room.take(text.len() + size_of::<ScriptLine>()) {
            self.dropped += u64::from(line.kind != LineKind::Stack);
            return;
        }
        match (line.kind, self.lines.last_mut()) {
            (LineKind::Stack, Some(last)) => last.stack = Some(text.trim().into()),
            _ => self.lines.push(ScriptLine { vcpu: line.vcpu, text, stack: None }),
        }
    }
}
