//! Starts QEMU.

use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::{PROGRAM, ports};
use crate::error::{Error, Result};

const MIB: u64 = 1 << 20;

/// Memory in addition to what is carried in, in MiB: enough for several guests of 128 MiB.
const MEMORY: u64 = 1024;

/// The vCPU threads share one processor. With two, kvm's static keys are patched into code that the
/// other processor runs, and QEMU (7.2 at least) may keep the translated breakpoint of a patch that
/// is finished: the kernel then takes that breakpoint for ever.
const PROCESSORS: &str = "1";

/// The kernel must not check the timer: on a busy host its interrupts come too late for the check.
/// The timer ticks periodically: while a machine runs in it, QEMU (7.2 at least) now and then loses
/// an interrupt of its local APIC's timer. A kernel that sets the timer anew at each interrupt then
/// stands still for ever, and with it the machine, whose vCPU is never interrupted again.
const KERNEL_OPTIONS: &str = "console=ttyS0 panic=-1 quiet no_timer_check nohz=off highres=off";

/// Starts QEMU. `sockets` is the folder of the ports' sockets. The console is on standard output.
pub(super) fn qemu(
    program: &Path,
    kernel: &Path,
    initramfs: &Path,
    sockets: &Path,
) -> Result<Child> {
    // The contents are in memory twice: as an archive, and unpacked.
    let carried = initramfs.metadata().map_or(0, |file| file.len()).div_ceil(MIB) * 2;
    let mut command = Command::new(program);
    command.args(["-no-user-config", "-nodefaults", "-no-reboot"]);
    command.args(["-M", "pc", "-accel", "tcg", "-cpu", "max", "-smp", PROCESSORS]);
    command.arg("-m").arg(format!("{}M", MEMORY + carried));
    command.arg("-kernel").arg(kernel).arg("-initrd").arg(initramfs);
    command.args(["-append", KERNEL_OPTIONS]);
    command.args(["-display", "none", "-monitor", "none"]);
    command.args(["-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console"]);
    command.args(["-device", "virtio-serial-pci"]);
    for port in ports::ALL {
        let socket = ports::socket(sockets, port);
        // In QEMU's options a comma ends a value; two commas stand for one.
        let path = socket.display().to_string().replace(',', ",,");
        command.arg("-chardev").arg(format!("socket,id=port{port},path={path}"));
        command.arg("-device").arg(format!("virtserialport,chardev=port{port},nr={port}"));
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // Ctrl-C is meant for the process that started the test bed, not for QEMU.
    command.process_group(0);
    command.spawn().map_err(|source: io::Error| Error::Io { path: PROGRAM.into(), source })
}
