//! VP 1.0, form by form, as the user of a guest sees it.

mod guest;

use std::time::Duration;

use crate::testing::{Bench, KERNEL, lines_of, load, load_for, put_kernel};
use crate::{LineKind, Options};

/// What a probe's body prints when it fires once.
fn prints(definitions: &str, body: &str) -> Vec<String> {
    lines_of(&format!("{definitions} (vprobe VMMLoad {body})"))
}

/// What a probe's body prints, and the notices, when it fires once in a guest with a string at
/// `KERNEL + 0x100` and another at the very end of its memory.
fn in_guest(body: &str) -> (Vec<String>, Vec<String>) {
    let mut bench =
        Bench::new(&load(&format!("(definteger n) (defstring s) (vprobe VMMLoad {body})")));
    put_kernel(&bench.memory, KERNEL + 0x100, b"hello, guest\0rest");
    put_kernel(&bench.memory, KERNEL + 0x1f_fffc, b"end\0");
    bench.run(Duration::ZERO);
    let lines = bench.finish();
    let of = |kind| {
        let lines = lines.iter().filter(move |line| line.kind == kind);
        lines.map(|line| line.text().into_owned()).collect()
    };
    (of(LineKind::Script), of(LineKind::Notice))
}

#[test]
fn functions_yield_their_last_expression_and_know_their_types() {
    assert_eq!(
        prints(
            "(defun twice (n) (* 2 n)) (defun name (n) (cond (n \"yes\") (1 \"no\")))
             (defun both (s n) (printf \"%s %d\\n\" s n) s) (defstring t)",
            "(printf \"%d %s\\n\" (twice (twice 3)) (name 0)) (setstr t (both \"x\" 5))
             (both (name 1) (twice 1)) (printf \"%s\\n\" t)"
        ),
        ["12 no", "x 5", "yes 2", "x"]
    );
}

#[test]
fn a_function_may_be_used_before_it_is_defined_and_call_itself() {
    assert_eq!(
        prints(
            "(defun f (n) (cond ((== n 0) 1) (1 (* n (f (- n 1))))))
             (defun even (n) (cond ((== n 0) \"even\") (1 (odd (- n 1)))))
             (defun odd (n) (cond ((== n 0) \"odd\") (1 (even (- n 1)))))",
            "(printf \"%d %s\\n\" (f 10) (even 7))"
        ),
        ["3628800 odd"]
    );
}

#[test]
fn string_parameters_are_references_and_integer_parameters_are_copies() {
    assert_eq!(
        prints(
            "(defstring a \"old\") (definteger n 1)
             (defun set (s) (setstr s \"new\")) (defun through (s) (set s) 0)
             (defun number (n) (setint n 7))",
            "(through a) (number n) (set \"a literal\") (printf \"%s %d\\n\" a n)"
        ),
        ["new 1"]
    );
}

#[test]
fn recursion_is_bounded_and_cancels_only_its_firing() {
    let script = load(
        "(defun f (n) (f (+ n 1))) (vprobe VMMLoad (printf \"in\\n\") (f 0) (printf \"out\\n\"))
         (vprobe VMMLoad (printf \"next\\n\"))",
    );
    let mut bench = Bench::new(&script);
    bench.run(Duration::ZERO);
    let counts = bench.session.counts();
    assert_eq!((counts[0].cancelled, counts[1].cancelled), (1, 0));
    let lines = bench.finish();
    let texts: Vec<_> = lines.iter().map(crate::OutputLine::text).collect();
    assert_eq!(texts.len(), 3);
    assert_eq!((&*texts[0], &*texts[2]), ("in", "next"));
    assert!(
        texts[1].starts_with("test.vp:1:14: it called too deep: more than 256 calls"),
        "{}",
        texts[1]
    );
}

#[test]
fn calls_leave_nothing_on_the_stacks() {
    // More calls than fit on the stacks.
    assert_eq!(
        prints(
            "(defun s (x) \"abc\") (defun n (x y) x) (definteger i)
             (defun many (k) (n (s \"tmp\") 1) (cond (k (many (- k 1)))))",
            "(many 200) (many 200) (many 200) (printf \"%s\\n\" (n (s (s \"q\")) 1))"
        ),
        ["abc"]
    );
}

#[test]
fn sprintf_may_use_its_own_target() {
    assert_eq!(
        prints(
            "(defstring s \"a\")",
            "(sprintf s \"%s-%s %02x\" s s 5) (printf \"%d %s\\n\" (sprintf s \"<%s>\" s) s)"
        ),
        ["1 <a-a 05>"]
    );
    let long = "x".repeat(200);
    assert_eq!(
        prints(&format!("(defstring s \"{long}\")"), "(sprintf s \"%s%s\" s s) (logstr s)"),
        ["x".repeat(255)]
    );
}

#[test]
fn logstr_and_logint_add_nothing() {
    assert_eq!(
        prints("", "(logstr \"a\\n\") (logint -1) (logstr \"|\") (logint 5)"),
        ["a", "18446744073709551615|5"]
    );
}

#[test]
fn strcmp_orders() {
    assert_eq!(
        prints(
            "",
            "(printf \"%d %d %d\\n\" (strcmp \"a\" \"b\") (strcmp \"b\" \"b\") (strcmp \"c\" \"b\"))"
        ),
        ["-1 0 1"]
    );
}

#[test]
fn getsystemtime_in_both_forms() {
    let clock = crate::engine::Clock::Machine { start: Duration::from_secs(1_000_000) };
    let script = load_for(
        "(definteger t) (vprobe VMM10Hz
           (printf \"%d %d %d\\n\" (getsystemtime) (getsystemtime t) t))",
        &Options { clock, ..Options::default() },
    );
    let mut bench = Bench::new(&script);
    bench.run(Duration::from_millis(250));
    assert_eq!(
        bench.script_lines(),
        ["1000000100000 1 1000000100000", "1000000200000 1 1000000200000"]
    );
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_micros();
    let lines = prints("", "(printf \"%d\\n\" (getsystemtime))");
    let seen: u128 = lines[0].parse().expect("a number");
    assert!(seen >= now && seen < now + 60_000_000);
}

#[test]
fn exit_ends_the_firing_and_unload_the_script() {
    let lines = lines_of(
        "(definteger n)
         (vprobe VMM10Hz (setint n (+ n 1)) (cond ((== n 2) (exit ))) (printf \"%d\\n\" n)
           (cond ((== n 3) (unload))) (printf \"after\\n\"))
         (vprobe VMMUnload (printf \"end\\n\"))",
    );
    assert_eq!(lines, ["1", "after", "3", "end"]);
}

#[test]
fn bags_take_pairs_out_in_the_order_they_came_and_refuse_when_full() {
    assert_eq!(
        prints(
            "(defbag b 3)",
            "(printf \"%d%d%d%d\\n\" (baginsert b 7 1) (baginsert b 7 2) (baginsert b 8 3)
               (baginsert b 9 4))
             (printf \"%d %d %d %d\\n\" (bagremove b 7) (bagremove b 7) (bagremove b 7)
               (bagremove b 8))
             (printf \"%d %d\\n\" (baginsert b 9 5) (bagremove b 9))"
        ),
        ["1110", "1 2 0 3", "1 5"]
    );
    let mut bench = Bench::new(&load("(defbag b 1) (vprobe VMM10Hz (baginsert b VCPUID 1))"));
    bench.run(Duration::from_secs(1));
    bench.session.finish();
    let lines = bench.finish();
    assert_eq!(lines[0].text(), "b: 9 pairs were dropped, because it was full of pairs");
}

#[test]
fn aggregates_are_printed_when_asked_for_and_at_the_end() {
    let script = load(
        "(defaggr pf 1 0) (defaggr by 1 1 1) (definteger n)
         (vprobe VMM10Hz (setint n (+ n 1)) (aggr pf (0x10) () n) (aggr by (n) (PROBENAME) 5))
         (vprobe VMM1Hz (logaggr pf) (clearaggr pf))",
    );
    let mut bench = Bench::new(&script);
    bench.run(Duration::from_millis(1150));
    bench.session.finish();
    bench.session.finish();
    let lines = bench.script_lines();
    assert_eq!(
        lines[..2],
        [
            "aggr: pf (1 integer key) (0 string keys)",
            "  pf[0x10] == avg 5 count 10 min 1 max 10 latest 10"
        ]
    );
    assert_eq!(
        lines[2..4],
        [
            "aggr: pf (1 integer key) (0 string keys)",
            "  pf[0x10] == avg 11 count 1 min 11 max 11 latest 11"
        ]
    );
    assert_eq!(lines[4], "aggr: by (1 integer key) (1 string key)");
    assert_eq!(lines[5], "  by[0x1,\"VMM10Hz\"] == avg 5 count 1 min 5 max 5 latest 5");
    assert_eq!(lines.len(), 5 + 11);
}

#[test]
fn aggregation_functions_and_stack_keys() {
    let script = load(
        "(defaggr calls 0 1) (defaggr h 0 0)
         (vprobe VMM10Hz (aggr calls () ((gueststack)) (count)) (aggr h () () (hist ARG0)))",
    );
    let mut bench = Bench::new(&script);
    bench.run(Duration::from_secs(1));
    bench.session.finish();
    assert_eq!(
        bench.script_lines(),
        [
            "aggr: calls (0 integer keys) (0 string keys) (1 stack key)",
            "  calls[GUEST_0xfffffffffb8545c6_0xfffffffffb854a79] == count 10",
            "aggr: h (0 integer keys) (0 string keys)",
            "  h[] == avg 0 count 10 min 0 max 0",
            "    [0]         10 |@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@|",
        ]
    );
}

#[test]
fn a_predicate_decides_whether_it_is_a_firing() {
    let script = load(
        "(definteger n) (vprobe VMM10Hz / (== (% (setint n (+ n 1)) 2) 0) / (printf \"%d\\n\" n))",
    );
    let mut bench = Bench::new(&script);
    bench.run(Duration::from_millis(500));
    let counts = bench.session.counts();
    assert_eq!((counts[0].firings, counts[0].filtered), (2, 3));
    assert_eq!(bench.script_lines(), ["2", "4"]);
}

#[test]
fn an_assertion_tells_where_and_cancels() {
    let (lines, notices) =
        in_guest("(assert (== n 0)) (assert n \"n is %d\" n) (printf \"not reached\\n\")");
    assert_eq!(lines, ["test.vp:1:64: assertion failed: n is 0"]);
    assert_eq!(notices.len(), 1);
    assert!(notices[0].starts_with("test.vp:1:64: an assertion failed; this firing"));
}

#[test]
fn a_machine_probe_runs_once_and_has_no_registers() {
    let script = load(
        "(definteger n) (vprobe VMXLoad (printf \"load %d\\n\" NUMVCPUS))
         (vprobe VMX1Hz (setint n (+ n 1)) (printf \"tick %d\\n\" n))
         (vprobe VMM1Hz (setint n (+ n 10)) (printf \"vcpu %d\\n\" n))
         (vprobe VMXUnload (printf \"unload %d\\n\" n) (printf \"%x\\n\" RIP))",
    );
    let mut bench = Bench::new(&script);
    // This isn't the boot processor, so it has no machine probes.
    bench.run(Duration::from_secs(1));
    bench.hook = vmm::hook::Attach::attach(&bench.session, 0, 2);
    bench.run(Duration::from_secs(2));
    let lines = bench.finish();
    let texts: Vec<_> = lines.iter().map(crate::OutputLine::text).collect();
    assert_eq!(
        texts[..7],
        ["vcpu 10", "load 2", "tick 1", "vcpu 10", "tick 2", "vcpu 20", "unload 2"]
    );
    assert!(
        texts[7]
            .contains("RIP belongs to a vCPU, and this probe runs in none (non-vcpu vmx threads)"),
        "{}",
        texts[7]
    );
}

#[test]
fn what_scripts_from_the_field_look_like() {
    // Names that the Emmett compiler makes, blanks before a closing parenthesis, n-ary operators.
    assert_eq!(
        prints(
            "(version 1.0) (definteger ~plocal0:x 2) (definteger my-rip) (defun ~f:0 () 5)",
            "(setint my-rip (+ ~plocal0:x (~f:0 ) 1)) (printf \"%d %d\\n\" my-rip (== 1 1 1))"
        ),
        ["8 1"]
    );
}
