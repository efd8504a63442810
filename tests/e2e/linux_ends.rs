//! The claim: Linux ends a run as what it does: a reset is no failure, and a panic is one, whether
//! the kernel resets the machine behind it or waits for ever.

use crate::linux::{kernel, shell};

tests! {
    Linux: a_reset_is_no_failure, a_panic_is_one;
}

fn a_reset_is_no_failure() {
    let run = shell(2, "quiet", "busybox echo ready\nbusybox reboot -f\n").ends_with(0);
    run.says(&["the guest reset the machine"]);
}

/// Without a root file system, the kernel panics. By default it then waits for ever, and with
/// `panic=-1` it resets the machine.
fn a_panic_is_one() {
    for line in ["quiet", "quiet panic=-1"] {
        let run = kernel(1, line).ends_with(1);
        run.says(&["failure: kernel panic: VFS: Unable to mount root fs"]);
    }
}
