//! Finds the source lines that a report refers to.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Component, Path, PathBuf};

use super::Report;
use crate::cause::naming::Named;

/// Lines shown before and after the line of an access of a pair.
const AROUND: u32 = 2;
/// A larger file is not read.
const LARGEST: u64 = 4 << 20;

/// Source lines by number, for each file as the compiler recorded it.
pub type Source = BTreeMap<String, BTreeMap<u32, String>>;

impl Report {
    /// Reads the lines from files in these folders, if the files are there.
    pub fn read_source(&mut self, folders: &[PathBuf]) {
        let mut wanted: BTreeMap<String, Vec<(u32, u32)>> = BTreeMap::new();
        let mut want = |access: &Named, around: u32| {
            if let (Some(file), Some(line)) = (&access.file, access.line) {
                let lines = (line.saturating_sub(around), line.saturating_add(around));
                wanted.entry(file.clone()).or_default().push(lines);
            }
        };
        for pair in &self.pairs {
            let all = [Some(&pair.first), Some(&pair.second), pair.meets.as_ref()];
            all.into_iter().flatten().for_each(|access| want(access, AROUND));
        }
        let steps = self.steps.iter().filter_map(|step| step.access.as_ref());
        steps.for_each(|access| want(access, 0));
        for (file, ranges) in wanted {
            let Some(text) = read(&file, folders) else { continue };
            let lines = (1..).zip(text.lines());
            let lines = lines.filter(|(number, _)| {
                ranges.iter().any(|(from, to)| (*from..=*to).contains(number))
            });
            let lines = lines.map(|(number, line)| (number, line.to_owned())).collect();
            self.source.insert(file, lines);
        }
    }
}

/// Reads a source file from one of the folders: under the path that the compiler recorded, or by
/// its file name alone.
///
/// The path comes from the image, which may be a stranger's, and its lines go into a report that
/// may be passed on. So a file is read only if it is below one of the folders when all links are
/// followed, and nothing on the way from there has a hidden name, as a key or a password has.
fn read(file: &str, folders: &[PathBuf]) -> Option<String> {
    let name = Path::new(file).file_name()?;
    folders
        .iter()
        .filter_map(|folder| folder.canonicalize().ok())
        .flat_map(|folder| {
            let paths = [folder.join(file), folder.join(name)];
            paths.into_iter().filter_map(move |path| below(&folder, &path))
        })
        .find(|path| fs::metadata(path).is_ok_and(|it| it.is_file() && it.len() <= LARGEST))
        .and_then(|path| fs::read_to_string(path).ok())
}

/// Where the path leads, if that is below the folder and not hidden there.
fn below(folder: &Path, path: &Path) -> Option<PathBuf> {
    let real = path.canonicalize().ok()?;
    let rest = real.strip_prefix(folder).ok()?;
    let is_hidden = |part: Component| part.as_os_str().as_encoded_bytes().starts_with(b".");
    (!rest.components().any(is_hidden)).then_some(real)
}

#[cfg(test)]
#[path = "source_tests.rs"]
mod tests;
