//! Finds the guest that a GUEST|FILE argument names.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use experiments::Finding;
use experiments::finding::{Machine, image_hash};
use inspect::Symbols;
use inspect::suggest::nearest;
use vmm::boot::kind::{ImageKind, is_linux};
use vmm::controlled::Granularity;
use vmm::limits::Watchdog;
use vmm::signals::Signals;
use vmm::{CpuCount, Criteria, GuestImage, MachineConfig};

use crate::args::MachineArgs;
use crate::input;

/// How long to wait for a sign of life, by default.
const WATCHDOG: std::time::Duration = std::time::Duration::from_secs(3);

/// A guest to run, and what the catalogue says about it.
pub(crate) struct Guest {
    pub(crate) image: GuestImage,
    default_cpus: u32,
    endless: bool,
    /// Whether the guest may end up idle. Guests of the catalogue report when they have finished.
    pub(crate) may_idle: bool,
}

impl Guest {
    /// A guest of the catalogue, or else a file.
    pub(crate) fn find(name: &str, signals: &Signals) -> Result<Self> {
        if let Some(guest) = guests::find(name) {
            let bytes = Cow::Borrowed(guest.image);
            return Ok(Self {
                image: GuestImage { name: name.into(), bytes },
                default_cpus: guest.default_cpus,
                endless: guest.endless,
                may_idle: false,
            });
        }
        if name.is_empty() {
            bail!("the guest's name is empty: `jitterbug guests` lists the catalogue");
        }
        let path = Path::new(name);
        if path.exists() { Self::read(path, signals) } else { bail!(unknown(name)) }
    }

    /// The guest that a finding is about, or `other` if the user names another one.
    pub(crate) fn of_finding(
        finding: &Finding,
        file: &Path,
        other: Option<&str>,
        signals: &Signals,
    ) -> Result<Self> {
        let Machine { guest: name, guest_hash, .. } = &finding.machine;
        let elsewhere = "the finding's guest (name another place by --guest)";
        if other.is_some() || guests::find(name).is_some() {
            return Self::find(other.unwrap_or(name), signals).context(elsewhere);
        }
        let mut first = None;
        for path in places(finding, file) {
            let guest = Self::read(&path, signals).context(elsewhere)?;
            if image_hash(&guest.image.bytes) == *guest_hash {
                return Ok(guest);
            }
            first.get_or_insert(guest);
        }
        first.with_context(|| {
            format!(
                "{name}: the finding's guest is neither there nor beside the finding: name its place \
                 by --guest"
            )
        })
    }

    /// Reads a guest from a file. Its name is made absolute, so that findings and commands are
    /// valid in other folders.
    fn read(path: &Path, signals: &Signals) -> Result<Self> {
        let bytes = input::bytes(path, signals);
        let bytes = bytes.with_context(|| format!("{}: can't be read", path.display()))?;
        let absolute = std::path::absolute(path).with_context(|| format!("{}", path.display()))?;
        let Some(name) = absolute.to_str() else {
            bail!(
                "{}: the path is not valid UTF-8, and findings couldn't name it: copy the guest to \
                 another folder",
                absolute.display()
            );
        };
        Ok(Self {
            default_cpus: 1,
            // An operating system, or a memory test, computes and sleeps for as long as it likes.
            endless: is_linux(&bytes) || ImageKind::of(&bytes) == Some(ImageKind::BzImage),
            may_idle: true,
            image: GuestImage { name: name.into(), bytes: Cow::Owned(bytes) },
        })
    }

    /// Reads the file that `--initrd` names.
    pub(crate) fn initrd(path: Option<&Path>, signals: &Signals) -> Result<Option<GuestImage>> {
        let Some(path) = path else { return Ok(None) };
        let name = format!("--initrd {}", path.display());
        let bytes =
            input::bytes(path, signals).with_context(|| format!("{name}: can't be read"))?;
        Ok(Some(GuestImage { name, bytes: Cow::Owned(bytes) }))
    }

    /// The machine that the arguments describe.
    pub(crate) fn machine(&self, args: &MachineArgs) -> Result<MachineConfig> {
        let cpus = args.cpus.map_or_else(|| CpuCount::new(self.default_cpus), Ok)?;
        Ok(MachineConfig {
            guest: self.image.clone(),
            initrd: None,
            cpus,
            memory: args.mem,
            identity: args.identity,
            command_line: args.cmdline.clone(),
            disks: args.disk.clone(),
            rng: args.rng,
            virtio_console: args.virtio_console,
            faults: Vec::new(),
            granularity: Granularity::default(),
            criteria: Criteria { may_idle: self.may_idle, ..Criteria::default() },
        })
    }

    /// The watchdog's window. A guest that by design runs for ever has no watchdog unless the user
    /// asks for one.
    pub(crate) fn watchdog(&self, asked: Option<Watchdog>) -> Option<std::time::Duration> {
        match asked {
            Some(Watchdog::After(window)) => Some(window),
            Some(Watchdog::Off) => None,
            None => (!self.endless).then_some(WATCHDOG),
        }
    }

    /// The guest's symbols: its own, or those of another file, or none. A file that the user names
    /// must be readable; the image's own symbols are optional.
    pub(crate) fn symbols(
        &self,
        asked: Option<&Path>,
        signals: &Signals,
    ) -> Result<Option<Arc<Symbols>>> {
        let (name, bytes) = match asked {
            Some(path) if path == Path::new("none") => return Ok(None),
            Some(path) => {
                let bytes = input::bytes(path, signals)
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

/// The paths where the file of a finding's guest may be: the recorded path, relative to the current
/// folder or to the finding's, and beside the finding.
pub(crate) fn places(finding: &Finding, file: &Path) -> impl Iterator<Item = PathBuf> {
    let guest = PathBuf::from(&finding.machine.guest);
    let folder = file.parent().unwrap_or(Path::new(""));
    let beside = guest.file_name().map(|name| folder.join(name));
    let places = [Some(guest.clone()), Some(folder.join(guest)), beside];
    places.into_iter().flatten().filter(|path| path.is_file())
}

/// The message for a name that is neither a file nor a guest of the catalogue.
fn unknown(name: &str) -> String {
    let near = similar(name);
    let instead = near.map_or_else(
        || "`jitterbug guests` lists those".into(),
        |near| format!("did you mean `{near}`?"),
    );
    format!("{name}: neither a file nor a guest of the catalogue: {instead}")
}

/// The guest of the catalogue that the user may have meant: its name is like this one, or like this
/// one without a folder and an extension, or begins with that.
fn similar(name: &str) -> Option<&'static str> {
    let names = || guests::catalogue().iter().map(|guest| guest.name);
    let stem = Path::new(name).file_stem().and_then(OsStr::to_str).unwrap_or(name);
    nearest(name, names())
        .or_else(|| names().find(|guest| *guest == stem))
        .or_else(|| nearest(stem, names()))
        .or_else(|| names().find(|guest| guest.split('-').next() == Some(stem)))
}
