//! The claim: `races` finds variables of an unmodified Linux and of its modules while it runs, with
//! addresses that it has chosen itself, watches them, and names the functions and the tasks of a
//! race; a variable that never appears is no pass.

use crate::harness::Invocation;
use crate::linux::{booted, with_shell};

tests! {
    LinuxWithModules: a_race_in_a_module, its_fixed_twin;
}

/// Looks for races while a shell gets these commands.
pub(crate) fn races(watches: &[&str], commands: &str) -> Invocation {
    let run = with_shell(booted("races", 2, "quiet"), commands);
    watches.iter().fold(run, |run, watch| run.arg("--watch").arg(*watch))
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
