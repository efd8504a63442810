//! Makes the machines' configurations of an experiment's cells, by the same code as `run`.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use experiments::campaign::{CellDescription, Description, Image, ImageHash, Shard};
use experiments::commands::option;
use experiments::experiment::{Cell, CellSettings, Experiment};
use experiments::finding::{Machine, image_hash};
use inspect::Symbols;
use vmm::jitter::JitterSpec;
use vmm::limits::time_text;
use vmm::signals::Signals;
use vmm::{DiskConfig, GuestImage, Host, MachineConfig};

use crate::args::{CriteriaArgs, MachineArgs};
use crate::guest::Guest;
use crate::input;
use crate::scripts::style;

/// The cells of an experiment, ready to run.
pub(super) struct Prepared {
    cells: Vec<PreparedCell>,
    images: BTreeSet<Image>,
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
    /// The same for cells with the same machine: what `run` has for it, and the initial RAM disk.
    shape: (String, Option<PathBuf>),
}

/// Reads the files that the cells name, each once.
struct Files<'a> {
    folder: &'a Path,
    signals: &'a Signals,
    guests: BTreeMap<String, Guest>,
    symbols: BTreeMap<(String, Option<PathBuf>), Option<Arc<Symbols>>>,
    initrds: BTreeMap<PathBuf, GuestImage>,
    images: BTreeSet<Image>,
}

impl Prepared {
    /// The cells of an experiment whose file is in this folder. Fails if a file can't be read, or a
    /// machine can't be what the experiment wants.
    pub(super) fn new(experiment: &Experiment, folder: &Path, signals: &Signals) -> Result<Self> {
        let mut files = Files {
            folder,
            signals,
            guests: BTreeMap::new(),
            symbols: BTreeMap::new(),
            initrds: BTreeMap::new(),
            images: BTreeSet::new(),
        };
        let cells = experiment.cells.iter().map(|cell| files.prepare(experiment, cell));
        let cells = cells.collect::<Result<Vec<_>>>()?;
        Ok(Self { cells, images: files.images })
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
        let machine = MachineConfig { criteria, initrd, ..guest.machine(&arguments)? };
        Ok(PreparedCell {
            name: cell.name(),
            command: self.command(experiment, settings, &machine),
            shape: (Machine::of(&machine).arguments(), settings.initrd.clone()),
            is_nameless: is_nameless(settings),
            machine,
            symbols,
            jitter: settings.jitter.clone(),
            watchdog,
            timeout: experiment.timeout,
        })
    }

    /// The path of a file that the experiment names.
    fn path(&self, name: &Path) -> PathBuf {
        self.folder.join(name)
    }

    /// Reads a cell's guest, if no other cell has it.
    fn find_guest(&mut self, settings: &CellSettings) -> Result<()> {
        let name = &settings.guest;
        if self.guests.contains_key(name) {
            return Ok(());
        }
        let guest = match guests::find(name) {
            Some(_) => Guest::find(name, self.signals)?,
            None => self.read_guest(name)?,
        };
        self.images
            .insert(Image { name: guest.image.name.clone(), hash: image_hash(&guest.image.bytes) });
        self.guests.insert(name.clone(), guest);
        Ok(())
    }

    fn read_guest(&self, name: &str) -> Result<Guest> {
        let path = self.path(Path::new(name));
        if !path.exists() {
            // The message for the name as the user wrote it.
            return Guest::find(name, self.signals)
                .and_then(|_| Err(anyhow!("{name}: no such file")));
        }
        if !path.is_file() {
            bail!("{name}: it is not a regular file");
        }
        let mut guest = Guest::find(&path.display().to_string(), self.signals)?;
        share(&mut guest.image);
        Ok(guest)
    }

    fn symbols(&mut self, settings: &CellSettings) -> Result<Option<Arc<Symbols>>> {
        let key = (settings.guest.clone(), settings.symbols.clone());
        if let Some(symbols) = self.symbols.get(&key) {
            return Ok(symbols.clone());
        }
        let symbols = match &settings.symbols {
            Some(_) if is_nameless(settings) => None,
            Some(path) => {
                let GuestImage { name, bytes } = self.read(path, "symbols")?;
                Some(Arc::new(Symbols::from_file(name, bytes).context("symbols")?))
            }
            None => self.guests[&settings.guest].symbols(None, self.signals)?,
        };
        self.symbols.insert(key, symbols.clone());
        Ok(symbols)
    }

    fn initrd(&mut self, name: &Path) -> Result<GuestImage> {
        if let Some(image) = self.initrds.get(name) {
            return Ok(image.clone());
        }
        let mut image = self.read(name, "initrd")?;
        share(&mut image);
        self.initrds.insert(name.into(), image.clone());
        Ok(image)
    }

    /// Reads a file whole, and adds its hash.
    fn read(&mut self, name: &Path, what: &str) -> Result<GuestImage> {
        let path = self.path(name);
        let name = path.display().to_string();
        let bytes = input::regular(&path)
            .map_err(input::Error::from)
            .and_then(|()| input::bytes(&path, self.signals));
        let bytes = bytes.with_context(|| format!("{what} {name}: can't be read"))?;
        self.images.insert(Image { name: name.clone(), hash: image_hash(&bytes) });
        Ok(GuestImage { name, bytes: Cow::Owned(bytes) })
    }

    /// A disk, whose hash is added. It is read piece by piece.
    fn disk(&mut self, disk: &DiskConfig) -> Result<DiskConfig> {
        let path = self.path(&disk.path);
        let name = path.display().to_string();
        if !self.images.iter().any(|image| image.name == name) {
            let mut hash = ImageHash::default();
            let read = input::pieces(&path, self.signals, |piece| hash.add(piece));
            read.with_context(|| format!("disk {name}: can't be read"))?;
            self.images.insert(hash.image(name));
        }
        Ok(DiskConfig { path, mode: disk.mode })
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

/// Whether nothing of the guest is to be named, as with `--symbols none`.
fn is_nameless(settings: &CellSettings) -> bool {
    settings.symbols.as_deref() == Some(Path::new("none"))
}

/// Makes the copies of an image share its bytes, which then stay until the program ends: each run
/// has a copy of its machine's configuration.
fn share(image: &mut GuestImage) {
    let bytes = std::mem::take(&mut image.bytes);
    image.bytes = Cow::Borrowed(Box::leak(bytes.into_owned().into_boxed_slice()));
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
