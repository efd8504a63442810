//! The files that an explanation is written to.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::file::OutputFile;

/// Options for the files that an explanation is written to.
#[derive(Debug, Args)]
pub(crate) struct PageArgs {
    /// Write the explanation as an HTML page, which needs no other file
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,

    /// Search for the guest's source in this folder, too [default: only in the current folder]
    #[arg(long, value_name = "DIR")]
    source: Vec<PathBuf>,
}

/// The same, with `--trace`; for commands that have no other trace.
#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    #[command(flatten)]
    pages: PageArgs,

    /// Write the shortest schedule as a trace that Perfetto opens
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
}

impl PageArgs {
    pub(crate) fn get(&self) -> Pages<'_> {
        Pages { html: self.html.as_deref(), trace: None, source: &self.source }
    }
}

impl ReportArgs {
    pub(crate) fn get(&self) -> Pages<'_> {
        Pages { trace: self.trace.as_deref(), ..self.pages.get() }
    }
}

/// The files that an explanation is written to, and where to search for source.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pages<'a> {
    pub(crate) html: Option<&'a Path>,
    pub(crate) trace: Option<&'a Path>,
    pub(crate) source: &'a [PathBuf],
}

/// The same after the check.
#[derive(Debug)]
pub(crate) struct PageFiles<'a> {
    pub(crate) html: Option<OutputFile>,
    pub(crate) trace: Option<OutputFile>,
    pub(crate) source: &'a [PathBuf],
}

impl<'a> Pages<'a> {
    /// Fails before the work begins if a file can't be written or a folder is missing, or if one of
    /// these options is given and nothing is explained.
    pub(crate) fn check(self, explains: bool) -> anyhow::Result<PageFiles<'a>> {
        if let (Some(option), false) = (self.given(), explains) {
            anyhow::bail!("{option}: that is for --explain, which is not there");
        }
        let check = |option, file: Option<&Path>| {
            file.map(|file| OutputFile::check(option, file)).transpose()
        };
        let (html, trace) = (check("--html", self.html)?, check("--trace", self.trace)?);
        match self.source.iter().find(|folder| !folder.is_dir()) {
            Some(folder) => anyhow::bail!("--source {}: no such folder", folder.display()),
            None => Ok(PageFiles { html, trace, source: self.source }),
        }
    }

    /// The files that are written.
    pub(crate) fn files(self) -> impl Iterator<Item = &'a Path> {
        self.html.into_iter().chain(self.trace)
    }

    /// The first option that was given.
    fn given(self) -> Option<&'static str> {
        let options = [
            ("--html", self.html.is_some()),
            ("--trace", self.trace.is_some()),
            ("--source", !self.source.is_empty()),
        ];
        options.into_iter().find(|(_, given)| *given).map(|(option, _)| option)
    }
}
