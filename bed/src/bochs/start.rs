//! Starts Bochs.

use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::FOLDER;
use super::image::IMAGE;
use super::ports::Port;
use super::processor::Processor;
use crate::error::{At, Error, Result};
use crate::tool;

const MIB: u64 = 1 << 20;
/// Memory in addition to what is carried in, in MiB: enough for several guests of 128 MiB.
const MEMORY: u64 = 1024;

const CONFIGURATION: &str = "bochsrc";
/// Commands for the debugger that Debian's build contains.
const COMMANDS: &str = "commands";
const LOG: &str = "log";

/// Starts Bochs in this folder, in which the image and the folder of Bochs have their names.
pub(super) fn bochs(folder: &Path, processor: Processor, carried: u64) -> Result<Child> {
    for (name, text) in [
        (CONFIGURATION, configuration(processor, carried)),
        // Without a command, the machine would not start.
        (COMMANDS, "continue\n".to_owned()),
    ] {
        let file = folder.join(name);
        fs::write(&file, text).at(&file)?;
    }
    let program = folder.join(FOLDER).join("bochs");
    // Unlike QEMU, Bochs doesn't notice that this process is gone: the kernel then ends it.
    let mut command = if let Some(setpriv) = tool::find("setpriv") {
        let mut command = Command::new(setpriv);
        command.args(["--pdeathsig", "KILL", "--"]).arg(&program);
        command
    } else {
        Command::new(&program)
    };
    command.args(["-q", "-f", CONFIGURATION, "-rc", COMMANDS]).current_dir(folder);
    command.env("BXSHARE", FOLDER).env("LTDL_LIBRARY_PATH", format!("{FOLDER}/plugins"));
    command.env("LD_LIBRARY_PATH", format!("{FOLDER}/lib"));
    // The display is a pseudo-terminal that Bochs opens for itself, and that no process reads.
    command.env("TERM", "dumb");
    // At the end of its input, the debugger would quit.
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // Ctrl-C is meant for the process that started the test bed, not for Bochs.
    command.process_group(0);
    command.spawn().map_err(|source: io::Error| Error::Io { path: program, source })
}

/// The machine. `ips` is the number of instructions in a second of the machine's time, and the rate
/// of the TSC (see the kernel's options). Bochs reports every MSR that it doesn't know as an error.
fn configuration(processor: Processor, carried: u64) -> String {
    // The contents are in memory twice: as an archive, and unpacked.
    let memory = MEMORY + carried.div_ceil(MIB) * 2;
    let model = processor.model();
    let machine = format!(
        "plugin_ctrl: unmapped=1, biosdev=1, speaker=0, extfpuirq=1, parallel=0, serial=1, \
         iodebug=0\n\
         display_library: term\n\
         cpu: model={model}, count=1, ips=100000000, reset_on_triple_fault=0\n\
         memory: guest={memory}, host={memory}\n\
         romimage: file={FOLDER}/BIOS-bochs-latest, options=fastboot\n\
         vgaromimage: file={FOLDER}/vgabios.bin\n\
         pci: enabled=1, chipset=i440fx\n\
         ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14\n\
         ata0-master: type=cdrom, path={IMAGE}, status=inserted\n\
         boot: cdrom\n\
         clock: sync=none, time0=utc\n\
         log: {LOG}\n\
         debugger_log: -\n\
         panic: action=fatal\n\
         error: action=ignore\n\
         info: action=ignore\n\
         debug: action=ignore\n"
    );
    let ports = (1..).zip(Port::ALL).map(|(number, port)| {
        let file = port.file();
        format!("com{number}: enabled=1, mode=file, dev={file}\n")
    });
    std::iter::once(machine).chain(ports).collect()
}
