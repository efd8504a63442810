//! The claim: probes fire at the guest's own functions: at their beginnings with the arguments of
//! the call, at their returns with the result, inside, and at each step; at each load and store of
//! the guest's variables, with the value; at its model-specific registers; and in a replay at
//! interrupts, local APICs and choices.

use crate::compile;
use crate::harness::{Finished, jitterbug};
use crate::image;
use crate::needs;
use crate::replay_scripts::find;
use crate::scratch::Folder;

tests! {
    KvmAndCompiler: an_nmi_in_a_replay;
    Nothing: a_function_that_is_not_there, data_that_can_not_be_watched;
    Kvm: functions_on_every_vcpu, calls_and_returns_with_their_arguments, a_function_step_by_step,
        a_function_that_is_never_called, a_page_with_code_is_not_trapped, each_turn_of_a_loop, more_addresses_than_breakpoints, a_variable_s_loads_and_stores, each_part_of_an_array,
        what_is_watched_is_no_device, who_spins_on_what_is_watched_hangs, registers_of_each_vcpu,
        a_register_that_kvm_does_not_have, what_only_a_replay_shows,
        a_replay_shows_functions_and_data, each_point_of_a_replay;
}

/// The number after `name[key] == what`.
pub(crate) fn figure(run: &Finished, line: &str) -> u64 {
    let mut found = run.lines_with(line);
    let figure = found.next().and_then(|figure| figure.split(' ').next()?.parse().ok());
    figure.unwrap_or_else(|| panic!("no `{line}`: {run}"))
}

fn a_function_that_is_not_there() {
    jitterbug("run hello").probe("(vprobe GUEST:ENTER:man 0)").ends_with(2).shows("").says(&[
        "-e #1:1:9",
        "hello has no symbol man",
        "did you mean main?",
    ]);
    jitterbug("run hello --symbols none")
        .probe("(vprobe GUEST:ENTER:main 0)")
        .ends_with(2)
        .says(&["there are no symbols to look main up in; write the address"]);
}

fn functions_on_every_vcpu() {
    let run = jitterbug("run tsc-sync-fixed --cpus 3 --watchdog off")
        .probe(
            r#"(defstring s)
               (vprobe GUEST:ENTER:start_cpu (printf "starting %d on %d\n" ARG0 VCPUID))
               (vprobe GUEST:EXIT:start_cpu (printf "started on %d\n" VCPUID))
               (vprobe GUEST:ENTER:mp_startup_common
                   (gueststack s) (printf "up %d\n" VCPUID) (printf "%s\n" s))"#,
        )
        .ends_with(0);
    assert_eq!(run.lines_with("starting ").collect::<Vec<_>>(), ["1 on 0", "2 on 0"], "{run}");
    assert_eq!(run.lines_with("started on ").collect::<Vec<_>>(), ["0", "0"], "{run}");
    let up: Vec<&str> = run.lines_with("up ").collect();
    assert_eq!(up, ["1", "2"], "{run}");
    let named = run.stderr.matches("mp_startup_common+0x0 (mp_startup.c:").count();
    assert_eq!(named, 2, "{run}");
}

/// All console output goes through `print(text, length)`.
fn calls_and_returns_with_their_arguments() {
    let run = jitterbug("run hello --cpus 1")
        .probe(
            r#"aggr n[0][1]; aggr length[0][1];
               GUEST:ENTER:print* { n[PROBENAME] = count(); }
               GUEST:ENTER:print(int text, int bytes) { length["all"] = sum(bytes); }
               GUEST:EXIT:print { n["back"] = count(); }"#,
        )
        .ends_with(0);
    let calls = figure(&run, r#"  n["GUEST:ENTER:print"] == count "#);
    assert!(calls > 1, "{run}");
    assert_eq!(figure(&run, r#"  n["back"] == count "#), calls, "{run}");
    assert_eq!(figure(&run, r#"  n["GUEST:ENTER:printf"] == count "#), 1, "{run}");
    assert_eq!(figure(&run, r#"  length["all"] == sum "#), run.stdout.len() as u64, "{run}");
}

fn a_function_step_by_step() {
    let run = jitterbug("run hello --cpus 1")
        .probe(
            r"(defaggr at 0 1) (defstring s)
              (vprobe GUEST:STEP:print (setstr s (symname RIP)) (aggr at () (s) (count)))",
        )
        .ends_with(0);
    // It is called for `%u`, for `%s`, for the text in between, and for the number's digits.
    assert!(figure(&run, r#"  at["print"] == count "#) >= 4, "{run}");
    let inside: Vec<&str> = run.lines_with(r#"  at["print+"#).collect();
    assert!(inside.len() > 20, "{} places: {run}", inside.len());
    // Its loop writes one character in each iteration.
    let rounds = inside.iter().filter_map(|place| place.rsplit(' ').next()?.parse::<usize>().ok());
    assert_eq!(rounds.max(), Some(run.stdout.len()), "{run}");
    assert_eq!(run.lines_with("  at[").count(), inside.len() + 1, "elsewhere: {run}");
}

fn a_function_that_is_never_called() {
    jitterbug("run hello")
        .probe("(vprobe GUEST:ENTER:trap 0) (vprobe GUEST:EXIT:main 0)")
        .ends_with(0)
        .says(&["warning: -e #1:1: GUEST:ENTER:trap never fired"]);
}

/// A loop of two instructions that doesn't exit. A breakpoint that has just been left has to work
/// when the vCPU comes back to it.
fn each_turn_of_a_loop() {
    const TURNS: u64 = 100;
    let guest = image::count(TURNS as u32);
    let start = guest.address + 5; // behind `mov ecx, TURNS`
    let one = format!(r#"aggr n[0][1]; GUEST:{start:#x} {{ n["first"] = count(); }}"#);
    let both = format!(r#"{one} GUEST:{:#x} {{ n["second"] = count(); }}"#, start + 1);
    let hits = |run: &Finished, what: &str| figure(run, &format!(r#"  n["{what}"] == count "#));
    let run = jitterbug("run").image(&guest).probe(&one).ends_with(0);
    assert_eq!(hits(&run, "first"), TURNS, "{run}");
    let run = jitterbug("run").image(&guest).probe(&both).ends_with(0);
    assert_eq!((hits(&run, "first"), hits(&run, "second")), (TURNS, TURNS), "{run}");
}

/// Five addresses are more than any host has breakpoints for, but all of them fire.
fn more_addresses_than_breakpoints() {
    let run = jitterbug("run hello --cpus 1")
        .probe(
            r#"aggr n[0][1]; GUEST:ENTER:main { n["main"] = count(); }
               GUEST:ENTER:print { n["print"] = count(); } GUEST:ENTER:printf { n["f"] = count(); }
               GUEST:ENTER:exit { n["exit"] = count(); } GUEST:ENTER:mark { n["mark"] = count(); }"#,
        )
        .ends_with(0);
    let steps = "probes at 5 of the guest's instructions";
    assert_eq!(run.stderr.contains(steps), !needs::has_int3(), "{run}");
    assert_eq!(figure(&run, r#"  n["main"] == count "#), 1, "{run}");
    assert_eq!(figure(&run, r#"  n["exit"] == count "#), 1, "{run}");
    assert!(figure(&run, r#"  n["print"] == count "#) > 1, "{run}");
}

fn data_that_can_not_be_watched() {
    for (point, reason) in [
        ("GUEST:WRITE:0x1000:8", "no segment of the guest's image has 0x1000 to 0x1007"),
        ("GUEST:WRITE:stacks", "a range has 1 to 4096 bytes, and stacks has "),
    ] {
        let run = jitterbug("run hello").probe(&format!("(vprobe {point} 0)"));
        run.ends_with(2).shows("").says(&["-e #1:1:", "the script is not run", reason]);
    }
}

fn a_page_with_code_is_not_trapped() {
    jitterbug("run hello --trap-pages")
        .probe("(vprobe GUEST:WRITE:main:4 0)")
        .ends_with(2)
        .shows("")
        .says(&["-e #1:1:", "the script is not run", "code is on the same page", "--trap-pages"]);
}

/// Each of two vCPUs adds one by a locked instruction; then vCPU 0 reads the sum.
fn a_variable_s_loads_and_stores() {
    let run = jitterbug("run lost-update-fixed")
        .probe(
            r#"(vprobe GUEST:READ:counter (printf "read %d %d\n" ARG2 ARG1))
               (vprobe GUEST:WRITE:counter (printf "write %d after %d\n" ARG2 ARG3))"#,
        )
        .ends_with(0);
    // Accesses of two vCPUs at the same time may be printed in any order.
    let sorted = |what| {
        let mut lines: Vec<&str> = run.lines_with(what).collect();
        lines.sort_unstable();
        lines
    };
    assert_eq!(sorted("read "), ["0 8", "1 8", "2 8"], "{run}");
    assert_eq!(sorted("write "), ["1 after 0", "2 after 1"], "{run}");
}

/// Each vCPU writes its number plus one to the element of `owners` that its ticket gives.
fn each_part_of_an_array() {
    let run = jitterbug("run ticket-lock-fixed")
        .probe(
            r"aggr at[1];
              GUEST:WRITE:owners(long address, int bytes, int value) {
                  at[address - (long)&owners] = sum(value);
              }",
        )
        .ends_with(0);
    let (first, second) = (figure(&run, "  at[0x0] == sum "), figure(&run, "  at[0x8] == sum "));
    assert_eq!((first.min(second), first.max(second)), (1, 2), "{run}");
}

fn what_is_watched_is_no_device() {
    jitterbug("run lost-update-fixed")
        .probe("(vprobe MMIO_Write 0) (vprobe GUEST:WRITE:counter 0)")
        .ends_with(0)
        .says(&["MMIO_Write never fired"]);
}

/// `hello` waits for a third vCPU, which doesn't exist. Each read of the variable exits, but does
/// not count as a sign of life, nor as an exit at which jitter holds.
fn who_spins_on_what_is_watched_hangs() {
    let jitter = "--jitter hold:at=mmio,p=1,for=1ms";
    let run = jitterbug(&format!("run hello --cpus 2 --cmdline cpus=3 --watchdog 1s {jitter}"))
        .probe("aggr n; GUEST:READ:up { n[] = count(); }")
        .ends_with(1)
        .says(&["hang: for 1s", "vCPU 0: spins in main+0x", "nothing was injected"]);
    assert!(figure(&run, "  n[] == count ") > 20, "{run}");
}

/// Each AP writes ten registers; LSTAR is the address of a function.
fn registers_of_each_vcpu() {
    let run = jitterbug("run tsc-sync-fixed --cpus 3 --watchdog off")
        .probe(
            r#"(defaggr writes 1 0)
               (vprobe MSR_Write (aggr writes (ARG0) () (count)))
               (vprobe MSR_Write:0xc0000082 (printf "%d enters at %s\n" VCPUID (symname ARG1)))
               (vprobe MSR_Read:0xc0000080 (printf "%d has EFER %x\n" VCPUID (& ARG1 0x500)))"#,
        )
        .ends_with(0);
    for register in ["0x277", "0xc0000081", "0xc0000082", "0xc0000084", "0x174", "0xc0000102"] {
        assert_eq!(figure(&run, &format!("  writes[{register}] == count ")), 2, "{run}");
    }
    // It is written when long mode is entered, and once more by each AP.
    assert!(figure(&run, "  writes[0xc0000080] == count ") >= 3, "{run}");
    for vcpu in 1..3 {
        let of = format!("{vcpu} ");
        let lines: Vec<&str> = run.lines_with(&of).collect();
        assert!(lines.contains(&"enters at vectors+0x60"), "{lines:?}: {run}");
        assert!(lines.contains(&"has EFER 500"), "{lines:?}: {run}");
    }
}

fn a_register_that_kvm_does_not_have() {
    jitterbug("run hello")
        .probe("(vprobe MSR_Read:0x802 0)")
        .ends_with(2)
        .shows("")
        .says(&["model-specific register 0x802: one of the x2APIC, which KVM keeps to itself"]);
}

/// vCPU 1 sends vCPU 0 the interrupt in whose handler the bug is.
fn what_only_a_replay_shows() {
    let script = r#"
        IPI_Send(int vcpus, int vector, int mode) { printf("%d sends %x to %x\n", VCPUID, vector, vcpus); }
        Guest_IRQ(int vector) { printf("%d gets %x in %s\n", VCPUID, vector, symname(RIP)); }
        Sched_Switch(int before, int now) { switches++; }
        VMMUnload { if (VCPUID == 0) printf("%d switched\n", switches > 0); }"#;
    let run = jitterbug("run irq-mainline").probe(script).ends_with(2);
    run.says(&["IPI_Send is not available: KVM's irqchip has the local APICs", "Guest_IRQ is not"]);
    let folder = Folder::new();
    let finding = find(&folder, "irq-mainline");
    let run = jitterbug("replay").arg(&finding).probe(script).ends_with(0);
    assert_eq!(run.lines_with("1 sends ").collect::<Vec<_>>(), ["22 to 1"], "{run}");
    assert!(run.lines_with("1 switched").next().is_some(), "{run}");
    let inside = run.lines_with("0 gets 22 in ").collect::<Vec<_>>();
    assert!(matches!(inside[..], [place] if place.starts_with("queue")), "{run}");
}

/// An addition is lost: both loads read 0, and the script doesn't change the run.
fn a_replay_shows_functions_and_data() {
    let folder = Folder::new();
    let finding = find(&folder, "lost-update");
    let run = jitterbug("replay --repeat 2")
        .arg(&finding)
        .probe(
            r#"(vprobe GUEST:ENTER:add_one (printf "%d enters\n" VCPUID))
               (vprobe GUEST:EXIT:add_one (printf "%d leaves\n" VCPUID))
               (vprobe GUEST:READ:counter (printf "sees %d\n" ARG2))
               (vprobe GUEST:WRITE:counter (printf "stores %d\n" ARG2))"#,
        )
        .ends_with(0)
        .says(&["reproduced 2 times"]);
    for (line, count) in [("0 enters", 2), ("1 leaves", 2), ("sees 0", 4), ("stores 1", 4)] {
        assert_eq!(run.stderr.lines().filter(|said| *said == line).count(), count, "{line}: {run}");
    }
}

/// A hang with all kinds of events: APs that are started, an IPI, an interrupt, vCPUs that sleep.
fn each_point_of_a_replay() {
    let folder = Folder::new();
    let finding = find(&folder, "lost-wakeup");
    let points = [
        "Guest_HLT",
        "Guest_INIT",
        "Guest_SIPI",
        "Guest_IRQ",
        "IPI_Send",
        "LAPIC_Write",
        "LAPIC_EOI",
        "Sched_Point",
        "Sched_Switch",
        "Guest_Hang",
    ];
    let probes = points.map(|point| format!("{point} {{ n[PROBENAME] = count(); }}")).join(" ");
    let run = jitterbug("replay")
        .arg(&finding)
        .probe(&format!("aggr n[0][1]; {probes}"))
        .ends_with(0)
        .says(&["reproduced"]);
    for point in points {
        assert!(figure(&run, &format!("  n[\"{point}\"] == count ")) > 0, "{run}");
    }
}

/// A guest that reads its local APIC's ID, and sends itself an NMI, which it doesn't expect.
fn an_nmi_in_a_replay() {
    let before = r#"#include "rt.h"
void __wrap_mark(void);
void __wrap_mark(void)
{
	lapic_enable();
	(void)lapic_id();
	*(volatile uint32_t *)(LAPIC_VIRT + 0x310) = 0;
	*(volatile uint32_t *)(LAPIC_VIRT + 0x300) = 0x4400;
}
"#;
    let (build, folder) = (Folder::new(), Folder::new());
    let guest = compile::guest(&build, "abba", before, &["-Wl,--wrap=mark"]);
    let hunt = jitterbug("hunt --cpus 2 --runs 1 --json --out").arg(&*folder).arg(&guest);
    let report = hunt.ends_with(1).json();
    let finding = report["findings"][0]["file"].as_str().expect("a finding");
    let run = jitterbug("replay")
        .arg(finding)
        .probe(
            r#"Guest_NMI { printf("NMI for %d\n", VCPUID); }
               LAPIC_Read { printf("%d reads %x\n", VCPUID, ARG0); }"#,
        )
        .ends_with(0);
    assert_eq!(run.lines_with("NMI for ").collect::<Vec<_>>(), ["0"], "{run}");
    assert_eq!(run.lines_with("0 reads ").collect::<Vec<_>>(), ["20"], "{run}");
}
