//! The Intel host: Bochs, in a private copy that is corrected. The program's output goes through
//! serial ports.

mod correct;
mod image;
mod keep;
mod ports;
mod processor;
mod start;

use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::{At, Result};
use crate::job::{Ended, Limits};
use crate::machine::{Machine, Times};
use crate::streams::pump;
use ports::{Follow, Port};

pub(crate) use keep::keep;
pub use processor::Processor;

/// The name of the folder of Bochs among the parts.
const FOLDER: &str = "bochs";
/// The machine boots in 20 s; on a busy host it may take much longer.
const BOOT_TIMEOUT: Duration = Duration::from_mins(10);

/// A corrected Bochs with what it needs, and the kernel for its machine.
#[derive(Clone, Debug)]
pub(crate) struct Bochs {
    folder: PathBuf,
    kernel: PathBuf,
    processor: Processor,
}

impl Bochs {
    /// The copy that is kept in a folder of parts.
    pub(crate) fn of(parts: &Path, kernel: PathBuf, processor: Processor) -> Self {
        Self { folder: parts.join(FOLDER), kernel, processor }
    }

    /// Runs a machine from its start to its power-off. `scratch` is a folder with the initramfs.
    pub(crate) fn run(
        &self,
        initramfs: &Path,
        scratch: &Path,
        limits: &mut Limits,
    ) -> Result<Ended> {
        // Bochs and xorriso give some characters in a path another meaning. So both run in this
        // folder, and all names are short and relative.
        symlink(&self.folder, scratch.join(FOLDER)).at(scratch)?;
        symlink(&self.kernel, scratch.join(image::KERNEL)).at(scratch)?;
        let start = Instant::now();
        image::make(initramfs, self.processor, scratch)?;
        let carried = initramfs.metadata().at(initramfs)?.len();
        for port in Port::ALL {
            port.make(scratch)?;
        }
        let mut machine = Machine::new(start::bochs(scratch, self.processor, carried)?);
        machine.add_console(Follow::port(Port::Console, scratch, machine.has_ended())?);
        let output = Follow::port(Port::Output, scratch, machine.has_ended())?;
        let errors = Follow::port(Port::Errors, scratch, machine.has_ended())?;
        let pumps = [
            thread::spawn(|| pump(output, io::stdout())),
            thread::spawn(|| pump(errors, io::stderr())),
        ];
        let times = Times { start, boot: BOOT_TIMEOUT, limit: limits.time };
        let watched = machine.watch(&ports::Reports::of(scratch), times, limits.stop);
        machine.switch_off();
        for pump in pumps {
            let _ = pump.join();
        }
        watched?;
        // Bochs itself ends with status 1 after a power-off.
        ports::ended(scratch)?
            .ok_or_else(|| machine.broken("ended without a status of its program"))
    }
}
