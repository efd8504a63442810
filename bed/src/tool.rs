//! Runs other programs.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::{Error, Result};

/// How many lines of a failed program's output are shown.
const LINES: usize = 8;

/// Finds a program on the search path.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// Runs a program in a folder, in the C locale, and returns its standard output.
pub(crate) fn run<S: AsRef<OsStr>>(
    program: &Path,
    arguments: &[S],
    folder: &Path,
) -> Result<Vec<u8>> {
    let mut command = Command::new(program);
    command.args(arguments);
    finish(command, folder)
}

/// Like [`run`], with libraries in a folder.
pub(crate) fn run_with_libraries<S: AsRef<OsStr>>(
    program: &Path,
    arguments: &[S],
    folder: &Path,
    libraries: &Path,
) -> Result<Vec<u8>> {
    let mut command = Command::new(program);
    command.args(arguments).env("LD_LIBRARY_PATH", libraries);
    finish(command, folder)
}

fn finish(mut command: Command, folder: &Path) -> Result<Vec<u8>> {
    command.current_dir(folder).env("LC_ALL", "C").stdin(Stdio::null());
    let shown = shown(&command);
    let output = command
        .output()
        .map_err(|error| Error::Tool { command: shown.clone(), said: error.to_string() })?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let mut said = tail(&String::from_utf8_lossy(&output.stderr), LINES);
    if said.is_empty() {
        said = output.status.to_string();
    }
    Err(Error::Tool { command: shown, said })
}

/// The last lines of a text, indented.
pub(crate) fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    let last = &all[all.len().saturating_sub(lines)..];
    last.iter().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
