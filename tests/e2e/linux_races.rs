//! The claim: `races` finds variables of an unmodified Linux and of its modules while it runs, with
//! addresses that it has chosen itself, watches them, and names the functions and the tasks of a
//! race; a variable that never appears is no pass.

use crate::harness::Invocation;
use crate::linux::{booted, with_shell};

tests! {
    Linux: a_race_in_the_kernel, what_is_never_found;
    LinuxWithModules: a_race_in_a_module, its_fixed_twin, a_module_that_comes_back;
}

/// Looks for races while a shell gets these commands.
fn races(watches: &[&str], commands: &str) -> Invocation {
    let run = with_shell(booted("races", 2, "quiet"), commands);
    watches.iter().fold(run, |run, watch| run.arg("--watch").arg(*watch))
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

/// `race_add` loads and stores the counter of `guests/modules/race.c`, and `race_read` loads it.
/// With the module unnamed, the variable is sought in all of them.
fn a_race_in_a_module() {
    let commands = "busybox insmod /modules/race.ko\nbusybox sleep 2\nbusybox rmmod race\nbusybox poweroff -f\n";
    for watch in ["race:counter", "counter"] {
        let run = races(&[watch], commands).ends_with(1);
        let run = run.says(&[
            &format!("jitterbug: watching {watch}"),
            &format!("race on {watch} at 0xffffffff"),
            " wrote 0x",
            &format!("jitterbug: {watch} is not watched any more: "),
        ]);
        let mut lines = run.stderr.lines().skip_while(|line| !line.starts_with("race on "));
        let (mut sides, mut writes) = (0, 0);
        while let Some(line) = lines.next() {
            if !line.starts_with("  vCPU ") {
                continue;
            }
            let (vcpu, stack) = (&line[7..8], lines.next().expect("a stack").trim());
            assert!(line.contains(&format!(", 8 bytes, by race/{vcpu} (")), "{line}");
            let functions = ["race_add+0x", "race_read+0x"];
            assert!(functions.iter().any(|function| stack.starts_with(function)), "{stack}");
            let callers = " [race] < race_thread+0x";
            assert!(stack.contains(callers) && stack.contains(" [race] < kthread+0x"), "{stack}");
            let is_write = line.contains(" wrote 0x");
            assert!(!is_write || stack.starts_with("race_add+0x"), "{stack}");
            (sides, writes) = (sides + 1, writes + u32::from(is_write));
        }
        assert!(sides >= 2 && sides % 2 == 0 && writes >= sides / 2, "{run}");
    }
}

fn its_fixed_twin() {
    let commands = "busybox insmod /modules/race_fixed.ko\nbusybox sleep 2\n\
         busybox rmmod race_fixed\nbusybox poweroff -f\n";
    let run = races(&["race_fixed:counter"], commands).ends_with(0);
    run.says(&[
        "jitterbug: watching race_fixed:counter",
        "0 races in 1 run, 0 failed: ",
        " by 2 vCPUs, ",
    ]);
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
