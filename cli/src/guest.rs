//! What GUEST|FILE means.

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use probes::Symbols;
use vmm::controlled::Granularity;
use vmm::{CpuCount, Criteria, GuestImage, MachineConfig};

use crate::args::{MachineArgs, Watchdog};

/// How long to wait for a sign of life, unless told otherwise.
const WATCHDOG: std::time::Duration = std::time::Duration::from_secs(3);

/// A guest to run, and what the catalogue knows of it.
pub(crate) struct Guest {
    pub(crate) image: GuestImage,
    default_cpus: u32,
    endless: bool,
    /// Whether it may end up idle; those of the catalogue say when they have done their work.
    pub(crate) may_idle: bool,
}

impl Guest {
    /// A guest of the catalogue, or else a file.
    pub(crate) fn find(name: &str) -> Result<Self> {
        if let Some(guest) = guests::find(name) {
            let bytes = Cow::Borrowed(guest.image);
            return Ok(Self {
                image: GuestImage { name: name.into(), bytes },
                default_cpus: guest.default_cpus,
                endless: guest.endless,
                may_idle: false,
            });
        }
        if !Path::new(name).exists() {
            let known: Vec<_> = guests::catalogue().iter().map(|guest| guest.name).collect();
            bail!(
                "{name}: neither a file nor a guest of the catalogue, which has {}",
                known.join(", ")
            );
        }
        let bytes = std::fs::read(name).with_context(|| format!("{name}: can't be read"))?;
        Ok(Self {
            image: GuestImage { name: name.into(), bytes: Cow::Owned(bytes) },
            default_cpus: 1,
            endless: false,
            may_idle: true,
        })
    }

    /// The machine that the arguments describe.
    pub(crate) fn machine(&self, args: &MachineArgs) -> Result<MachineConfig> {
        let cpus = args.cpus.map_or_else(|| CpuCount::new(self.default_cpus), Ok)?;
        Ok(MachineConfig {
            guest: self.image.clone(),
            cpus,
            memory: args.mem,
            identity: args.identity,
            command_line: args.cmdline.clone(),
            granularity: Granularity::default(),
            criteria: Criteria { may_idle: self.may_idle, ..Criteria::default() },
        })
    }

    /// The watchdog's window: a guest that runs for ever by design has none, unless one is asked
    /// for.
    pub(crate) fn watchdog(&self, asked: Option<Watchdog>) -> Option<std::time::Duration> {
        match asked {
            Some(Watchdog::After(window)) => Some(window),
            Some(Watchdog::Off) => None,
            None => (!self.endless).then_some(WATCHDOG),
        }
    }

    /// The guest's symbols: its own, or those of another file, or none. A file that was asked for
    /// must be readable; the image's own symbols are a bonus.
    pub(crate) fn symbols(&self, asked: Option<&Path>) -> Result<Option<Arc<Symbols>>> {
        let (name, bytes) = match asked {
            Some(path) if path == Path::new("none") => return Ok(None),
            Some(path) => {
                let bytes = std::fs::read(path)
                    .with_context(|| format!("--symbols {}: can't be read", path.display()))?;
                (path.display().to_string(), Cow::Owned(bytes))
            }
            None => (self.image.name.clone(), self.image.bytes.clone()),
        };
        match Symbols::from_file(name, bytes) {
            Ok(symbols) => Ok(Some(Arc::new(symbols))),
            Err(error) if asked.is_some() => Err(error).context("--symbols"),
            Err(error) => {
                tracing::info!("no symbols: {error}");
                Ok(None)
            }
        }
    }
}
