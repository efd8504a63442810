//! Makes the machines' configurations of an experiment's cells, by the same code as `run`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use experiments::campaign::{CellDescription, Description, Image, Shard};
use experiments::commands::option;
use experiments::experiment::{Cell, CellSettings, Experiment};
use experiments::finding::Machine;
use inspect::Symbols;
use vmm::jitter::JitterSpec;
use vmm::limits::time_text;
use vmm::signals::Signals;
use vmm::{Host, MachineConfig};

use super::files::{Files, is_nameless};
use super::stamps::Stamps;
use crate::args::{CriteriaArgs, MachineArgs, resolved};
use crate::input;
use crate::scripts::style;

/// The cells of an experiment, ready to run.
pub(super) struct Prepared {
    cells: Vec<PreparedCell>,
    images: BTreeSet<Image>,
    stamps: Stamps,
}

/// A cell, ready to run.
pub(super) struct PreparedCell {
    name: String,
    pub(super) machine: MachineConfig,
    pub(super) symbols: Option<Arc<Symbols>>,
    /// `symbols = "none"`: nothing is named.
    pub(super) is_nameless: bool,
    pub(super) jitter: JitterSpec,
    pub(super) watchdog: Option<Duration>,
    pub(super) timeout: Option<Duration>,
    /// The command that makes a run, without its seed.
    command: String,
    shape: Shape,
}

/// What is the same for cells with the same machine.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Shape {
    /// The arguments of `run`, without those below.
    arguments: String,
    initrd: Option<PathBuf>,
}

impl Prepared {
    /// The cells of an experiment with this file. Fails if a file can't be read, or a
    /// machine can't be what the experiment wants.
    pub(super) fn new(experiment: &Experiment, file: &Path, signals: &Signals) -> Result<Self> {
        let folder = file.parent().unwrap_or(Path::new("/"));
        let mut files = Files::new(folder, signals);
        files.stamps.add(file);
        let cells = experiment.cells.iter().map(|cell| files.prepare(experiment, cell));
        let cells = cells.collect::<Result<Vec<_>>>()?;
        if let Some(file) = files.stamps.changed() {
            bail!("{}: it was changed while it was read", file.display());
        }
        Ok(Self { cells, images: files.images, stamps: files.stamps })
    }

    /// Makes each machine once without running it, so that one that can't be made is told before
    /// the first run.
    pub(super) fn check(&self, host: &Host, signals: &Signals) -> Result<()> {
        let mut seen = BTreeSet::new();
        for cell in &self.cells {
            if let Some(signal) = signals.end() {
                return Err(input::Error::Interrupted(signal).into());
            }
            if seen.insert(&cell.shape) {
                let machine = vmm::Machine::new(host, &cell.machine, Box::new(std::io::sink()));
                machine.with_context(|| format!("the experiment is not run: {}", cell.name))?;
            }
        }
        Ok(())
    }

    /// Fails if a disk of this cell was changed since it was read: a machine reads it while it
    /// runs. The other files are in memory.
    pub(super) fn check_disks(&self, cell: &PreparedCell) -> Result<()> {
        for disk in &cell.machine.disks {
            if self.stamps.has_changed(&disk.path) {
                bail!(
                    "{}: this disk was changed while the campaign runs: put it back and resume, or \
                     begin another campaign",
                    disk.path.display()
                );
            }
        }
        Ok(())
    }

    /// A file that was changed since it was read, if there is one.
    pub(super) fn changed(&self) -> Option<&Path> {
        self.stamps.changed()
    }

    /// The machines of all cells.
    pub(super) fn machines(&self) -> impl Iterator<Item = &MachineConfig> {
        self.cells.iter().map(|cell| &cell.machine)
    }

    pub(super) fn cell(&self, number: usize) -> Option<&PreparedCell> {
        self.cells.get(number)
    }

    /// The name of a cell.
    pub(super) fn name(&self, number: usize) -> &str {
        self.cells.get(number).map_or("", |cell| &cell.name)
    }

    /// What a campaign with these cells is.
    pub(super) fn description(
        &self,
        experiment: &Experiment,
        file: &str,
        shard: Shard,
    ) -> Description {
        let cells = experiment.cells.iter().zip(&self.cells).map(|(cell, prepared)| {
            let phase = cell.phase.iter().map(|phase| ("phase".to_owned(), phase.clone()));
            let levels = cell.levels.iter().map(|it| (it.factor.to_owned(), it.value.clone()));
            CellDescription {
                name: prepared.name.clone(),
                levels: phase.chain(levels).collect(),
                asked: cell.runs,
                first_seed: experiment.first_seed,
                command: prepared.command.clone(),
            }
        });
        Description {
            file: file.into(),
            file_hash: experiment.hash(),
            file_text: experiment.text().into(),
            about: experiment.about.clone(),
            limits: experiment.budget,
            keep: experiment.keep,
            shard,
            cells: cells.collect(),
            images: self.images.iter().cloned().collect(),
        }
    }
}

impl Files<'_> {
    fn prepare(&mut self, experiment: &Experiment, cell: &Cell) -> Result<PreparedCell> {
        let settings = &cell.settings;
        self.find_guest(settings).map_err(|error| at_guest(experiment, cell, error))?;
        let symbols = self.symbols(settings)?;
        let initrd = settings.initrd.as_ref().map(|path| self.initrd(path)).transpose()?;
        let disks =
            settings.disks.iter().map(|disk| self.disk(disk)).collect::<Result<Vec<_>>>()?;
        let guest = &self.guests[&settings.guest];
        let watchdog = guest.watchdog(experiment.watchdog);
        if watchdog.is_none() && experiment.timeout.is_none() {
            let message = "nothing ends a run of this guest: give it a timeout in [failure]";
            return Err(at_guest(experiment, cell, anyhow!(message)));
        }
        let arguments = MachineArgs {
            cpus: settings.cpus,
            mem: settings.memory,
            identity: settings.identity,
            cmdline: settings.command_line.clone(),
            disk: disks,
            rng: settings.rng,
            virtio_console: settings.virtio_console,
        };
        let criteria = CriteriaArgs::of(&experiment.criteria);
        let criteria = criteria.criteria(symbols.as_deref(), guest.may_idle);
        let criteria = criteria.with_context(|| format!("{}: [failure]", cell.name()))?;
        let faults = resolved(&settings.faults, symbols.as_deref())
            .map_err(|error| at_guest(experiment, cell, error))?;
        let machine = MachineConfig { criteria, initrd, faults, ..guest.machine(&arguments)? };
        Ok(PreparedCell {
            name: cell.name(),
            command: self.command(experiment, settings, &machine),
            shape: Shape {
                arguments: Machine::of(&machine).arguments(),
                initrd: settings.initrd.clone(),
            },
            is_nameless: is_nameless(settings),
            machine,
            symbols,
            jitter: settings.jitter.clone(),
            watchdog,
            timeout: experiment.timeout,
        })
    }

    /// The command that makes a run of a cell, without its seed.
    fn command(
        &self,
        experiment: &Experiment,
        settings: &CellSettings,
        machine: &MachineConfig,
    ) -> String {
        let mut text = format!("jitterbug run {}", Machine::of(machine).arguments());
        let mut add = |name: &str, value: &str| text.push_str(&option(name, value));
        let file = |path: &PathBuf| self.path(path).display().to_string();
        if let Some(initrd) = &settings.initrd {
            add("initrd", &file(initrd));
        }
        if let Some(symbols) = &settings.symbols {
            let none = || "none".to_owned();
            add("symbols", &if is_nameless(settings) { none() } else { file(symbols) });
        }
        if !settings.jitter.is_off() {
            add("jitter", &settings.jitter.to_string());
        }
        if let Some(watchdog) = experiment.watchdog {
            add("watchdog", &watchdog.to_string());
        }
        if let Some(timeout) = experiment.timeout {
            add("timeout", &time_text(timeout));
        }
        text
    }
}

/// An error about a cell's guest, at the place where the file names it.
fn at_guest(experiment: &Experiment, cell: &Cell, error: anyhow::Error) -> anyhow::Error {
    if error.downcast_ref::<input::Error>().is_some() {
        return error.context(format!("guest {}", cell.settings.guest));
    }
    let message = format!("{error:#}");
    let refused = experiment.error_at(cell.settings.guest_span, &message, "this guest");
    anyhow!("the experiment is not run\n{}", refused.render(style()).trim_end())
}
