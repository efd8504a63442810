//! Unpacks the files that are carried out of the test bed.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use cpio::newc::Reader;

use crate::error::{At, Error, Result};

/// Unpacks an archive of files into a folder, and returns the number of files.
pub(crate) fn unpack(archive: &[u8], folder: &Path) -> Result<usize> {
    let mut rest = archive;
    let mut count = 0;
    // The archive is empty if the program wrote no file.
    while !rest.is_empty() {
        let mut file = Reader::new(rest).at(folder)?;
        if file.entry().is_trailer() {
            return Ok(count);
        }
        let path = place(file.entry().name(), folder)?;
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).at(parent)?;
        }
        let size = u64::from(file.entry().file_size());
        let copied = File::create(&path)
            .and_then(|mut to| io::copy(&mut file.by_ref().take(size), &mut to))
            .at(&path)?;
        if copied != size {
            let problem = format!("cut short: {copied} of {size} bytes came out");
            return Err(Error::File { path, problem });
        }
        rest = file.finish().at(folder)?;
        count += 1;
    }
    if count == 0 { Ok(0) } else { Err(truncated(folder)) }
}

fn truncated(folder: &Path) -> Error {
    let problem = "the archive of the files that came out has no end".to_owned();
    Error::File { path: folder.to_owned(), problem }
}

/// The path of a file of the archive. It must be inside the folder, whatever name the archive has.
fn place(name: &str, folder: &Path) -> Result<PathBuf> {
    let path = Path::new(name);
    let inside =
        path.components().all(|part| matches!(part, Component::CurDir | Component::Normal(_)));
    if inside {
        Ok(folder.join(path))
    } else {
        let problem = format!("a file named {name} came out, which is not for this folder");
        Err(Error::File { path: folder.to_owned(), problem })
    }
}

#[cfg(test)]
#[path = "results_tests.rs"]
mod tests;
