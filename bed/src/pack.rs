//! Packs what the machine needs for a job.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::error::Result;
use crate::initramfs::Initramfs;
use crate::input;
use crate::job::Job;
use crate::parts::Parts;

/// The archive with everything that the machine needs for a job.
pub(crate) fn pack(parts: &Parts, job: &Job) -> Result<Initramfs> {
    let host = parts.host();
    let mut inside = Initramfs::new(host.is_slow_to_load());
    for folder in ["/bin", "/dev", "/proc", "/sys", "/bed"] {
        inside.folder(Path::new(folder))?;
    }
    inside.scratch(Path::new("/tmp"))?;
    inside.folder(&job.folder)?;
    for file in job.files.iter().chain([&job.program]) {
        inside.carry(file)?;
    }
    inside.copy(Path::new("/bin/busybox"), &parts.busybox(), 0o755)?;
    for module in parts.modules()? {
        let name = module.file_name().unwrap_or_default();
        inside.copy(&Path::new("/bed/modules").join(name), &module, 0o644)?;
    }
    inside.text(Path::new("/bed/module-options"), host.module_options(), 0o644)?;
    inside.text(Path::new("/init"), include_str!("init.sh"), 0o755)?;
    inside.text(Path::new("/bed/streams"), host.streams(), 0o644)?;
    if !host.has_live_input() {
        inside.text(Path::new("/bed/input"), input::file()?, 0o644)?;
    }
    inside.text(Path::new("/bed/job"), script(job), 0o644)?;
    // The text is empty if no files are carried out.
    let results = job.results.as_deref().unwrap_or(Path::new(""));
    inside.folder(results)?;
    inside.text(Path::new("/bed/results"), results.as_os_str().as_bytes(), 0o644)?;
    Ok(inside)
}

/// The job as a shell script.
fn script(job: &Job) -> Vec<u8> {
    let mut script = b"cd ".to_vec();
    script.extend(quoted(job.folder.as_os_str()));
    script.extend(b" || exit 127\n");
    for (name, value) in &job.environment {
        script.extend([b"export ", name.as_bytes(), b"="].concat());
        script.extend(quoted(value));
        script.push(b'\n');
    }
    script.extend(b"exec");
    let arguments = job.arguments.iter().map(OsString::as_os_str);
    for word in std::iter::once(job.program.as_os_str()).chain(arguments) {
        script.push(b' ');
        script.extend(quoted(word));
    }
    script.push(b'\n');
    script
}

/// Quotes a word for a shell.
fn quoted(word: &OsStr) -> Vec<u8> {
    let mut quoted = vec![b'\''];
    for &byte in word.as_bytes() {
        if byte == b'\'' { quoted.extend(br"'\''") } else { quoted.push(byte) }
    }
    quoted.push(b'\'');
    quoted
}

#[cfg(test)]
#[path = "pack_tests.rs"]
mod tests;
