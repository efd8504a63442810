//! The claim: Linux ends a run as what it does: a reset is no failure, and a panic is one, whether
//! the kernel resets the machine behind it or waits for ever. The text of a panic is none.

use crate::linux::{kernel, shell};

tests! {
    Linux: a_reset_is_no_failure, a_panic_is_one, so_is_one_without_a_reset, a_text_is_no_panic;
}

fn a_reset_is_no_failure() {
    let run = shell(2, "quiet", "busybox echo ready\nbusybox reboot -f\n").ends_with(0);
    run.says(&["the guest reset the machine"]);
}

/// Without a root file system, the kernel panics. It is told to reset the machine then.
fn a_panic_is_one() {
    let run = kernel(1, "quiet").ends_with(1);
    run.says(&["failure: kernel panic: VFS: Unable to mount root fs"]);
}

/// With `panic=0` the kernel waits for ever, and the time limit ends the run.
fn so_is_one_without_a_reset() {
    let run = kernel(1, "quiet panic=0").arg("--timeout").arg("40s").ends_with(1);
    run.says(&["failure: kernel panic: VFS: Unable to mount root fs"]);
}

/// A program prints the text of a panic; the guest goes on, and ends in order.
fn a_text_is_no_panic() {
    let text = "Kernel panic - not syncing: no";
    let commands = format!(
        "busybox echo '{text}'; busybox echo '---[ end {text} ]---'; busybox sleep 1\n\
         busybox reboot -f\n"
    );
    let run = shell(1, "quiet", &commands).ends_with(0);
    run.says(&["the guest reset the machine"]);
}
