//! Files that the user names by an option.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use experiments::part::Part;

/// A file that is being written.
pub(crate) enum Output {
    Part(Part),
    InPlace(File),
}

impl Output {
    pub(crate) fn file(&self) -> io::Result<File> {
        match self {
            Self::Part(part) => part.file().try_clone(),
            Self::InPlace(file) => file.try_clone(),
        }
    }

    /// Called when everything is written.
    pub(crate) fn keep(self) -> io::Result<()> {
        match self {
            Self::Part(part) => part.keep(),
            Self::InPlace(_) => Ok(()),
        }
    }
}

/// A file that is written at the end.
pub(crate) struct OutputFile {
    option: &'static str,
    path: PathBuf,
}

impl OutputFile {
    pub(crate) fn new(option: &'static str, path: &Path) -> Self {
        Self { option, path: path.into() }
    }

    /// Fails before the work begins if the file can't be written, so that a wrong name is not
    /// reported an hour later. An existing file stays unchanged until there is something to write.
    pub(crate) fn check(option: &'static str, path: &Path) -> Result<Self> {
        let file = Self::new(option, path);
        if path == Path::new("-") {
            bail!("{option} -: it takes a file, not standard output (./- names a file like that)");
        }
        let writable = if path.exists() {
            OpenOptions::new().append(true).open(path).map(drop)
        } else {
            Part::of(path).map(drop)
        };
        writable.with_context(|| file.unwritable())?;
        Ok(file)
    }

    /// Writes the file, whole or not at all.
    pub(crate) fn write(&self, write: impl FnOnce(File) -> io::Result<()>) -> Result<()> {
        let written = self.begin().and_then(|output| {
            write(output.file()?)?;
            output.keep()
        });
        written.with_context(|| self.unwritable())
    }

    /// Begins to write the file. An existing file stays until everything is written, where that is
    /// possible.
    pub(crate) fn begin(&self) -> io::Result<Output> {
        // A device or pipe can't be replaced by renaming, nor can a file in a folder where no file
        // can be created.
        if self.path.exists() && !self.path.is_file() {
            return File::create(&self.path).map(Output::InPlace);
        }
        match Part::of(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied && self.path.exists() => {
                File::create(&self.path).map(Output::InPlace)
            }
            part => part.map(Output::Part),
        }
    }

    /// Writes a text.
    pub(crate) fn text(&self, text: &str) -> Result<()> {
        self.write(|mut file| file.write_all(text.as_bytes()))
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
