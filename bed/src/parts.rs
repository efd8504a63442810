//! The parts of the test bed: a kernel, its modules, busybox, and the Intel host's emulator. They
//! are fetched once and kept.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use crate::apt::Apt;
use crate::bochs::{self, Bochs};
use crate::error::{At, Error, Result};
use crate::host::Host;
use crate::modules::{self, Modules};
use crate::qemu::Qemu;

/// The environment variable that names another folder for the parts.
pub const FOLDER_VARIABLE: &str = "JITTERBUG_BED";

const KERNEL: &str = "vmlinuz";
const BUSYBOX: &str = "busybox";
const MODULES: &str = "modules";
const DRIVERS: &str = "drivers";
/// What a guest of the emulated machine needs for the devices that jitterbug gives it.
const GUEST_DRIVERS: [&str; 4] = ["virtio_mmio", "virtio_blk", "virtio_rng", "virtio_console"];
const PACKAGE: &str = "package";

/// The parts, as files.
#[derive(Clone, Debug)]
pub struct Parts {
    host: Host,
    folder: PathBuf,
    emulator: Emulator,
}

/// The emulator of a host.
#[derive(Clone, Debug)]
pub(crate) enum Emulator {
    Qemu(Qemu),
    Bochs(Bochs),
}

impl Parts {
    /// Returns the kept parts, or else fetches them; `tell` gets a message that this takes a while.
    /// For the AMD host, QEMU must be installed.
    pub fn get(host: Host, tell: impl Fn(&str)) -> Result<Self> {
        let kept = folder()?;
        let folder = kept.join(host.kept());
        let emulator = match host {
            Host::Amd => Emulator::Qemu(Qemu::find()?),
            Host::Intel(processor) => {
                Emulator::Bochs(Bochs::of(&folder, folder.join(KERNEL), processor))
            }
        };
        if !folder.is_dir() {
            let names = match host {
                Host::Amd => "kernel and busybox",
                Host::Intel(_) => "kernel, busybox and Bochs",
            };
            let place = kept.display();
            tell(&format!("the test bed: fetches Debian's {names} into {place}"));
            fs::create_dir_all(&kept).at(&kept)?;
            fetch(host, &kept, &folder)?;
        }
        Ok(Self { host, folder, emulator })
    }

    /// The host that is emulated.
    pub(crate) fn host(&self) -> Host {
        self.host
    }

    /// The emulator.
    pub(crate) fn emulator(&self) -> &Emulator {
        &self.emulator
    }

    /// The path of the kernel's image.
    pub fn kernel(&self) -> PathBuf {
        self.folder.join(KERNEL)
    }

    /// The path of busybox, which provides all other programs.
    pub fn busybox(&self) -> PathBuf {
        self.folder.join(BUSYBOX)
    }

    /// The paths of the modules, in the order in which they have to be loaded.
    pub(crate) fn modules(&self) -> Result<Vec<PathBuf>> {
        let folder = self.folder.join(MODULES);
        let entries = fs::read_dir(&folder).at(&folder)?;
        let mut files =
            entries.map(|entry| Ok(entry.at(&folder)?.path())).collect::<Result<Vec<PathBuf>>>()?;
        files.sort();
        Ok(files)
    }

    /// The folder with the kernel's drivers for virtio devices, for guests that boot the same
    /// kernel. Their names sort in the order in which they have to be loaded.
    pub fn drivers(&self) -> PathBuf {
        self.folder.join(DRIVERS)
    }

    /// The package that the kernel came from.
    pub fn kernel_package(&self) -> Result<String> {
        let file = self.folder.join(PACKAGE);
        fs::read_to_string(&file).at(&file)
    }
}

/// The folder for the parts: [`FOLDER_VARIABLE`], or `jitterbug/bed` in the user's cache.
pub(crate) fn folder() -> Result<PathBuf> {
    let absolute = |value: OsString| Some(PathBuf::from(value)).filter(|path| path.is_absolute());
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(value) = variable(FOLDER_VARIABLE) {
        return std::path::absolute(&value).at(Path::new(&value));
    }
    let cache = variable("XDG_CACHE_HOME")
        .and_then(absolute)
        .or_else(|| Some(variable("HOME").and_then(absolute)?.join(".cache")));
    cache.map(|cache| cache.join("jitterbug/bed")).ok_or_else(|| Error::Missing {
        what: "a folder to keep its parts in".into(),
        remedy: format!("set HOME, or name a folder by {FOLDER_VARIABLE}"),
    })
}

/// Fetches the parts. If other processes do the same at the same time, the first one wins.
fn fetch(host: Host, kept: &Path, to: &Path) -> Result<()> {
    let scratch = tempfile::Builder::new().prefix("fetch-").tempdir_in(kept).at(kept)?;
    let scratch = scratch.path();
    let unpacked = scratch.join("unpacked");
    fs::create_dir(&unpacked).at(&unpacked)?;
    let package = Apt::with_either_lists(scratch, |apt| unpack(host, apt, &unpacked))?;

    let parts = scratch.join("parts");
    fs::create_dir_all(&parts).at(&parts)?;
    let busybox = parts.join(BUSYBOX);
    let unpacked_busybox =
        first(&package, [unpacked.join("bin/busybox"), unpacked.join("usr/bin/busybox")])?;
    fs::copy(&unpacked_busybox, &busybox).at(&busybox)?;
    let version = package.trim_start_matches("linux-image-");
    let kernel = unpacked.join("boot").join(format!("vmlinuz-{version}"));
    fs::copy(first(&package, [kernel])?, parts.join(KERNEL)).at(&parts)?;
    let folders = ["lib/modules", "usr/lib/modules"].map(|path| unpacked.join(path).join(version));
    let modules = Modules::of(&package, &first(&package, folders)?, &busybox)?;
    keep(host, &modules.needed(host.modules())?, &parts.join(MODULES))?;
    keep(host, &modules.needed(&GUEST_DRIVERS)?, &parts.join(DRIVERS))?;
    if matches!(host, Host::Intel(_)) {
        bochs::keep(&unpacked, &parts)?;
    }
    let file = parts.join(PACKAGE);
    fs::write(&file, &package).at(&file)?;
    rename(&parts, to)
}

/// Gives a folder its name. If another process was first, its folder stays.
pub(crate) fn rename(from: &Path, to: &Path) -> Result<()> {
    match fs::rename(from, to) {
        Err(_) if to.is_dir() => Ok(()),
        done => done.at(to),
    }
}

/// Keeps modules in a folder, with names that sort in their order.
fn keep(host: Host, needed: &[(String, Vec<u8>)], folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).at(folder)?;
    for (number, (name, content)) in needed.iter().enumerate() {
        let file = folder.join(format!("{number:02}-{name}.ko"));
        let content =
            if host.is_slow_to_load() { modules::without_signature(content) } else { content };
        fs::write(&file, content).at(&file)?;
    }
    Ok(())
}

/// Unpacks the packages and returns the name of the kernel's package.
fn unpack(host: Host, apt: &Apt, folder: &Path) -> Result<String> {
    let kernel = apt.kernel()?;
    let mut packages = vec![kernel.clone()];
    packages.extend(host.packages().iter().map(|&name| name.to_owned()));
    if matches!(host, Host::Intel(_)) {
        // This machine may lack libraries of Bochs. QEMU is installed with its own.
        packages.extend(apt.missing_libraries(host.packages())?);
    }
    packages.sort();
    packages.dedup();
    apt.unpack(&packages, folder)?;
    Ok(kernel)
}

/// The first of these paths that exists.
fn first<const N: usize>(package: &str, paths: [PathBuf; N]) -> Result<PathBuf> {
    let shown = paths.each_ref().map(|path| path.display().to_string()).join(", ");
    paths.into_iter().find(|path| path.exists()).ok_or_else(|| Error::Package {
        package: package.to_owned(),
        problem: format!("none of {shown} is in it"),
    })
}
