//! A worker of a campaign: makes each run as `run` does, and its record.

use anyhow::{Context, Result};
use experiments::campaign::{Made, RunRecord, Task};
use vmm::end::End;
use vmm::parallel::Remote;
use vmm::signals::Signals;
use vmm::watchpoints::WatchPlan;

use super::Campaign;
use super::prepared::PreparedCell;
use crate::fault_counts;
use crate::progress::Progress;
use crate::report::RunReport;
use crate::trial::Setting;
use crate::writer::OUTPUT;

/// A worker.
pub(super) struct Worker<'a> {
    campaign: &'a Campaign,
    /// Signals for this worker's machines: others run beside them.
    signals: Signals,
}

impl<'a> Worker<'a> {
    pub(super) fn new(campaign: &'a Campaign) -> Result<Self> {
        Ok(Self { campaign, signals: campaign.signals.another()? })
    }

    /// Makes a run. An error has the name of its cell, and its seed.
    pub(super) fn run(&mut self, task: Task) -> Result<Made> {
        if self.signals.end().is_some() {
            return Ok(Made::NotBegun);
        }
        let cell = self.campaign.prepared.cell(task.cell).context("a cell that is not there")?;
        // Warnings about this run name it: others run beside it.
        let name = self.campaign.prepared.name(task.cell);
        let _span = tracing::error_span!("run", cell = name, seed = task.seed).entered();
        let place = || format!("{name}: seed {}", task.seed);
        let prepared = &self.campaign.prepared;
        prepared.check_disks(cell).with_context(place)?;
        let setting = self.setting(cell);
        let inspector = setting.inspector();
        let trial = setting.boot(task.seed, inspector, &[], None, &Progress::none());
        // Before an error of the run, whose reason it may be.
        prepared.check_disks(cell).with_context(place)?;
        let trial = trial.with_context(place)?;
        if matches!(trial.outcome.end, End::Interrupted) {
            return Ok(Made::CutShort);
        }
        let report = RunReport::new(trial, &setting);
        let injections = report.injections();
        let failed = report.failed();
        Ok(Made::Run(RunRecord {
            cell: task.cell,
            seed: task.seed,
            result: report.result().into(),
            description: report.description().into(),
            failed,
            kind: failed.then(|| report.kind()),
            seconds: report.seconds(),
            guest_exits: report.guest_exits(),
            injections: injections.total(),
            injected_seconds: injections.microseconds as f64 / 1e6,
            faults: fault_counts::records(report.faults()),
            report: if failed { Some(serde_json::to_string(&report)?) } else { None },
        }))
    }

    fn setting(&self, cell: &PreparedCell) -> Setting {
        Setting {
            host: self.campaign.host.clone(),
            machine: cell.machine.clone(),
            plan: WatchPlan::default(),
            jitter: cell.jitter.clone(),
            scripts: None,
            tracing: None,
            symbols: cell.symbols.clone(),
            is_nameless: cell.is_nameless,
            watchdog: cell.watchdog,
            timeout: cell.timeout,
            signals: self.signals.clone(),
            remote: Remote::default(),
            on_hang: None,
            debugged: false,
            keep_console: true,
            keep_lines: false,
            screen: OUTPUT,
        }
    }
}
