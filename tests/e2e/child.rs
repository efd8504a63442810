//! What `/proc` and the kernel know of a child that nobody has waited for. The soak test asks the same.

use std::fs;

use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;

/// Whether it has ended. Until somebody waits for it, `/proc` knows what it used.
pub(crate) fn has_ended(pid: u32) -> bool {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    !matches!(waitid(Id::Pid(Pid::from_raw(pid as i32)), flags), Ok(WaitStatus::StillAlive))
}

/// Whether the kernel has a thread of it in a wait that not even SIGKILL ends: state D. When memory is given to a VM
/// and when a VM goes away, KVM waits so for its readers (`synchronize_srcu`), on a busy host for 20 s and more.
pub(crate) fn is_held(pid: u32) -> bool {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    tasks.into_iter().any(|task| {
        let stat = fs::read_to_string(task.path().join("stat")).unwrap_or_default();
        stat.rsplit(')').next().is_some_and(|fields| fields.trim_start().starts_with('D'))
    })
}
