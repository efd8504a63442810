//! The claim: `races` watches variables of Linux itself and of modules that come and go, and a
//! variable that never appears is no pass.

use crate::linux_races::races;

tests! {
    Linux: a_race_in_the_kernel, what_is_never_found;
    LinuxWithModules: a_module_that_comes_back;
}

/// The kernel takes no lock for this setting. One shell writes it, and another reads it.
fn a_race_in_the_kernel() {
    let commands = "(while :; do echo 7 >/proc/sys/kernel/panic; done) &\ni=0\n\
         while [ $i -lt 300 ]; do read x </proc/sys/kernel/panic; i=$((i+1)); done\n\
         busybox poweroff -f\n";
    let run = races(&["panic_timeout:4"], commands).arg("--hold").arg("1ms..10ms").ends_with(1);
    let run = run.says(&[
        "jitterbug: watching panic_timeout at 0xffffffff",
        ", 4 bytes\n",
        "race on panic_timeout at 0xffffffff",
        " wrote 0x7, 4 bytes, by ",
    ]);
    assert!(run.stderr.contains("do_proc_dointvec"), "{run}");
}

/// Those that are found and those that are not are told apart.
fn what_is_never_found() {
    let watches =
        ["virtio_blk:major", "no_such_variable", "no_module:counter", "virtio_blk:no", "do_timer"];
    let run = races(&watches, "busybox sleep 1\nbusybox poweroff -f\n").ends_with(4);
    let run = run.says(&[
        "jitterbug: watching virtio_blk:major at 0xffffffff",
        "0 races in 1 run",
        "--watch no_such_variable: never found: neither the kernel nor a module has a variable \
         no_such_variable with a single address; loaded modules: virtio",
        "--watch no_module:counter: never found: no module no_module is loaded; loaded modules: \
         virtio",
        "--watch virtio_blk:no: never found: the module virtio_blk has no variable no with a single \
         address\n",
        "--watch do_timer: never found: do_timer is a function\n",
    ]);
    assert!(!run.stderr.contains("virtio_blk:major: never found"), "{run}");
}

/// Other modules come where it was, and have no report.
fn a_module_that_comes_back() {
    let commands = "for i in 1 2 3; do busybox insmod /modules/race.ko; busybox sleep 1\n\
         busybox rmmod race; busybox insmod /modules/race_fixed.ko; busybox sleep 1\n\
         busybox rmmod race_fixed; done; busybox poweroff -f\n";
    let run = races(&["race:counter"], commands).ends_with(1);
    let times = |text: &str| run.stderr.matches(text).count();
    assert_eq!(times("jitterbug: watching race:counter"), 3, "{run}");
    assert_eq!(times("race:counter is not watched any more: no module race is loaded"), 3, "{run}");
    assert!(times("[race]") > 0 && times("race_fixed") == 0, "{run}");
}
