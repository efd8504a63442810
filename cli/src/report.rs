//! What a run says at its end: for people on standard error, for programs as JSON.

use std::fmt::Write as _;

use anyhow::{Context, Result};
use probes::spin::Observation;
use probes::{Spin, Stack, Symbols, unwind};
use serde::Serialize;
use vmm::MachineConfig;
use vmm::jitter::{Injections, JitterSpec};
use vmm::parallel::{End, VcpuReport};
use vmm::registers::{Activity, Registers};

use crate::tell;
use crate::trial::{ScriptLine, Trial};

/// The whole report of `run --json`.
#[derive(Serialize)]
pub(crate) struct Report<'a> {
    pub(crate) format: u32,
    pub(crate) machine: &'a MachineConfig,
    pub(crate) jitter: &'a JitterSpec,
    pub(crate) seconds: f64,
    pub(crate) runs: Vec<RunReport>,
    pub(crate) failed: u64,
}

/// The version of [`Report`]'s format.
pub(crate) const FORMAT: u32 = 1;

/// One run.
#[derive(Serialize)]
pub(crate) struct RunReport {
    seed: u64,
    result: &'static str,
    description: String,
    failed: bool,
    seconds: f64,
    guest_exits: u64,
    injections: Injections,
    console: String,
    probes: Vec<probes::session::ProbeCount>,
    script_output: Vec<ScriptLine>,
    vcpus: Vec<Vcpu>,
}

/// One vCPU of a run; what it was doing is known unless the run was a success.
#[derive(Serialize)]
struct Vcpu {
    #[serde(flatten)]
    report: VcpuReport,
    #[serde(skip_serializing_if = "Option::is_none")]
    stack: Option<Stack>,
    #[serde(skip_serializing_if = "Option::is_none")]
    spin: Option<Spin>,
}

impl RunReport {
    /// Looks at what a run has left.
    pub(crate) fn new(trial: Trial, symbols: Option<&Symbols>) -> Self {
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
        let exits = |vcpu: &Vcpu| vcpu.report.exits.total() - vcpu.report.exits.kicked;
        Self {
            seed: trial.seed,
            guest_exits: vcpus.iter().map(exits).sum(),
            result: outcome.end.name(),
            description: outcome.end.to_string(),
            failed: outcome.end.is_failure(),
            seconds: outcome.elapsed.as_secs_f64(),
            injections: trial.injections,
            console: trial.console,
            probes: trial.probes,
            script_output: trial.lines,
            vcpus,
        }
    }

    /// What a person reads about a failed run.
    pub(crate) fn failure(&self, end_of_hang: Option<std::time::Duration>) -> String {
        let mut text = match end_of_hang {
            Some(window) => format!(
                "hang: for {window:?} no vCPU has left its few instructions, no exit, no console output\n"
            ),
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

    pub(crate) fn is_hang(&self) -> bool {
        self.result == End::Hang.name()
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

    pub(crate) fn probes(&self) -> &[probes::session::ProbeCount] {
        &self.probes
    }

    pub(crate) fn guest_exits(&self) -> u64 {
        self.guest_exits
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

/// Prints JSON on standard output.
pub(crate) fn print_json(value: &impl Serialize) -> Result<()> {
    // Whole or not at all.
    let mut text = serde_json::to_string_pretty(value).context("the report can't be made")?;
    text.push('\n');
    tell::output(&text).context("the report can't be written")
}
