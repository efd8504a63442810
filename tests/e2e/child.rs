//! What `/proc` and the kernel know of a child process that has not been waited for. The soak test
//! uses this module, too.

use std::fs;
use std::path::Path;

use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;

/// Whether the process has ended. Until it is waited for, `/proc` has the resources that it used.
pub(crate) fn has_ended(pid: u32) -> bool {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    !matches!(waitid(Id::Pid(Pid::from_raw(pid as i32)), flags), Ok(WaitStatus::StillAlive))
}

/// Whether the kernel has a thread of the process in state D, a wait that not even SIGKILL ends.
/// When a VM gets memory and when it is destroyed, KVM waits like this for its readers
/// (`synchronize_srcu`), on a busy host for 20 s and more.
pub(crate) fn is_held(pid: u32) -> bool {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    tasks.into_iter().any(|task| has_state(&task.path(), 'D'))
}

/// Whether the task that this folder in `/proc` describes is in the state with this letter.
pub(crate) fn has_state(folder: &Path, state: char) -> bool {
    let stat = fs::read_to_string(folder.join("stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|fields| fields.trim_start().starts_with(state))
}
