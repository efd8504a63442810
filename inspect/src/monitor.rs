//! The commands by which a user examines and controls a machine while it runs.
//!
//! [`Command`] is what the user types, and [`Monitor`] does it. Neither knows where the text comes
//! from: the control socket of `run` and gdb's `monitor` have the same commands.

mod command;
mod stacks;
mod waits;

use std::fmt::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use vmm::dump;
use vmm::parallel::{NotRunning, Remote, Standstill, Stopped, VcpuState};
use vmm::registers::Activity;

use crate::inspector::Inspector;

pub use command::{Command, HELP};
pub use stacks::{Listed, activity, list as list_stacks, stacks};

/// Why a command was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The command makes no sense: what is wrong, and what would be right.
    Usage(String),
    /// It could not be done: why.
    Failed(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Usage(text) | Self::Failed(text)) = self;
        f.write_str(text)
    }
}

impl From<NotRunning> for Refusal {
    fn from(error: NotRunning) -> Self {
        Self::Failed(error.to_string())
    }
}

/// Does commands on a running machine. Any number of threads may do so at once.
#[derive(Clone)]
pub struct Monitor {
    remote: Remote,
    inspector: Arc<Inspector>,
    quit: Arc<dyn Fn() + Send + Sync>,
}

impl Monitor {
    /// A monitor for the machine that `remote` controls, whose stacks `inspector` unwinds. `quit`
    /// ends its run.
    pub fn new(
        remote: Remote,
        inspector: Arc<Inspector>,
        quit: impl Fn() + Send + Sync + 'static,
    ) -> Self {
        Self { remote, inspector, quit: Arc::new(quit) }
    }

    /// Waits until a machine runs, at most for this time.
    pub fn wait_for_machine(&self, timeout: Duration) {
        self.remote.wait_for_machine(timeout);
    }

    /// Ends the run, as [`Command::Quit`] does.
    pub fn quit(&self) {
        (self.quit)();
    }

    /// Does a command, and returns its answer: lines for the user.
    pub fn execute(&self, command: &Command) -> Result<String, Refusal> {
        match command {
            Command::Help => Ok(HELP.to_owned()),
            Command::Status => self.status(),
            Command::Pause if self.remote.pause()? => Ok("paused\n".into()),
            Command::Pause => Ok("it was paused already\n".into()),
            Command::Resume => self.resume(),
            Command::Nmi(vcpu) => self.nmi(*vcpu),
            Command::Stacks => {
                let inspector = self.inspector.clone();
                Ok(self.remote.when_stopped(move |machine| {
                    stacks(machine.vcpus, machine.memory, &inspector)
                })?)
            }
            Command::Waits => self.waits(),
            Command::Dump(path) => {
                let begin = Instant::now();
                let path = self.dump(path)?;
                let seconds = begin.elapsed().as_secs_f64();
                Ok(format!("dumped to {} in {seconds:.1} s\n", path.display()))
            }
            Command::Quit => {
                self.quit();
                Ok("the run ends\n".into())
            }
        }
    }

    fn resume(&self) -> Result<String, Refusal> {
        let ended = self.remote.resume()?;
        if !self.remote.status()?.standstills.contains(&Standstill::Debugged) {
            let text = if ended.is_empty() { "it was not paused\n" } else { "resumed\n" };
            return Ok(text.into());
        }
        let mut problem = String::new();
        for reason in ended {
            let what = match reason {
                Standstill::Suspended => "the suspension by a script",
                Standstill::Paused | Standstill::Debugged => "the pause",
            };
            let _ = write!(problem, "{what} has ended, ");
        }
        if !problem.is_empty() {
            problem.push_str("but ");
        }
        problem.push_str("gdb has stopped the machine: `continue` there lets it go on");
        Err(Refusal::Failed(problem))
    }

    /// Writes a dump to this file, or to `FILE.1` and so on if it exists. Returns the file.
    pub fn dump(&self, path: &Path) -> Result<PathBuf, Refusal> {
        let path = path.to_owned();
        let written = self.remote.when_stopped(move |machine| {
            let vcpus: Vec<_> =
                machine.vcpus.iter().map(|vcpu| (vcpu.registers, vcpu.system)).collect();
            dump::write(&path, &vcpus, 0, machine.memory)
        })?;
        written.map_err(|error| Refusal::Failed(chain(&error)))
    }

    fn status(&self) -> Result<String, Refusal> {
        let status = self.remote.status()?;
        let mut text = format!("time {:.3} s", status.time.as_secs_f64());
        if !status.paused.is_zero() {
            let _ = write!(text, ", {:.3} s of it paused", status.paused.as_secs_f64());
        }
        let standing = status.standstills.iter().map(|reason| match reason {
            Standstill::Debugged => "stopped for gdb: `continue` there ends that",
            Standstill::Paused => "paused: `resume` ends that",
            Standstill::Suspended => "suspended by a script: `resume` or SIGCONT ends that",
        });
        let moving = if status.hung { "hung: the run is about to end" } else { "running" };
        let moving = status.standstills.is_empty().then_some(moving);
        for state in standing.chain(moving) {
            let _ = write!(text, "\n{state}");
        }
        let _ = writeln!(text, "\n{} vCPUs", status.exits.len());
        for (vcpu, exits) in status.exits.iter().enumerate() {
            let _ = writeln!(text, "vCPU {vcpu}: {exits} exits");
        }
        Ok(text)
    }

    fn nmi(&self, vcpu: Option<u32>) -> Result<String, Refusal> {
        let started = self.remote.when_stopped(|machine| {
            let started = |vcpu: &VcpuState| vcpu.activity != Activity::WaitForSipi;
            machine.vcpus.iter().map(started).collect::<Vec<_>>()
        })?;
        let all = 0..started.len() as u32;
        if let Some(vcpu) = vcpu.filter(|vcpu| !all.contains(vcpu)) {
            let last = started.len().saturating_sub(1);
            return Err(Refusal::Usage(format!("nmi {vcpu}: the vCPUs are 0 to {last}")));
        }
        let wanted = all.filter(|number| vcpu.is_none_or(|vcpu| vcpu == *number));
        let (takers, others): (Vec<_>, Vec<_>) =
            wanted.partition(|number| started[*number as usize]);
        if takers.is_empty() {
            let text = format!("vCPU {} was never started, and takes no NMI", list(&others));
            return Err(Refusal::Failed(text));
        }
        self.remote.send_nmis(takers.iter().fold(0, |mask, vcpu| mask | 1 << vcpu))?;
        let mut text = format!("NMI sent to vCPU {}", list(&takers));
        if !others.is_empty() {
            let _ = write!(text, "; vCPU {} was never started, and takes none", list(&others));
        }
        if !self.remote.status()?.standstills.is_empty() {
            text.push_str("; taken when the machine goes on");
        }
        Ok(text + "\n")
    }

    fn waits(&self) -> Result<String, Refusal> {
        let mut seen = waits::Seen::default();
        let begin = Instant::now();
        let is_moving = self.remote.status()?.standstills.is_empty();
        for _ in 1..if is_moving { waits::LOOKS } else { 1 } {
            let states = self.remote.when_stopped(|machine| machine.vcpus.to_vec())?;
            seen.add(&states);
            std::thread::sleep(waits::INTERVAL);
        }
        let inspector = self.inspector.clone();
        Ok(self.remote.when_stopped(move |machine: &Stopped| {
            seen.add(machine.vcpus);
            let period = is_moving.then(|| begin.elapsed());
            waits::text(&seen, machine.vcpus, machine.memory, &inspector, period)
        })?)
    }
}

impl fmt::Debug for Monitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Monitor").finish_non_exhaustive()
    }
}

fn list(vcpus: &[u32]) -> String {
    vcpus.iter().map(u32::to_string).collect::<Vec<_>>().join(", ")
}

/// An error with its causes, in a line.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
#[path = "monitor/tests.rs"]
mod tests;
