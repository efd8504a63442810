//! The report at the end of a run: for people on standard error, for programs as JSON.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use experiments::ObservedFailure;
use experiments::finding::Machine;
use experiments::observed::ObservedVcpu;
use experiments::reproduce::Other;
use inspect::seen::Seen;
use inspect::{Spin, Stack};
use probes::engine::Changes;
use schemars::JsonSchema;
use serde::Serialize;
use vmm::controlled::can_control;
use vmm::end::{End, HangEvidence};
use vmm::jitter::{Injections, JitterSpec};
use vmm::parallel::{ConsoleUse, VcpuReport, VcpuState};
use vmm::registers::{Activity, Registers};
use vmm::watchpoints::WatchReport;

use crate::fault_counts::FaultCount;
use crate::scripts;
use crate::trial::{ScriptLine, Setting, Trial};

/// The document of `run --json`.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "Run")]
pub(crate) struct Report<'a> {
    /// The version of the documents' format.
    pub(crate) format: u32,
    /// The guest and its machine.
    pub(crate) machine: Machine,
    /// The jitter, as on the command line.
    #[schemars(with = "String")]
    pub(crate) jitter: &'a JitterSpec,
    /// How long the command took, in seconds.
    pub(crate) seconds: f64,
    /// The number of runs.
    pub(crate) runs: u64,
    /// The number of runs that failed.
    pub(crate) failed: u64,
    /// Whether a signal ended the command, so that there might have been more runs.
    pub(crate) interrupted: bool,
    /// The runs, as far as there was room.
    pub(crate) boots: Vec<RunReport>,
    /// The number of runs that are missing, because there was no room; failures have twice as much
    /// room.
    pub(crate) boots_left_out: u64,
    /// The command that searches for the failure under control, if there is a failure that can
    /// occur there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hunt: Option<String>,
    /// The result of the search for the first failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reproduction: Option<Reproduction>,
    /// The explanation of that failure, if it was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) explanation: Option<experiments::cause::Report>,
}

/// The result of a search under control for a failure.
#[derive(JsonSchema, Serialize)]
pub(crate) struct Reproduction {
    /// The failure that was searched for.
    pub(crate) observed: ObservedFailure,
    /// The number of runs.
    pub(crate) runs: u64,
    /// Runs that were cut short.
    pub(crate) cut_short: u64,
    /// How long the search took, in seconds.
    pub(crate) seconds: f64,
    /// The file of a finding of the same failure, if there is one.
    pub(crate) file: Option<PathBuf>,
    /// Other failures.
    pub(crate) others: Vec<Other>,
    /// The file of the first other failure, if the same one wasn't found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) other_file: Option<PathBuf>,
}

/// One run.
#[derive(JsonSchema, Serialize)]
#[cfg_attr(test, derive(Default))]
#[schemars(rename = "Boot")]
pub(crate) struct RunReport {
    /// The seed of the run's random decisions.
    seed: u64,
    /// How the run ended, in one word.
    result: &'static str,
    /// How the run ended, in a phrase.
    #[serde(rename = "verdict")]
    description: String,
    /// Whether this is a failure.
    failed: bool,
    /// How long the run took, in seconds.
    seconds: f64,
    /// How many times vCPUs exited from the guest.
    guest_exits: u64,
    /// The delays that jitter injected.
    injections: Injections,
    /// How often each of the machine's faults struck.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    faults: Vec<FaultCount>,
    /// What the guest printed; if that is long, only the end.
    console: String,
    /// The number of bytes that it printed before that.
    console_dropped: u64,
    /// How often each probe fired.
    probes: Vec<probes::session::ProbeCount>,
    /// What scripts did to the guest.
    changes: Changes,
    /// Files to which the machine was dumped.
    dumps: Vec<PathBuf>,
    /// Dumps that were not completed before the run ended.
    missed_dumps: Vec<PathBuf>,
    /// What scripts printed.
    script_output: Vec<ScriptLine>,
    /// Lines of scripts that are missing from the report, because there was no room.
    script_lines_dropped: u64,
    /// For a hang: the time without a sign of life.
    #[serde(skip_serializing_if = "Option::is_none")]
    window: Option<Window>,
    /// What each vCPU did.
    vcpus: Vec<Vcpu>,
    /// Whether trapped pages can be the cause of the failure, without a way to see whether they
    /// are.
    #[serde(rename = "trapping_may_be_the_cause", skip_serializing_if = "std::ops::Not::not")]
    is_blind: bool,
    /// The verdict in the words of a finding, if a search under control could find it.
    #[serde(skip)]
    #[schemars(skip)]
    verdict: Option<String>,
}

/// The time without a sign of life.
#[derive(Debug, JsonSchema, Serialize)]
struct Window {
    /// Seconds from the run's start to the last sign of life.
    from_seconds: f64,
    /// Seconds from the run's start to the end.
    to_seconds: f64,
    #[serde(skip)]
    length: Duration,
}

impl Window {
    /// For running vCPUs the window is measured in processor time. Says how long it took in real
    /// time, if that was much longer.
    fn stretched(&self) -> String {
        let seconds = self.to_seconds - self.from_seconds;
        if seconds < 1.5 * self.length.as_secs_f64() {
            return String::new();
        }
        format!(" ({seconds:.1} s, for their threads had to share the host's processors)")
    }
}

/// One vCPU of a run. What it was doing is known unless the run succeeded.
#[derive(JsonSchema, Serialize)]
struct Vcpu {
    #[serde(flatten)]
    report: VcpuReport,
    /// Its stack.
    #[serde(skip_serializing_if = "Option::is_none")]
    stack: Option<Stack>,
    /// What it was doing, such as spinning.
    #[serde(skip_serializing_if = "Option::is_none")]
    spin: Option<Spin>,
}

impl RunReport {
    /// Analyses the result of a run.
    pub(crate) fn new(trial: Trial, setting: &Setting) -> Self {
        let outcome = trial.outcome;
        let mut dumps = outcome.dumps;
        let mut examined = trial.examined.map_or_else(Vec::new, |examined| {
            dumps.extend(examined.dumps);
            examined.vcpus
        });
        examined.reverse();
        let look = |mut report: VcpuReport| {
            // What a hung vCPU did is what it did before --on-hang did anything with it.
            let seen = if let Some(hung) = examined.pop() {
                report.state = Some(hung.state);
                hung.seen
            } else {
                let (state, sampled) = (report.state.as_ref(), &report.sampled_rips);
                let state = state.filter(|state| !state.is_reset());
                state.and_then(|state| Seen::of(state, sampled, &*outcome.memory, &trial.inspector))
            };
            let (stack, spin) = seen.map(|Seen { stack, spin }| (stack, spin)).unzip();
            Vcpu { report, stack, spin }
        };
        let vcpus: Vec<_> = outcome.vcpus.into_iter().map(look).collect();
        let is_hang = matches!(outcome.end, End::Hang(_));
        let is_blind = matches!(outcome.end, End::TripleFault { .. })
            && setting.plan.why_pages().is_some()
            && vcpus.iter().any(Vcpu::is_reset);
        let seconds = outcome.elapsed.as_secs_f64();
        let window = setting.watchdog.filter(|_| is_hang).map(|length| Window {
            from_seconds: outcome.alive.as_secs_f64(),
            to_seconds: seconds,
            length,
        });
        let exits = |vcpu: &Vcpu| vcpu.report.exits.total() - vcpu.report.exits.kicked;
        Self {
            seed: trial.seed,
            guest_exits: vcpus.iter().map(exits).sum(),
            result: outcome.end.name(),
            description: outcome.end.description().to_string(),
            failed: outcome.end.is_failure(),
            seconds,
            injections: trial.injections,
            faults: trial.faults,
            console: trial.console.text,
            console_dropped: trial.console.dropped,
            probes: trial.probes,
            changes: trial.changes,
            dumps,
            missed_dumps: outcome.missed_dumps,
            script_output: trial.lines.lines,
            script_lines_dropped: trial.lines.dropped,
            window,
            is_blind,
            verdict: ObservedFailure::verdict(&outcome.end)
                .filter(|_| can_control(&setting.machine).is_ok()),
            vcpus,
        }
    }

    /// A description of a failed run for people.
    pub(crate) fn failure(&self) -> String {
        let mut text = match &self.window {
            Some(window) => format!(
                "hang: for {:?} no vCPU has left its few instructions, no exit, no console output{}\n",
                window.length,
                window.stretched()
            ),
            None if self.description.starts_with("failure: ") => format!("{}\n", self.description),
            None => format!("failure: {}\n", self.description),
        };
        for vcpu in &self.vcpus {
            vcpu.describe(&mut text);
        }
        if self.is_blind {
            text.push_str(
                "pages of the guest were trapped to watch its data; if the processor uses one of them \
                 itself, that is the cause, which this host can't tell: run again without watching\n",
            );
        }
        text.truncate(text.trim_end().len());
        text
    }

    pub(crate) fn failed(&self) -> bool {
        self.failed
    }

    /// Whether a search under control could find such a failure.
    pub(crate) fn can_be_sought(&self) -> bool {
        self.verdict.is_some() && !self.changes.are_faults() && self.faults.is_empty()
    }

    /// The failure, for a search that reproduces it; `None` if there is no such failure under
    /// control.
    pub(crate) fn observed(&self, command: &str) -> Option<ObservedFailure> {
        let command = format!("{command} --seed {}", self.seed);
        Some(self.seen(command, self.verdict.clone()?))
    }

    /// The kind of the failure: what all failures that look the same have in common.
    pub(crate) fn kind(&self) -> String {
        let hang = End::Hang(HangEvidence::Watchdog);
        let verdict =
            if self.window.is_some() { hang.to_string() } else { self.description.clone() };
        let verdict = self.verdict.clone().unwrap_or(verdict);
        let signature = self.seen(String::new(), verdict).signature();
        signature.map_or_else(|| self.description.clone(), |it| it.to_string())
    }

    /// What was seen of a failure of this verdict.
    fn seen(&self, command: String, verdict: String) -> ObservedFailure {
        let seen = |vcpu: &Vcpu| {
            let (state, stack) = (vcpu.report.state.as_ref()?, vcpu.stack.as_ref()?);
            Some(ObservedVcpu {
                vcpu: vcpu.report.vcpu,
                asleep: state.activity != Activity::Running,
                doing: vcpu.spin.as_ref()?.to_string(),
                stack: stack.to_string(),
            })
        };
        ObservedFailure {
            command,
            verdict,
            window: self.window.as_ref().map(|window| format!("{:?}", window.length)),
            // For a failure other than a hang, it doesn't matter what the other vCPUs were doing.
            vcpus: if self.window.is_some() {
                self.vcpus.iter().filter_map(seen).collect()
            } else {
                Vec::new()
            },
        }
    }

    /// How the run ended, in one word.
    pub(crate) fn result(&self) -> &'static str {
        self.result
    }

    pub(crate) fn seed(&self) -> u64 {
        self.seed
    }

    pub(crate) fn seconds(&self) -> f64 {
        self.seconds
    }

    pub(crate) fn description(&self) -> &str {
        &self.description
    }

    pub(crate) fn faults(&self) -> &[FaultCount] {
        &self.faults
    }

    pub(crate) fn injections(&self) -> &Injections {
        &self.injections
    }

    pub(crate) fn console(&self) -> &str {
        &self.console
    }

    pub(crate) fn console_dropped(&self) -> u64 {
        self.console_dropped
    }

    pub(crate) fn probes(&self) -> &[probes::session::ProbeCount] {
        &self.probes
    }

    pub(crate) fn changes(&self) -> &Changes {
        &self.changes
    }

    /// What each vCPU's watches of the guest's data could not tell.
    pub(crate) fn watched(&self) -> impl Iterator<Item = &WatchReport> {
        self.vcpus.iter().filter_map(|vcpu| vcpu.report.watching.as_ref())
    }

    /// What all vCPUs' use of the console cost.
    pub(crate) fn console_use(&self) -> ConsoleUse {
        let mut all = ConsoleUse::default();
        for vcpu in &self.vcpus {
            all.add(&vcpu.report.console_use);
        }
        all
    }

    /// Messages about dumps.
    pub(crate) fn dumps(&self) -> Vec<String> {
        scripts::dumps(&self.dumps, &self.missed_dumps)
    }

    pub(crate) fn guest_exits(&self) -> u64 {
        self.guest_exits
    }

    /// The approximate size of the report in bytes.
    pub(crate) fn size(&self) -> usize {
        let lines = self.script_output.iter().map(ScriptLine::size).sum::<usize>();
        let of_vcpu = |vcpu: &Vcpu| {
            let frames = vcpu.stack.as_ref().map_or(0, |stack| stack.to_string().len());
            size_of::<Vcpu>() + size_of_val(&*vcpu.report.sampled_rips) + 2 * frames
        };
        let vcpus = self.vcpus.iter().map(of_vcpu).sum::<usize>();
        size_of::<Self>() + self.console.len() + self.description.len() + lines + vcpus
    }

    /// Removes what is of no interest in a long report: the details of a run that didn't fail.
    pub(crate) fn brief(mut self) -> Self {
        if !self.failed {
            self.vcpus.clear();
        }
        self
    }
}

impl Vcpu {
    fn is_reset(&self) -> bool {
        self.report.state.as_ref().is_some_and(VcpuState::is_reset)
    }

    fn describe(&self, text: &mut String) {
        let id = self.report.vcpu;
        // Writing to a String can't fail.
        let _ = match (&self.report.state, &self.stack, &self.spin) {
            (Some(state), Some(stack), Some(spin)) => {
                writeln!(text, "vCPU {id}: {spin}\n  {stack}\n{}", registers(&state.registers))
            }
            (Some(_), ..) if self.is_reset() => writeln!(
                text,
                "vCPU {id}: has been reset, as KVM does at a triple fault on AMD processors: what it \
                 was doing is lost"
            ),
            (Some(_), ..) => writeln!(text, "vCPU {id}: not started: waits for its SIPI"),
            (None, ..) => writeln!(text, "vCPU {id}: its state can't be had"),
        };
    }
}

#[cfg(test)]
impl RunReport {
    /// An example for tests.
    pub(crate) fn of(seed: u64, failed: bool, console: String) -> Self {
        Self { seed, failed, console, ..Self::default() }
    }
}

fn registers(r: &Registers) -> String {
    let rows: [[(&str, u64); 4]; 4] = [
        [("rax", r.rax), ("rbx", r.rbx), ("rcx", r.rcx), ("rdx", r.rdx)],
        [("rsi", r.rsi), ("rdi", r.rdi), ("rbp", r.rbp), ("rsp", r.rsp)],
        [("r8 ", r.r8), ("r9 ", r.r9), ("r10", r.r10), ("r11", r.r11)],
        [("r12", r.r12), ("r13", r.r13), ("r14", r.r14), ("r15", r.r15)],
    ];
    let mut lines: Vec<String> = rows
        .iter()
        .map(|row| {
            let cells: Vec<_> =
                row.iter().map(|(name, value)| format!("{name} {value:016x}")).collect();
            format!("  {}", cells.join("  "))
        })
        .collect();
    lines.push(format!("  rip {:016x}  rflags {:x}", r.rip, r.rflags));
    lines.join("\n")
}
