//! What a test needs of its host.

use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::sync::LazyLock;

use nix::unistd::Uid;
use serde_json::Value;

use crate::compile;
use crate::harness::jitterbug;
use crate::image;

const DEVICE: &str = "/dev/kvm";

/// The browser for the tests of HTML pages.
pub(crate) const CHROMIUM: &str = "chromium";

/// A need of a test.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Needs {
    /// Nothing except Linux.
    Nothing,
    /// The shell whose completions are tested.
    Bash,
    /// A usable KVM device.
    Kvm,
    /// A KVM device, and a compiler that builds guests.
    KvmAndCompiler,
    /// A KVM device, and a browser that needs no screen.
    KvmAndChromium,
    /// A KVM device, and a debugger that reads core files.
    KvmAndGdb,
    /// A KVM whose exits are quick, for a very large number of exits, or to compare times.
    QuickKvm,
    /// A KVM with execution breakpoints that fire. Single steps miss most of the code in handlers.
    KvmWithBreakpoints,
    /// A KVM with data watchpoints that fire.
    KvmWithWatchpoints,
    /// A KVM with int3 as a breakpoint: exact also in handlers, and for any number of addresses.
    KvmWithInt3,
    /// A KVM that can't emulate SSE in ring 0.
    KvmWithoutSse,
    /// A KVM that can't emulate INT3 in ring 0.
    KvmWithoutInt3,
    /// A KVM that runs a distribution's Linux, and its kernel with a busybox.
    Linux,
    /// The same, and modules for that kernel (`guests/modules`).
    LinuxWithModules,
    /// A KVM device that only some users may use, and the right to become another user.
    OtherUser,
    /// The same, and programs that limit the user's resources.
    LimitedUser,
    /// The programs and packages of the test bed.
    Bed,
}

impl Needs {
    /// What is missing; `None` if nothing is.
    pub(crate) fn unmet(self) -> Option<String> {
        static SSE: LazyLock<Option<String>> = LazyLock::new(sse_works);
        match self {
            Self::Nothing => None,
            Self::Bash => no_program(&["bash"]),
            Self::Kvm => no_kvm(),
            Self::KvmAndCompiler => no_kvm().or_else(compile::no_compiler),
            Self::KvmAndChromium => no_kvm().or_else(|| no_program(&[CHROMIUM])),
            Self::KvmAndGdb => no_kvm().or_else(|| no_program(&["gdb"])),
            Self::QuickKvm => no_kvm().or_else(|| SLOW.clone()),
            Self::KvmWithBreakpoints => no_kvm().or_else(|| NO_BREAKPOINTS.clone()),
            Self::KvmWithWatchpoints => no_kvm().or_else(|| NO_WATCHPOINTS.clone()),
            Self::KvmWithInt3 => no_kvm().or_else(|| NO_INT3.clone()),
            Self::KvmWithoutSse => no_kvm().or_else(|| SSE.clone()),
            Self::KvmWithoutInt3 => no_kvm().or_else(|| {
                NO_INT3_HANDLER.is_none().then(|| "int3 in ring 0 works here".to_owned())
            }),
            Self::Linux => no_kvm().or_else(|| NO_LINUX.clone()),
            Self::LinuxWithModules => Self::Linux.unmet().or_else(|| {
                named(KERNEL_MODULES)
                    .is_none()
                    .then(|| format!("{KERNEL_MODULES} names no folder (in-bed --modules)"))
            }),
            Self::OtherUser => no_kvm().or_else(no_other_user),
            Self::LimitedUser => {
                no_kvm().or_else(no_other_user).or_else(|| no_program(&["prlimit", "setpriv"]))
            }
            Self::Bed => no_program(&["qemu-system-x86_64", "apt-get", "dpkg"]),
        }
    }
}

/// An exit takes 1 to 3 us on hardware, 8 to 14 us under nested KVM without VMX or SVM, and 40 to
/// 140 us under an emulator.
const SLOW_EXIT: f64 = 20_000.0;

/// The doctor's report on this host. It has time for all its self-tests, however busy the machine
/// is: a test must not be skipped because of one that was not run.
static DOCTOR: LazyLock<Value> =
    LazyLock::new(|| jitterbug("doctor --json --timeout 4m").within(300).ends_with(0).json());

static SLOW: LazyLock<Option<String>> = LazyLock::new(slow_exits);

static NO_BREAKPOINTS: LazyLock<Option<String>> = LazyLock::new(|| {
    let verdict = diagnosis("breakpoint")["verdict"].as_str().expect("a verdict").to_owned();
    (!["works", "partly"].contains(&verdict.as_str()))
        .then(|| format!("execution breakpoints: {verdict}"))
});

static NO_WATCHPOINTS: LazyLock<Option<String>> = LazyLock::new(|| {
    ["watch-write", "watch-access", "watch-user"].into_iter().find_map(|id| {
        let row = diagnosis(id);
        (row["verdict"] != "works").then(|| format!("{}: {}", row["name"], row["verdict"]))
    })
});

/// Whether exits are slow here.
pub(crate) fn is_slow() -> bool {
    SLOW.is_some()
}

static NO_INT3: LazyLock<Option<String>> = LazyLock::new(|| {
    let verdict = |id| diagnosis(id)["verdict"].as_str().expect("a verdict").to_owned();
    let mut tests = ["int3", "int3-step", "int3-guest"].map(|id| (id, verdict(id))).into_iter();
    let missing = tests.find(|(_, verdict)| verdict != "works");
    missing.map(|(id, verdict)| format!("{id}: {verdict}"))
});

/// The variables that name a Linux kernel, a busybox without shared libraries, and a folder with
/// the kernel's virtio drivers, whose names sort in the order in which they have to be loaded.
pub(crate) const KERNEL: &str = "JITTERBUG_E2E_KERNEL";
pub(crate) const BUSYBOX: &str = "JITTERBUG_E2E_BUSYBOX";
pub(crate) const DRIVERS: &str = "JITTERBUG_E2E_DRIVERS";

/// The variable that names a folder with the modules of `guests/modules`, built for that kernel.
pub(crate) const KERNEL_MODULES: &str = "JITTERBUG_E2E_KERNEL_MODULES";

/// The file that a variable names.
pub(crate) fn named(variable: &str) -> Option<OsString> {
    env::var_os(variable).filter(|path| !path.is_empty())
}

static NO_LINUX: LazyLock<Option<String>> = LazyLock::new(|| {
    let unnamed = [KERNEL, BUSYBOX, DRIVERS].into_iter().find(|variable| named(variable).is_none());
    let unnamed = unnamed.map(|variable| format!("{variable} names no file"));
    NO_INT3_HANDLER.clone().or(unnamed)
});

static NO_INT3_HANDLER: LazyLock<Option<String>> = LazyLock::new(|| {
    let verdict = diagnosis("int3-handler")["verdict"].as_str().expect("a verdict").to_owned();
    (verdict != "works").then(|| format!("int3 in ring 0: {verdict}"))
});

/// Whether int3 stops vCPUs at more addresses than the hardware has breakpoints for.
pub(crate) fn has_int3() -> bool {
    NO_INT3.is_none()
}

/// The factor by which everything may take longer than on a quick host.
pub(crate) fn patience() -> u32 {
    if is_slow() { 8 } else { 1 }
}

/// The doctor's row with this id.
fn diagnosis(id: &str) -> &'static Value {
    let rows = DOCTOR["rows"].as_array().expect("rows");
    rows.iter().find(|row| row["id"] == id).unwrap_or_else(|| panic!("no row {id}"))
}

/// Reads what a port access costs, according to the doctor.
fn slow_exits() -> Option<String> {
    let port = diagnosis("port-exit");
    let cost = port["cost"].as_f64().expect("its cost in nanoseconds");
    (cost > SLOW_EXIT).then(|| format!("an exit takes {:.0} us here", cost / 1000.0))
}

fn no_kvm() -> Option<String> {
    let opened = File::options().read(true).write(true).open(DEVICE);
    opened.err().map(|error| format!("{DEVICE} can't be opened: {error}"))
}

fn sse_works() -> Option<String> {
    let status = jitterbug("run").image(&image::sse()).any_status();
    (status == 0).then(|| "this host's KVM runs SSE instructions in ring 0".into())
}

fn no_program(names: &[&str]) -> Option<String> {
    let path = env::var_os("PATH").unwrap_or_default();
    let exists = |name: &&&str| env::split_paths(&path).any(|folder| folder.join(name).is_file());
    names.iter().find(|name| !exists(name)).map(|name| format!("there is no program {name}"))
}

fn no_other_user() -> Option<String> {
    if !Uid::effective().is_root() {
        return Some("only root can become another user".into());
    }
    let everybody = fs::metadata(DEVICE).is_ok_and(|device| device.mode() & 0o006 == 0o006);
    everybody.then(|| format!("{DEVICE} is open to everybody"))
}
