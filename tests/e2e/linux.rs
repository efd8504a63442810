//! The claim: a distribution's kernel, as it is, boots with four vCPUs to a shell that answers,
//! without a warning, and powers off.
//!
//! The kernel, its drivers and a busybox are named by environment variables. `tests/bed` takes
//! those of the bed itself.

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use cpio::newc::{Builder, trailer};

use crate::harness::{Invocation, jitterbug};
use crate::needs::{BUSYBOX, DRIVERS, KERNEL, KERNEL_MODULES, named};
use crate::scratch::ScratchFile;

tests! {
    Linux: a_shell_answers;
}

/// The first program: a shell at the console, in a session of its own, as a user has it. If there
/// is a virtio console, that is where it is.
const INIT: &str = "#!/bin/busybox sh
/bin/busybox mkdir -p /proc /dev
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t devtmpfs dev /dev
for driver in /drivers/*; do /bin/busybox insmod $driver; done
console=/dev/ttyS0
[ -c /dev/hvc0 ] && console=/dev/hvc0
exec /bin/busybox setsid /bin/busybox sh -c \"exec /bin/busybox sh <$console >$console 2>&1\"
";

/// An initramfs with that program, the drivers for virtio devices, and the modules for tests if
/// there are some.
static INITRD: LazyLock<ScratchFile> = LazyLock::new(|| {
    const FOLDER: u32 = 0o040_755;
    const DEVICE: u32 = 0o020_600;
    const PROGRAM: u32 = 0o100_755;
    let busybox = fs::read(named(BUSYBOX).expect("busybox")).expect("busybox");
    let mut entries: Vec<(String, u32, Vec<u8>)> = vec![
        ("bin".into(), FOLDER, Vec::new()),
        ("dev".into(), FOLDER, Vec::new()),
        ("dev/console".into(), DEVICE, Vec::new()),
        ("bin/busybox".into(), PROGRAM, busybox),
        ("init".into(), PROGRAM, INIT.into()),
    ];
    let drivers = named(DRIVERS).expect("drivers");
    let modules = named(KERNEL_MODULES).map(|modules| ("modules", modules));
    for (folder, from) in [("drivers", drivers)].into_iter().chain(modules) {
        entries.push((folder.into(), FOLDER, Vec::new()));
        for module in fs::read_dir(from).expect("modules") {
            let module = module.expect("a module").path();
            let name = module.file_name().expect("a name").display().to_string();
            let content = fs::read(&module).expect("a module");
            entries.push((format!("{folder}/{name}"), PROGRAM, content));
        }
    }
    let mut archive = Vec::new();
    for (name, mode, content) in entries {
        let entry = Builder::new(&name).mode(mode).rdev_major(5).rdev_minor(1);
        let mut writer = entry.write(&mut archive, content.len() as u32);
        std::io::copy(&mut &content[..], &mut writer).expect("memory");
        writer.finish().expect("memory");
    }
    ScratchFile::new("initrd", trailer(archive).expect("memory"))
});

/// Boots the kernel with this many vCPUs and this command line.
pub(crate) fn kernel(cpus: u32, line: &str) -> Invocation {
    booted("run", cpus, line)
}

/// Boots it by another command than `run`.
pub(crate) fn booted(command: &str, cpus: u32, line: &str) -> Invocation {
    let kernel = named(KERNEL).expect("the kernel");
    let run = jitterbug(&format!("{command} --mem 256M")).arg(Path::new(&kernel));
    run.arg("--cpus").arg(cpus.to_string()).arg("--cmdline").arg(line).within(1000)
}

/// The same, with a shell that gets these commands.
pub(crate) fn shell(cpus: u32, line: &str, commands: &str) -> Invocation {
    with_shell(kernel(cpus, line), commands)
}

/// Adds a shell that gets these commands.
pub(crate) fn with_shell(run: Invocation, commands: &str) -> Invocation {
    run.arg("--initrd").arg(&**INITRD).input(commands)
}

/// The kernel uses ACPI, VMware's frequencies, all vCPUs and the clock, and warns of nothing.
fn a_shell_answers() {
    let commands = "busybox echo vCPUs: $(busybox nproc), year: $(busybox date +%Y)\n\
         busybox grep -c ttyS0 /proc/interrupts\nbusybox echo $((6 * 7)) is the answer\n\
         busybox poweroff -f\n";
    let run = shell(4, "console=ttyS0", commands).ends_with(0);
    let run = run.says(&["the guest powered the machine off"]);
    let console = run.stdout.replace('\r', "");
    let has = |text: &str| console.contains(text);
    assert!(has("\nvCPUs: 4, year: 20") && !has("year: 1970"), "{console}");
    assert!(has("\n42 is the answer\n") && has("\n1\n"), "{console}");
    for text in [
        "Hypervisor detected: VMware",
        "TSC freq read from hypervisor",
        "Using ACPI (MADT) for SMP configuration",
    ] {
        assert!(has(text), "{text}: {console}");
    }
    for text in ["WARNING:", "Call Trace", "[Firmware Bug]"] {
        assert!(!has(text), "{text}: {console}");
    }
}
