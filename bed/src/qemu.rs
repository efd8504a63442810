//! The machine: QEMU without KVM, so that it is the same everywhere.

use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::error::{Error, Result};
use crate::parts::{Parts, QEMU};
use crate::ports;

const MIB: u64 = 1 << 20;

/// Memory beside what is carried in, in MiB: guests of 128 MiB, more than one at a time.
const MEMORY: u64 = 1024;

/// One processor, which the vCPUs' threads share. With two, kvm's static keys are patched into code
/// that the other one runs, and QEMU (7.2 at least) may keep the translated breakpoint of a patch
/// that is over: the kernel then takes that breakpoint for ever.
const PROCESSORS: &str = "1";

/// The timer is not checked: on a busy host it comes too late for that.
const KERNEL_OPTIONS: &str = "console=ttyS0 panic=-1 quiet no_timer_check";

/// Starts QEMU. `sockets` is the folder of the ports' sockets; its console comes on standard output.
pub(crate) fn start(parts: &Parts, initramfs: &Path, sockets: &Path) -> Result<Child> {
    // It is in memory twice: as an archive, and unpacked.
    let carried = initramfs.metadata().map_or(0, |file| file.len()).div_ceil(MIB) * 2;
    let mut command = Command::new(parts.qemu());
    command.args(["-no-user-config", "-nodefaults", "-no-reboot"]);
    command.args(["-M", "pc", "-accel", "tcg", "-cpu", "max", "-smp", PROCESSORS]);
    command.arg("-m").arg(format!("{}M", MEMORY + carried));
    command.arg("-kernel").arg(parts.kernel()).arg("-initrd").arg(initramfs);
    command.args(["-append", KERNEL_OPTIONS]);
    command.args(["-display", "none", "-monitor", "none"]);
    command.args(["-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console"]);
    command.args(["-device", "virtio-serial-pci"]);
    for port in ports::ALL {
        let socket = ports::socket(sockets, port);
        // QEMU ends a value at a comma; two of them stand for one.
        let path = socket.display().to_string().replace(',', ",,");
        command.arg("-chardev").arg(format!("socket,id=port{port},path={path}"));
        command.arg("-device").arg(format!("virtserialport,chardev=port{port},nr={port}"));
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // Ctrl-C is for whoever started the bed, not for QEMU.
    command.process_group(0);
    command.spawn().map_err(|source: io::Error| Error::Io { path: QEMU.into(), source })
}
