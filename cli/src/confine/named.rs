//! The files that a command names, and what it does with them.

use std::env;
use std::path::{Path, PathBuf};

use landlock::{AccessFs, BitFlags, make_bitflags};
use vmm::MachineConfig;
use vmm::disk::{DiskConfig, DiskMode};

use super::folder_of;
use crate::args::Pages;
use crate::gdb::Address;

/// What is read.
const READ: BitFlags<AccessFs> = make_bitflags!(AccessFs::{ReadFile | ReadDir});
/// What is changed in its place: a disk, a device, a FIFO.
const CHANGE: BitFlags<AccessFs> =
    make_bitflags!(AccessFs::{ReadFile | ReadDir | WriteFile | Truncate | IoctlDev});
/// Where files and sockets are made and replaced. Landlock has no rule for a file that is not there
/// yet: the folder has to be given, with all that is in it.
const MAKE: BitFlags<AccessFs> = make_bitflags!(AccessFs::{
    ReadFile | ReadDir | WriteFile | Truncate | IoctlDev | MakeReg | MakeSock | RemoveFile
});
/// Where dumps are written: nothing that is there can be read.
const DUMP: BitFlags<AccessFs> =
    make_bitflags!(AccessFs::{WriteFile | Truncate | MakeReg | RemoveFile});

/// What the program reads of the system whatever the command is: the limits of its control group
/// and the allocator's setting, and `SQLite`'s randomness.
const SYSTEM: [&str; 4] =
    ["/proc/self", "/sys/fs/cgroup", "/proc/sys/vm/overcommit_memory", "/dev/urandom"];
/// What the backtrace of a panic reads besides: the program, its libraries, and their symbols.
const LIBRARIES: [&str; 3] = ["/usr/lib", "/lib", "/lib64"];

/// The files of a command.
#[derive(Debug)]
pub(crate) struct Files {
    rights: Vec<(PathBuf, BitFlags<AccessFs>)>,
    port: Option<u16>,
}

impl Files {
    /// Only what every command needs.
    pub(crate) fn none() -> Self {
        let files = Self { rights: Vec::new(), port: None };
        let files = SYSTEM.iter().fold(files, Self::read);
        let wants_backtraces = env::var_os("RUST_BACKTRACE").is_some_and(|value| value != "0");
        if !wants_backtraces {
            return files;
        }
        LIBRARIES.iter().fold(files, Self::read).read(env::current_exe().unwrap_or_default())
    }

    /// Adds a file, or a folder with all that is in it, to be read.
    pub(crate) fn read(self, path: impl AsRef<Path>) -> Self {
        self.with(path.as_ref(), READ)
    }

    /// Adds a folder in which files are made.
    pub(crate) fn make_in(self, folder: impl AsRef<Path>) -> Self {
        self.with(folder.as_ref(), MAKE)
    }

    /// Adds a file that is written: replaced, or changed in its place if it can't be. If it is a
    /// symbolic link, its target is.
    pub(crate) fn output(self, path: &Path) -> Self {
        let real = path.canonicalize().unwrap_or_else(|_| path.into());
        // A device is in a folder with others; it is not replaced.
        if real.exists() && !real.is_file() {
            return self.with(&real, CHANGE);
        }
        self.make_in(folder_of(&real))
    }

    /// Adds the files that are written, if they are.
    pub(crate) fn outputs<'a>(self, paths: impl IntoIterator<Item = &'a Path>) -> Self {
        paths.into_iter().fold(self, Self::output)
    }

    /// Adds the disks of a machine.
    pub(crate) fn machine(self, machine: &MachineConfig) -> Self {
        machine.disks.iter().fold(self, Self::disk)
    }

    fn disk(self, disk: &DiskConfig) -> Self {
        match disk.mode {
            DiskMode::ReadWrite => self.with(&disk.path, CHANGE),
            DiskMode::ReadOnly => self.read(&disk.path),
            // What is written is in a file without a name.
            DiskMode::CopyOnWrite => self.read(&disk.path).make_in(env::temp_dir()),
        }
    }

    /// Adds what an explanation reads and writes.
    pub(crate) fn pages(self, pages: Pages) -> Self {
        let files = self.read(".").outputs(pages.files());
        pages.source.iter().fold(files, Self::read)
    }

    /// Adds where dumps can be written whose names are not known yet.
    pub(crate) fn dumps(self) -> Self {
        self.with(Path::new("."), DUMP).with(&env::temp_dir(), DUMP)
    }

    /// Adds the place at which clients connect.
    pub(crate) fn address(mut self, address: &Address) -> Self {
        match address {
            Address::Socket(path) => self.make_in(folder_of(path)),
            Address::Port(port) => {
                self.port = Some(*port);
                self
            }
        }
    }

    fn with(mut self, path: &Path, rights: BitFlags<AccessFs>) -> Self {
        self.rights.push((path.into(), rights));
        self
    }

    /// The rights, for each file or folder.
    pub(super) fn rights(&self) -> impl Iterator<Item = (&Path, BitFlags<AccessFs>)> {
        self.rights.iter().map(|(path, rights)| (path.as_path(), *rights))
    }

    /// The TCP port at which clients connect.
    pub(super) fn port(&self) -> Option<u16> {
        self.port
    }
}
