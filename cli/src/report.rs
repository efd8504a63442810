//! What a run says at its end: for people on standard error, for programs as JSON.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use experiments::ObservedFailure;
use experiments::finding::Machine;
use experiments::observed::ObservedVcpu;
use experiments::reproduce::Other;
use probes::engine::Changes;
use probes::spin::Observation;
use probes::{Spin, Stack, unwind};
use schemars::JsonSchema;
use serde::Serialize;
use vmm::jitter::{Injections, JitterSpec};
use vmm::parallel::{End, VcpuReport};
use vmm::registers::{Activity, Registers};

use crate::scripts;
use crate::trial::{ScriptLine, Setting, Trial};

/// The whole report of `run --json`.
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
    /// How long all of it took.
    pub(crate) seconds: f64,
    /// How many runs there were.
    pub(crate) runs: u64,
    /// How many of them failed.
    pub(crate) failed: u64,
    /// A signal ended it: there might have been more runs.
    pub(crate) interrupted: bool,
    /// Each of them, as far as there was room.
    pub(crate) boots: Vec<RunReport>,
    /// How many are not in the report, for want of room; those that fail have twice the room.
    pub(crate) boots_left_out: u64,
    /// The command that looks for such a failure under control, if one failed that can be there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hunt: Option<String>,
    /// What came of looking for the first failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reproduction: Option<Reproduction>,
    /// Why it comes about, if it was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) explanation: Option<experiments::cause::Report>,
}

/// What came of looking for a failure.
#[derive(JsonSchema, Serialize)]
pub(crate) struct Reproduction {
    /// What was looked for.
    pub(crate) observed: ObservedFailure,
    /// How many runs there were.
    pub(crate) runs: u64,
    /// How many came to no end.
    pub(crate) cut_short: u64,
    /// How long it took.
    pub(crate) seconds: f64,
    /// The file of the same failure, if it was found.
    pub(crate) file: Option<PathBuf>,
    /// Failures that weren't the same.
    pub(crate) others: Vec<Other>,
    /// The file of the first of these, if the same wasn't found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) other_file: Option<PathBuf>,
}

/// One run.
#[derive(JsonSchema, Serialize)]
#[cfg_attr(test, derive(Default))]
#[schemars(rename = "Boot")]
pub(crate) struct RunReport {
    /// The seed of what was random.
    seed: u64,
    /// How it ended, in a word.
    result: &'static str,
    /// The same in words.
    #[serde(rename = "verdict")]
    description: String,
    /// Whether that is a failure.
    failed: bool,
    /// How long it took.
    seconds: f64,
    /// How often vCPUs left the guest.
    guest_exits: u64,
    /// What jitter did.
    injections: Injections,
    /// What the guest printed; the end of it, if it is long.
    console: String,
    /// How many bytes it printed before that.
    console_dropped: u64,
    /// How often each probe fired.
    probes: Vec<probes::session::ProbeCount>,
    /// What scripts did to the guest.
    changes: Changes,
    /// Files that the machine was dumped to.
    dumps: Vec<PathBuf>,
    /// Files for which there was no time any more.
    missed_dumps: Vec<PathBuf>,
    /// What scripts printed.
    script_output: Vec<ScriptLine>,
    /// Lines of scripts that are not in the report, for want of room.
    script_lines_dropped: u64,
    /// Of a hang.
    #[serde(skip_serializing_if = "Option::is_none")]
    window: Option<Window>,
    /// What became of each vCPU.
    vcpus: Vec<Vcpu>,
    /// As a finding says it.
    #[serde(skip)]
    #[schemars(skip)]
    verdict: Option<String>,
}

/// When there was no sign of life.
#[derive(Debug, JsonSchema, Serialize)]
struct Window {
    /// Seconds from the run's start to the last sign.
    from_seconds: f64,
    /// And to the end.
    to_seconds: f64,
    #[serde(skip)]
    length: Duration,
}

impl Window {
    /// vCPUs that run are given their time by the processor's clock: what that took, if it took longer.
    fn stretched(&self) -> String {
        let seconds = self.to_seconds - self.from_seconds;
        if seconds < 1.5 * self.length.as_secs_f64() {
            return String::new();
        }
        format!(" ({seconds:.1} s, for their threads had to share the host's processors)")
    }
}

/// One vCPU of a run; what it was doing is known unless the run was a success.
#[derive(JsonSchema, Serialize)]
struct Vcpu {
    #[serde(flatten)]
    report: VcpuReport,
    /// Who called whom.
    #[serde(skip_serializing_if = "Option::is_none")]
    stack: Option<Stack>,
    /// What it was doing.
    #[serde(skip_serializing_if = "Option::is_none")]
    spin: Option<Spin>,
}

impl RunReport {
    /// Looks at what a run has left.
    pub(crate) fn new(trial: Trial, setting: &Setting) -> Self {
        let symbols = setting.symbols.as_deref();
        let outcome = trial.outcome;
        let look = |report: VcpuReport| {
            let (mut stack, mut spin) = (None, None);
            if let Some(state) = report.state.filter(|s| s.activity != Activity::WaitForSipi) {
                let (registers, system) = (&state.registers, &state.system);
                let frames = unwind::walk(registers, system, &*outcome.memory);
                stack = Some(Stack::new(&frames, symbols));
                spin = Some(Spin::analyse(&Observation {
                    registers,
                    system,
                    activity: state.activity,
                    sampled: &report.sampled_rips,
                    memory: &*outcome.memory,
                    symbols,
                }));
            }
            Vcpu { report, stack, spin }
        };
        let vcpus: Vec<_> = outcome.vcpus.into_iter().map(look).collect();
        let is_hang = matches!(outcome.end, End::Hang);
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
            description: outcome.end.to_string(),
            failed: outcome.end.is_failure(),
            seconds,
            injections: trial.injections,
            console: trial.console.text,
            console_dropped: trial.console.dropped,
            probes: trial.probes,
            changes: trial.changes,
            dumps: outcome.dumps,
            missed_dumps: outcome.missed_dumps,
            script_output: trial.lines.lines,
            script_lines_dropped: trial.lines.dropped,
            window,
            verdict: ObservedFailure::verdict(&outcome.end),
            vcpus,
        }
    }

    /// What a person reads about a failed run.
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
        text.truncate(text.trim_end().len());
        text
    }

    pub(crate) fn failed(&self) -> bool {
        self.failed
    }

    /// Whether a search under control may find something like it.
    pub(crate) fn can_be_sought(&self) -> bool {
        self.verdict.is_some() && !self.changes.are_faults()
    }

    /// The failure, for whoever looks for it again; `None` if there is nothing like it under control.
    pub(crate) fn observed(&self, command: &str) -> Option<ObservedFailure> {
        let seen = |vcpu: &Vcpu| {
            let (state, stack) = (vcpu.report.state.as_ref()?, vcpu.stack.as_ref()?);
            Some(ObservedVcpu {
                vcpu: vcpu.report.vcpu,
                asleep: state.activity != Activity::Running,
                doing: vcpu.spin.as_ref()?.to_string(),
                stack: stack.to_string(),
            })
        };
        Some(ObservedFailure {
            command: format!("{command} --seed {}", self.seed),
            verdict: self.verdict.clone()?,
            window: self.window.as_ref().map(|window| format!("{:?}", window.length)),
            // What the others were doing when one failed is no matter.
            vcpus: if self.window.is_some() {
                self.vcpus.iter().filter_map(seen).collect()
            } else {
                Vec::new()
            },
        })
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

    /// What there is to say of dumps.
    pub(crate) fn dumps(&self) -> Vec<String> {
        scripts::dumps(&self.dumps, &self.missed_dumps)
    }

    pub(crate) fn guest_exits(&self) -> u64 {
        self.guest_exits
    }

    /// About how many bytes it takes.
    pub(crate) fn size(&self) -> usize {
        let lines = self.script_output.iter().map(ScriptLine::size).sum::<usize>();
        let of_vcpu = |vcpu: &Vcpu| {
            let frames = vcpu.stack.as_ref().map_or(0, |stack| stack.to_string().len());
            size_of::<Vcpu>() + size_of_val(&*vcpu.report.sampled_rips) + 2 * frames
        };
        let vcpus = self.vcpus.iter().map(of_vcpu).sum::<usize>();
        size_of::<Self>() + self.console.len() + self.description.len() + lines + vcpus
    }

    /// Forgets what is of no interest in a long report: the details of a run that didn't fail.
    pub(crate) fn brief(mut self) -> Self {
        if !self.failed {
            self.vcpus.clear();
        }
        self
    }
}

impl Vcpu {
    fn describe(&self, text: &mut String) {
        let id = self.report.vcpu;
        // Writing to a String can't fail.
        let _ = match (&self.report.state, &self.stack, &self.spin) {
            (Some(state), Some(stack), Some(spin)) => {
                writeln!(text, "vCPU {id}: {spin}\n  {stack}\n{}", registers(&state.registers))
            }
            (Some(_), ..) => writeln!(text, "vCPU {id}: not started: waits for its SIPI"),
            (None, ..) => writeln!(text, "vCPU {id}: its state can't be had"),
        };
    }
}

#[cfg(test)]
impl RunReport {
    /// One for tests.
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
