//! Files that the user names by an option.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use experiments::part::Part;
use nix::errno::Errno;
use nix::libc::{O_NOCTTY, O_NONBLOCK};

use crate::writer::Stream;

/// A file that is being written.
pub(crate) enum Output {
    Part(Part),
    InPlace(File),
    /// An open FIFO. A write to it doesn't wait for the reader.
    Fifo(File),
}

impl Output {
    pub(crate) fn file(&self) -> io::Result<File> {
        match self {
            Self::Part(part) => part.file().try_clone(),
            Self::InPlace(file) | Self::Fifo(file) => file.try_clone(),
        }
    }

    /// Writes the content. If this is a FIFO, the writer's thread does so, which waits for the
    /// reader only as long as signals allow.
    fn write(&self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
        match self {
            Self::Part(part) => write(&mut part.file()),
            Self::InPlace(file) => write(&mut &*file),
            Self::Fifo(file) => {
                let mut stream = Stream::to(file.try_clone()?);
                let written = write(&mut stream);
                let closed = stream.close();
                written.and(closed)
            }
        }
    }

    /// Called when everything is written.
    pub(crate) fn keep(self) -> io::Result<()> {
        match self {
            Self::Part(part) => part.keep(),
            Self::InPlace(_) | Self::Fifo(_) => Ok(()),
        }
    }
}

/// A file that is written at the end.
#[derive(Debug)]
pub(crate) struct OutputFile {
    option: &'static str,
    path: PathBuf,
    /// The FIFO, if it is one and was checked. If it were closed after the check, its reader would
    /// see the end of the file.
    fifo: Option<File>,
}

impl OutputFile {
    pub(crate) fn new(option: &'static str, path: &Path) -> Self {
        Self { option, path: path.into(), fifo: None }
    }

    /// Fails before the work begins if the file can't be written, so that a wrong name is not
    /// reported an hour later. An existing file stays unchanged until there is something to write.
    pub(crate) fn check(option: &'static str, path: &Path) -> Result<Self> {
        let mut file = Self::new(option, path);
        if path == Path::new("-") {
            bail!("{option} -: it takes a file, not standard output (./- names a file like that)");
        }
        let writable = if is_fifo(path) {
            open(path, OpenOptions::new().write(true)).map(|fifo| file.fifo = Some(fifo))
        } else if path.exists() {
            open(path, OpenOptions::new().append(true)).map(drop)
        } else {
            Part::of(path).map(drop)
        };
        writable.with_context(|| file.unwritable())?;
        Ok(file)
    }

    /// Writes the file, whole or not at all.
    pub(crate) fn write(&self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
        let written = self.begin().and_then(|output| {
            output.write(write)?;
            output.keep()
        });
        written.with_context(|| self.unwritable())
    }

    /// Begins to write the file. An existing file stays until everything is written, where that is
    /// possible.
    pub(crate) fn begin(&self) -> io::Result<Output> {
        if let Some(fifo) = &self.fifo {
            return fifo.try_clone().map(Output::Fifo);
        }
        if is_fifo(&self.path) {
            return open(&self.path, OpenOptions::new().write(true)).map(Output::Fifo);
        }
        // A device can't be replaced by renaming, nor can a file in a folder where no file can be
        // created.
        if self.path.exists() && !self.path.is_file() {
            return self.in_place();
        }
        match Part::of(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied && self.path.exists() => {
                self.in_place()
            }
            part => part.map(Output::Part),
        }
    }

    fn in_place(&self) -> io::Result<Output> {
        File::create(&self.path).map(Output::InPlace)
    }

    /// Writes a text.
    pub(crate) fn text(&self, text: &str) -> Result<()> {
        self.write(|file| file.write_all(text.as_bytes()))
    }

    /// The option and the file, for messages.
    pub(crate) fn name(&self) -> String {
        format!("{} {}", self.option, self.path.display())
    }

    /// The message if the file can't be written.
    pub(crate) fn unwritable(&self) -> String {
        format!("{}: can't be written", self.name())
    }
}

fn is_fifo(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.file_type().is_fifo())
}

/// Opens a file without waiting: not for the reader of a FIFO, nor for a device.
fn open(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    let flags = O_NONBLOCK | O_NOCTTY;
    options.custom_flags(flags).open(path).map_err(|error| {
        if error.raw_os_error() == Some(Errno::ENXIO as i32) && is_fifo(path) {
            return io::Error::other("no process reads this FIFO");
        }
        error
    })
}
