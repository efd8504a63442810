//! What an explanation leaves behind.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::file::OutputFile;

/// Where an explanation goes besides.
#[derive(Debug, Default, Args)]
pub(crate) struct PageArgs {
    /// Write the explanation as a page of HTML, which needs no other file
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,

    /// Write the shortest schedule as a trace that Perfetto opens
    #[arg(long, value_name = "FILE")]
    pub(crate) trace: Option<PathBuf>,

    /// Look for the guest's source here, too [default: only in the current folder]
    #[arg(long, value_name = "DIR")]
    pub(crate) source: Vec<PathBuf>,
}

impl PageArgs {
    /// What can't be written or found is refused before the work begins. None of these does anything
    /// if nothing is explained.
    pub(crate) fn check(&self, explains: bool) -> anyhow::Result<()> {
        if let (Some(option), false) = (self.given(), explains) {
            anyhow::bail!("{option}: that is for --explain, which is not there");
        }
        for (option, file) in [("--html", &self.html), ("--trace", &self.trace)] {
            if let Some(file) = file {
                OutputFile::check(option, file)?;
            }
        }
        match self.source.iter().find(|folder| !folder.is_dir()) {
            Some(folder) => anyhow::bail!("--source {}: no such folder", folder.display()),
            None => Ok(()),
        }
    }

    /// Files that are written.
    pub(crate) fn files(&self) -> impl Iterator<Item = &Path> {
        self.html.iter().chain(&self.trace).map(PathBuf::as_path)
    }

    /// The first option that was given.
    fn given(&self) -> Option<&'static str> {
        let options = [
            ("--html", self.html.is_some()),
            ("--trace", self.trace.is_some()),
            ("--source", !self.source.is_empty()),
        ];
        options.into_iter().find(|(_, given)| *given).map(|(option, _)| option)
    }
}
