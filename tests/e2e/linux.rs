//! The claim: a distribution's kernel, as it is, boots with several vCPUs to a shell that answers,
//! without a warning, and ends the run as what it does: it powers off, resets, or panics.
//!
//! The kernel and a busybox are named by two environment variables. `tests/bed` takes those of the
//! bed itself.

use std::path::Path;
use std::sync::LazyLock;

use cpio::newc::{Builder, trailer};

use crate::harness::{Finished, jitterbug};
use crate::needs::{BUSYBOX, KERNEL, named};
use crate::scratch::ScratchFile;

tests! {
    Linux: a_shell_answers, a_reset_is_no_failure, a_panic_is_one;
}

/// The first program: a shell at the console, in a session of its own, as a user has it.
const INIT: &str = "#!/bin/busybox sh
/bin/busybox mkdir -p /proc /dev
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t devtmpfs dev /dev
exec /bin/busybox setsid /bin/busybox sh -c 'exec /bin/busybox sh </dev/ttyS0 >/dev/ttyS0 2>&1'
";

/// An initramfs with that program.
static INITRD: LazyLock<Vec<u8>> = LazyLock::new(|| {
    const FOLDER: u32 = 0o040_755;
    const DEVICE: u32 = 0o020_600;
    const PROGRAM: u32 = 0o100_755;
    let busybox = std::fs::read(named(BUSYBOX).expect("busybox")).expect("busybox");
    let entries: [(&str, u32, &[u8]); 5] = [
        ("bin", FOLDER, &[]),
        ("dev", FOLDER, &[]),
        ("dev/console", DEVICE, &[]),
        ("bin/busybox", PROGRAM, &busybox),
        ("init", PROGRAM, INIT.as_bytes()),
    ];
    let mut archive = Vec::new();
    for (name, mode, content) in entries {
        let entry = Builder::new(name).mode(mode).rdev_major(5).rdev_minor(1);
        let mut writer = entry.write(&mut archive, content.len() as u32);
        std::io::copy(&mut &content[..], &mut writer).expect("memory");
        writer.finish().expect("memory");
    }
    trailer(archive).expect("memory")
});

/// Boots the kernel with this many vCPUs and this command line, sends this to its shell, and checks
/// the status.
fn boot(cpus: u32, line: &str, shell: Option<&str>, status: i32) -> Finished {
    let kernel = named(KERNEL).expect("the kernel");
    let initrd = shell.map(|_| ScratchFile::new("initrd", &*INITRD));
    let mut run = jitterbug("run").arg(Path::new(&kernel)).arg("--mem").arg("256M");
    run = run.arg("--cpus").arg(cpus.to_string()).arg("--cmdline").arg(line);
    if let Some(initrd) = &initrd {
        run = run.arg("--initrd").arg(&**initrd);
    }
    run.arg("--timeout").arg("900s").input(shell.unwrap_or_default()).within(1000).ends_with(status)
}

/// The kernel uses ACPI, VMware's frequencies, all vCPUs and the clock, and warns of nothing.
fn a_shell_answers() {
    let commands = "busybox echo vCPUs: $(busybox nproc), year: $(busybox date +%Y)\n\
         busybox grep -c ttyS0 /proc/interrupts\nbusybox echo $((6 * 7)) is the answer\n\
         busybox poweroff -f\n";
    let run = boot(4, "console=ttyS0", Some(commands), 0);
    let run = run.says(&["the guest powered the machine off"]);
    let console = run.stdout.replace('\r', "");
    let has = |text: &str| console.contains(text);
    assert!(has("\nvCPUs: 4, year: 20"), "{console}");
    assert!(!has("year: 1970"), "{console}");
    assert!(has("\n42 is the answer\n") && has("\n1\n"), "{console}");
    assert!(
        has("Hypervisor detected: VMware") && has("TSC freq read from hypervisor"),
        "{console}"
    );
    assert!(has("Using ACPI (MADT) for SMP configuration"), "{console}");
    assert!(!has("WARNING:") && !has("Call Trace") && !has("[Firmware Bug]"), "{console}");
}

fn a_reset_is_no_failure() {
    let run = boot(2, "quiet", Some("busybox echo ready\nbusybox reboot -f\n"), 0);
    run.says(&["the guest reset the machine"]);
}

/// Without a root file system, the kernel panics. By default it then waits for ever, and with
/// `panic=-1` it resets the machine.
fn a_panic_is_one() {
    for line in ["quiet", "quiet panic=-1"] {
        let run = boot(1, line, None, 1);
        run.says(&["failure: kernel panic: VFS: Unable to mount root fs"]);
    }
}
