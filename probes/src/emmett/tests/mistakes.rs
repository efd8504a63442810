//! Mistakes in scripts: the message, the place and the advice.

use super::*;
use crate::front::foreign;

/// A script, the message about it, and the label at the place.
const MISTAKES: &[(&str, &str, &str)] = &[
    ("VMM1Hz printf(\"%d\\n\", NOSUCH);", "unknown ident NOSUCH", "expected a variable"),
    ("VMM1Hz prinft(\"x\");", "unknown ident prinft", "expected a function"),
    ("VMM1Hz while (1) ;", "Keyword not supported: while", "write a for loop: for (; condition; )"),
    (
        "static int x;",
        "Keyword not supported: static",
        "variables outside functions keep their values",
    ),
    ("VMM1Hz { printf(\"%s\\n\", 5); }", "this is an integer", "expected a string"),
    (
        "VMM1Hz { printf(\"%d\\n\"); }",
        "this conversion has no argument",
        "expected an integer behind the format",
    ),
    ("VMM1Hz { int x; x = \"a\"; }", "this is a string", "expected an integer"),
    ("VMM1Hz { RIP = 1; }", "RIP is built in and can't be assigned to", "expected a variable"),
    ("VMM1Hz { *(int *)5 = 1; }", "this can't be assigned to", "expected a variable"),
    ("VMM1Hz { x = 5->y; }", "this is an integer", "expected a pointer"),
    (
        "struct a { int b; }; VMM1Hz { x = ((struct a *)1)->c; }",
        "struct a has no field c",
        "expected one of its fields",
    ),
    (
        "VMM1Hz { x = ((struct a *)1)->c; }",
        "struct a is not defined",
        "expected a definition with its fields before this",
    ),
    (
        "struct a { int b; } c; VMM1Hz exit();",
        "c can't be struct a",
        "a variable is an integer, a pointer, a string, a bag or an aggregate",
    ),
    (
        "struct a { @8 int b; @4 int c; }; VMM1Hz exit();",
        "offsets must not decrease",
        "this lies before the end of the field before",
    ),
    ("bag b; VMM1Hz b[1]++;", "a bag can't be counted up", "expected bag[key] <- value"),
    ("aggr a[1]; VMM1Hz { a[1, 2]++; }", "2 integer and 0 string keys are given", "it has 1 and 0"),
    (
        "aggr a; VMM1Hz { a[] = hist(1); a[] = sum(1); }",
        "this aggregate is used in two ways",
        "expected the same function and the same stack key everywhere",
    ),
    ("aggr a[1]; VMM1Hz { x = a; }", "0 integer and 0 string keys are given", "it has 1 and 0"),
    (
        "pervm string x; VMM1Hz exit();",
        "only integers, bags and aggregates can be shared by all vCPUs",
        "expected perthread, or nothing",
    ),
    (
        "@VMK\nVMM1Hz exit();",
        "@VMK is not available: there is no vmkernel below this machine",
        "not available",
    ),
    ("VMM1Hz break;", "there is no loop around this", "expected a for"),
    (
        "int f() { return; } VMM1Hz exit();",
        "this function yields a value",
        "expected return and a value",
    ),
    (
        "int f(int x) { return x; } VMM1Hz f();",
        "f takes 1 arguments, and 0 are given",
        "expected as many as it has parameters",
    ),
    (
        "int f(int x); VMM1Hz f(1);",
        "f has a prototype and no body",
        "expected a function that is defined in some script",
    ),
    (
        "VMM1Hz curpid();",
        "curpid isn't built in: it depends on the guest's system",
        "expected a function that a script defines",
    ),
    (
        "VMM1Hz delayus(5);",
        "delayus changes what the guest does, and scripts may only look",
        "needs --destructive",
    ),
    ("VMM1Hz { printf(\"x\") }", "unexpected }", "expected ;"),
    ("VMM1Hz {", "this brace is never closed", "expected a } behind this"),
    ("VMM1Hz", "VMM1Hz has nothing to do", "expected a statement behind the probe point"),
    (
        "VMM3Hz exit();",
        "unknown probe point VMM3Hz",
        "expected a probe point such as VMM1Hz, VMM:TIMER:10msec or In",
    ),
    ("VMM1Hz printf(\"x);", "this string is never closed", "expected a closing \" on this line"),
    ("/* VMM1Hz exit();", "this comment is never closed", "expected a */ behind this"),
    ("VMM1Hz exit(); int x", "the script ends here", "expected ;"),
    ("VMM1Hz `", "unexpected character `", "expected a name, a number, a string or an operator"),
    ("int x; int x; VMM1Hz exit();", "x is defined twice", "here again"),
    ("VMM1Hz { \"a\" - \"b\"; }", "strings have no operator -", "expected +, == or !="),
    (
        "VMM1Hz { a[1] = lhist(5, -5, 5, 1); }",
        "a histogram's intervals can't begin below 0: integers are unsigned",
        "expected count(), hist(VALUE), lhist(VALUE, LOW, HIGH, STEP) or the like",
    ),
    (
        "VMM1Hz { x = count(); }",
        "count stands on the right of an aggregate, or has one inside",
        "expected aggregate[key] = count() or count(aggregate[key])",
    ),
];

#[test]
fn mistakes_are_shown_where_they_are() {
    for (text, message, label) in MISTAKES {
        let (found, at) = error(text);
        assert_eq!((&*found, &*at), (*message, *label), "{text}");
    }
}

#[test]
fn near_misses_get_a_suggestion() {
    for (text, help) in [
        ("VMM1Hz prinft(\"x\");", "did you mean printf?"),
        ("int number; VMM1Hz { x = nubmer; }", "did you mean number?"),
        ("struct a { int pid; }; VMM1Hz { x = ((struct a *)1)->pdi; }", "did you mean pid?"),
        ("memmodel guest46; VMM1Hz exit();", "did you mean guest64?"),
        ("VMM1hz exit();", "did you mean VMM1Hz?"),
        // Names of bpftrace and DTrace.
        (
            "BEGIN { exit(); }",
            "here that is VMMLoad, which fires on each vCPU before its first instruction",
        ),
        ("kprobe:vfs_read { n++; }", "here that is GUEST:ENTER:function"),
        ("interval:s:1 { n++; }", "here that is VMX:TIMER:1sec, which fires once for the machine"),
        ("VMM1Hz { @n = count(); }", foreign::AGGREGATE),
        ("VMM1Hz { @[gueststack()] = count(); }", foreign::AGGREGATE),
        ("@n = 5;", foreign::AGGREGATE),
        ("VMM1Hz { $x = 1; }", foreign::VARIABLE),
        ("VMM1Hz { printf(\"%d\\n\", cpu); }", "here that is VCPUID"),
        ("VMM1Hz { a[kstack] = count(); }", "here that is gueststack()"),
        ("VMM1Hz { a[1] = quantize(5); }", "here that is hist(value)"),
    ] {
        let found = refused(text);
        let help_found = found.iter().next().and_then(|d| d.help.clone()).unwrap_or_default();
        assert_eq!(help_found, help, "{text}");
    }
}
