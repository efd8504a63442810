//! Files that an option asks for.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// A file to write at the end.
pub(crate) struct OutputFile {
    option: &'static str,
    path: PathBuf,
}

impl OutputFile {
    pub(crate) fn new(option: &'static str, path: &Path) -> Self {
        Self { option, path: path.into() }
    }

    /// Refuses what can't be written before the work begins: a wrong name is told then, not an hour
    /// later. What is there stays until there is something to write.
    pub(crate) fn check(option: &'static str, path: &Path) -> Result<Self> {
        let file = Self::new(option, path);
        if path == Path::new("-") {
            bail!("{option} -: it takes a file, not standard output (./- names a file like that)");
        }
        let is_new = !path.exists();
        let opened = OpenOptions::new().append(true).create(true).open(path);
        opened.with_context(|| file.unwritable())?;
        if is_new {
            // There may be nothing to write.
            let _ = fs::remove_file(path);
        }
        Ok(file)
    }

    /// Writes it.
    pub(crate) fn write(&self, write: impl FnOnce(File) -> std::io::Result<()>) -> Result<()> {
        File::create(&self.path).and_then(write).with_context(|| self.unwritable())
    }

    /// Writes a text.
    pub(crate) fn text(&self, text: &str) -> Result<()> {
        self.write(|mut file| file.write_all(text.as_bytes()))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The option and the file, for messages.
    pub(crate) fn name(&self) -> String {
        format!("{} {}", self.option, self.path.display())
    }

    /// What to say if it can't be written.
    pub(crate) fn unwritable(&self) -> String {
        format!("{}: can't be written", self.name())
    }
}
