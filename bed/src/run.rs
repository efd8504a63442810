//! Runs a job, from the start of the machine to its power-off.

use crate::error::Result;
use crate::job::{Job, Limits};
use crate::pack::pack;
use crate::parts::{Emulator, Parts};
use crate::results;
use crate::scratch::Scratch;

/// Runs a job and returns the program's exit status (128 + n if signal n ended it). The program's
/// output goes to this process's own output, and this process's input to the program: with the
/// Intel host, only if it is a file. When `stop` returns true, the program gets SIGTERM; the second
/// time, or if the program doesn't end within some time, the machine is switched off. With the
/// Intel host, the machine is switched off the first time.
pub fn run(parts: &Parts, job: &Job, stop: &mut dyn FnMut() -> bool) -> Result<i32> {
    let scratch = Scratch::new(&std::env::temp_dir())?;
    let archive = scratch.path().join("initramfs");
    pack(parts, job)?.write(&archive)?;
    let mut limits = Limits { time: job.limit, stop };
    let ended = match parts.emulator() {
        Emulator::Qemu(qemu) => qemu.run(&parts.kernel(), &archive, scratch.path(), &mut limits)?,
        Emulator::Bochs(bochs) => bochs.run(&archive, scratch.path(), &mut limits)?,
    };
    if let Some(folder) = &job.results {
        results::unpack(&ended.files, folder)?;
    }
    Ok(ended.status)
}
