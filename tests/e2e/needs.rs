//! What a test needs of its host.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::sync::LazyLock;

use nix::unistd::Uid;

use crate::compile;
use crate::harness::jitterbug;
use crate::image;

const DEVICE: &str = "/dev/kvm";

/// A need of a test.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Needs {
    /// Nothing beyond Linux.
    Nothing,
    /// A KVM device that can be used.
    Kvm,
    /// A KVM device, and a compiler that builds guests.
    KvmAndCompiler,
    /// A KVM that can't emulate SSE in ring 0.
    KvmWithoutSse,
    /// A KVM device that only some users may use, and the right to become another user.
    OtherUser,
}

impl Needs {
    /// What is missing, or `None`.
    pub(crate) fn unmet(self) -> Option<String> {
        static SSE: LazyLock<Option<String>> = LazyLock::new(sse_works);
        match self {
            Self::Nothing => None,
            Self::Kvm => no_kvm(),
            Self::KvmAndCompiler => no_kvm().or_else(compile::no_compiler),
            Self::KvmWithoutSse => no_kvm().or_else(|| SSE.clone()),
            Self::OtherUser => no_kvm().or_else(no_other_user),
        }
    }
}

fn no_kvm() -> Option<String> {
    let opened = File::options().read(true).write(true).open(DEVICE);
    opened.err().map(|error| format!("{DEVICE} can't be opened: {error}"))
}

fn sse_works() -> Option<String> {
    let status = jitterbug("run").image(&image::sse()).any_status();
    (status == 0).then(|| "this host's KVM runs SSE instructions in ring 0".into())
}

fn no_other_user() -> Option<String> {
    if !Uid::effective().is_root() {
        return Some("only root can become another user".into());
    }
    let everybody = fs::metadata(DEVICE).is_ok_and(|device| device.mode() & 0o006 == 0o006);
    everybody.then(|| format!("{DEVICE} is open to everybody"))
}
