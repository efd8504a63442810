use std::time::Duration;

use super::*;
use crate::testing::{Bench, lines_of, load, load_emmett};
use crate::{LineKind, Options, Script, Source};

/// What `(printf "%u\n" expression)` prints.
fn value(expression: &str) -> String {
    let lines = lines_of(&format!("(vprobe VMMLoad (printf \"%u\\n\" {expression}))"));
    lines.join("|")
}

#[test]
fn operators() {
    for (expression, expected) in [
        ("(+ 1 2 3)", "6"),
        ("(add 1 2)", "3"),
        ("(- 10 3 2)", "5"),
        ("(sub 1 2)", "18446744073709551615"),
        ("(- 1)", "18446744073709551615"),
        ("(* 2 3 7)", "42"),
        ("(mul 0x100000000 0x100000000)", "0"),
        ("(/ 100 5 2)", "10"),
        ("(div -1 2)", "9223372036854775807"),
        ("(% 17 5)", "2"),
        ("(mod 17 5)", "2"),
        ("(<< 1 63)", "9223372036854775808"),
        ("(<< 1 64)", "0"),
        ("(lshift 1 0x100000000)", "0"),
        ("(>> -1 60)", "15"),
        ("(rshift 16 2)", "4"),
        ("(^ 6 3)", "5"),
        ("(xor 6 3)", "5"),
        ("(| 1 2 4)", "7"),
        ("(& 7 6 4)", "4"),
        ("(~ 0)", "18446744073709551615"),
        ("(! 0)", "1"),
        ("(not 7)", "0"),
        // Comparisons are unsigned, which a script needs to test whether GS has a kernel's base.
        ("(< 1 -1)", "1"),
        ("(>= 0xffffffffffffffff 0x100000000)", "1"),
        ("(> 1 -1)", "0"),
        ("(<= 2 2)", "1"),
        ("(== 3 3)", "1"),
        ("(!= 3 3)", "0"),
        // Folded from the left: (3 == 3) == 1.
        ("(== 3 3 1)", "1"),
        ("(== 3 3 3)", "0"),
        ("(&& 1 2 3)", "1"),
        ("(and 1 0)", "0"),
        ("(|| 0 0 9)", "1"),
        ("(or 0 0)", "0"),
        ("(cond (0 1) (5 2) (1 3))", "2"),
        ("(cond (0 1))", "0"),
        ("(do 1 \"x\" 2)", "2"),
        ("+17", "17"),
        ("-0x10", "18446744073709551600"),
    ] {
        assert_eq!(value(expression), expected, "{expression}");
    }
}

#[test]
fn and_and_or_stop_early() {
    assert_eq!(value("(&& 0 (/ 1 0))"), "0");
    assert_eq!(value("(|| 1 (/ 1 0))"), "1");
    assert_eq!(value("(cond (1 4) ((/ 1 0) 5))"), "4");
}

#[test]
fn a_division_by_zero_cancels_the_firing_and_prints_nothing_of_its_line() {
    assert_eq!(value("(/ 1 0)"), "");
    assert_eq!(value("(% 1 0)"), "");
    assert_eq!(value("(&& 1 (/ 1 0))"), "");
}

#[test]
fn assignments_yield_what_was_assigned() {
    let lines = lines_of(
        "(definteger n) (defstring s) (vprobe VMMLoad
           (printf \"%d %s\\n\" (setint n 7) (setstr s (cond (n \"yes\") (1 \"no\"))))
           (printf \"%d %s %s\\n\" n s (do n PROBENAME)))",
    );
    assert_eq!(lines, ["7 yes", "7 yes VMMLoad"]);
}

#[test]
fn a_printf_inside_a_printf_leaves_both_lines_whole() {
    let lines = lines_of("(vprobe VMMLoad (printf \"a %d b\\n\" (printf \"inner\\n\")))");
    assert_eq!(lines, ["inner", "a 1 b"]);
}

#[test]
fn strings_end_at_255_bytes() {
    let long = "x".repeat(255);
    let lines =
        lines_of(&format!("(defstring s \"{long}\") (vprobe VMMLoad (printf \"%s\\n\" s))"));
    assert_eq!(lines, [long]);
}

#[test]
fn registers_are_read_by_name_and_only_once() {
    let mut bench = Bench::new(&load(
        "(vprobe VMMLoad (printf \"%p %p %x %x %d %x %x %d %d\\n\" RIP RBP CS CSAR
           (&& RAX RBX) TSC KERNELGSBASE VCPUID NUMVCPUS) (printf \"%d%d\\n\" ARG0 ARG9)
           (printf \"%d\\n\" (&& THREADID (< PCPUID 4096))))",
    ));
    bench.run(Duration::ZERO);
    assert_eq!(bench.cpu.reads, 1);
    assert_eq!(
        bench.script_lines(),
        ["0xfffffffffb8545c6 0xfffffffffb9f0000 28 a09b 0 100000010 1c0000102 1 2", "00", "1"]
    );
}

#[test]
fn every_builtin_variable_can_be_printed() {
    for name in crate::variable::names().filter(|name| !name.ends_with("NAME")) {
        assert_eq!(lines_of(&format!("(vprobe VMMLoad (printf \"%d\\n\" {name}))")).len(), 1);
    }
}

#[test]
fn the_frequency_is_in_hertz() {
    assert_eq!(lines_of("(vprobe VMMLoad (printf \"%d\\n\" TSC_HZ))"), ["2800000000"]);
}

#[test]
fn a_vcpu_that_cannot_be_read_cancels_the_firing_and_says_why() {
    let mut bench = Bench::new(&load("(defstring s) (vprobe VMMLoad (gueststack s))"));
    bench.cpu.broken = true;
    bench.run(Duration::ZERO);
    assert_eq!(bench.session.counts()[0].cancelled, 1);
    let lines = bench.finish();
    assert_eq!(lines[0].kind, LineKind::Notice);
    assert!(
        lines[0].text().starts_with(
            "test.vp:1:31: the vCPU can't be read: KVM_GET_REGS failed: Input/output error"
        ),
        "{}",
        lines[0].text()
    );
}

#[test]
fn a_firing_beyond_its_budget_is_cancelled() {
    let text = "(vprobe VMMLoad (+ 1 1) (+ 1 1) (printf \"not reached\\n\"))";
    let budget = Budget { steps: 5, time: None };
    let options = Options { budget, ..Options::default() };
    let script = Script::load(&[Source::new("test.vp", text)], &options).expect("a script");
    let mut bench = Bench::new(&script);
    bench.run(Duration::ZERO);
    let lines = bench.finish();
    assert_eq!(lines.len(), 1);
    assert!(lines[0].text().starts_with("test.vp:1:1: it took more than 5 steps;"));
}

#[test]
fn probes_that_fire_together_share_a_budget() {
    let endless = "VMMLoad { for (int i = 0; i < 100000000; i++) n++; }\n";
    let text = format!("int n;\n{}VMMUnload {{ printf(\"at the end\\n\"); }}", endless.repeat(12));
    let mut bench = Bench::new(&load_emmett(&text));
    bench.run(Duration::ZERO);
    let counts = bench.session.counts();
    assert_eq!(counts.iter().map(|count| count.cancelled).sum::<u64>(), 12);
    let lines: Vec<_> = bench.finish().iter().map(|line| line.text().into_owned()).collect();
    let beginning = |text: &str| lines.iter().filter(|line| line.contains(text)).count();
    assert_eq!(beginning("it took more than 100000 steps"), 10, "{lines:?}");
    assert_eq!(beginning("the probes that fire together took more than 1000000 steps"), 2);
    // The end of the run is another stop.
    assert_eq!(beginning("at the end"), 1);
}
