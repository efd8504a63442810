//! The folder that findings are written to.
//!
//! A finding whose file can't be written is not lost: its text is printed on standard error.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use experiments::Finding;
use experiments::finding::check_folder;

use crate::guest::Guest;

/// The folder of `--out`, for the findings of one guest.
pub(crate) struct FindingFolder<'a> {
    folder: &'a Path,
    guest: &'a Guest,
}

/// A file of a finding.
pub(crate) struct FindingFile {
    pub(crate) path: PathBuf,
    /// Whether this command has created the file.
    pub(crate) is_ours: bool,
}

impl<'a> FindingFolder<'a> {
    /// Fails before the work begins if no file can be written in the folder.
    pub(crate) fn check(folder: &'a Path, guest: &'a Guest) -> Result<Self> {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("--out {}: can't be made", folder.display()))?;
        check_folder(folder).context("--out")?;
        Ok(Self { folder, guest })
    }

    /// Writes a finding to a file `GUEST-SEED-RUN.finding`; if another file has that name, to
    /// `GUEST-SEED-RUN.1.finding`, and so on.
    pub(crate) fn write(&self, finding: &Finding) -> Result<FindingFile> {
        let stem =
            Path::new(&self.guest.image.name).file_stem().unwrap_or_default().to_string_lossy();
        let stem = format!("{stem}-{}-{}", finding.search.seed, finding.search.run);
        let (path, is_ours) = finding.write_new(self.folder, &stem)?;
        Ok(FindingFile { path, is_ours })
    }
}

/// Prints a finding whose file could not be written.
pub(crate) fn print_lost(finding: &Finding, error: &anyhow::Error, print: impl Fn(&str)) {
    print(&format!("jitterbug: {error:#}: the finding follows"));
    print(finding.to_text().trim_end());
}

/// The last line about findings that could not be written.
pub(crate) const LOST: &str =
    "jitterbug: the finding above could not be written (status 6): keep its text";
