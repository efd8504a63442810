//! One boot of a guest: a fresh machine, a seed, and what came of it.

use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use probes::engine::Changes;
use probes::{LineKind, OutputLine, Symbols};
use vmm::hook::{Attach, watches};
use vmm::interrupts::Interrupts;
use vmm::jitter::{Injections, Jitter, JitterSpec};
use vmm::parallel::{self, Outcome};
use vmm::{Host, Machine, MachineConfig};

use crate::console::{CapturedConsole, ConsoleText, Printing, Screen};
use crate::progress::Progress;
use crate::scripts::{LineRoom, Probing, Scripts};
use crate::trace::Tracing;
use crate::writer::{self, Stream};

/// Everything that stays the same from one boot to the next.
pub(crate) struct Setting {
    pub(crate) host: Host,
    pub(crate) machine: MachineConfig,
    pub(crate) jitter: JitterSpec,
    pub(crate) scripts: Option<Scripts>,
    pub(crate) tracing: Option<Tracing>,
    pub(crate) symbols: Option<Arc<Symbols>>,
    pub(crate) watchdog: Option<Duration>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) interrupts: Interrupts,
    /// The console is kept for the report instead of shown as it comes.
    pub(crate) keep_console: bool,
    /// The scripts' lines are kept for the report as well.
    pub(crate) keep_lines: bool,
    /// Where a console is shown.
    pub(crate) screen: Stream,
}

/// What came of one boot.
pub(crate) struct Trial {
    pub(crate) seed: u64,
    pub(crate) outcome: Outcome,
    pub(crate) injections: Injections,
    pub(crate) console: ConsoleText,
    pub(crate) probes: Vec<probes::session::ProbeCount>,
    pub(crate) changes: Changes,
    pub(crate) lines: KeptLines,
}

/// What scripts printed, as far as there was room for it.
#[derive(Debug, Default)]
pub(crate) struct KeptLines {
    pub(crate) lines: Vec<ScriptLine>,
    /// Lines for which there was none.
    pub(crate) dropped: u64,
}

/// A line that a script printed.
#[derive(Clone, Debug, schemars::JsonSchema, serde::Serialize)]
pub(crate) struct ScriptLine {
    /// The vCPU that printed it.
    vcpu: u32,
    /// The line.
    text: String,
    /// The stack in it, by name.
    #[serde(skip_serializing_if = "Option::is_none")]
    stack: Option<String>,
}

impl ScriptLine {
    /// About how many bytes it takes.
    pub(crate) fn size(&self) -> usize {
        size_of::<Self>() + self.text.len() + self.stack.as_ref().map_or(0, String::len)
    }
}

impl Setting {
    /// Boots once.
    pub(crate) fn boot(&self, seed: u64, progress: &Progress) -> Result<Trial> {
        writer::relax();
        let printing = Printing((!self.keep_console).then_some(self.screen));
        let kept = CapturedConsole::default();
        let console: Box<dyn Write + Send> = if self.keep_console {
            Box::new(kept.clone())
        } else {
            Box::new(Screen::new(self.screen))
        };
        let jitter = Jitter::new(self.jitter.clone(), seed);
        let lines = Arc::new(Mutex::new(KeptLines::default()));
        let title = || format!("{}, seed {seed}", self.machine.guest.name);
        let trace = self.tracing.as_ref();
        let trace = trace.and_then(|tracing| tracing.start(&title(), self.machine.cpus.get()));
        let probing = match &self.scripts {
            Some(scripts) => {
                let line = self.line(&lines, scripts.line_room(), progress);
                Some(scripts.start(seed, line, trace.as_ref())?)
            }
            None => None,
        };

        let mut hooks: Vec<&dyn Attach> = Vec::new();
        // First, so that what the others do at an exit is behind its beginning.
        hooks.extend(trace.as_ref().map(|trace| -> &dyn Attach { trace }));
        hooks.extend(probing.as_ref().map(Probing::hook));
        if !self.jitter.is_off() {
            hooks.push(&jitter);
        }
        let machine = Machine::watching(&self.host, &self.machine, &watches(&hooks), console)?;
        let options = parallel::Options {
            watchdog: self.watchdog,
            timeout: self.timeout,
            interrupts: Some(&self.interrupts),
            console_input: !self.keep_console,
            outlet: Some(&printing),
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
        Ok(Trial { seed, outcome, injections, console, probes, changes, lines })
    }

    /// Where scripts print to.
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
    /// Keeps a line; a stack belongs to the line before it.
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
