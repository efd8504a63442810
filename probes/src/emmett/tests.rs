//! Emmett, as the user of a guest sees it.

mod additions;
mod mistakes;
mod preprocessor;

use std::time::Duration;

use crate::testing::{Bench, KERNEL, load_emmett, load_source, put_kernel, tsc_sync_symbols};
use crate::{Diagnostics, LineKind, Options, Script, Source};

const SECOND: Duration = Duration::from_secs(1);

/// What a script prints in a second, with a structure of the guest at `KERNEL + 0x100`.
fn run(text: &str) -> (Vec<String>, Vec<String>) {
    let mut bench = Bench::new(&load_emmett(text));
    fill(&bench);
    bench.run(SECOND);
    bench.session.finish();
    let lines = bench.finish();
    let of = |kind| {
        let lines = lines.iter().filter(move |line| line.kind == kind);
        lines.map(|line| line.text().into_owned()).collect()
    };
    (of(LineKind::Script), of(LineKind::Notice))
}

fn fill(bench: &Bench) {
    let task = KERNEL + 0x100;
    put_kernel(&bench.memory, task + 0x10, &42_u32.to_le_bytes());
    put_kernel(&bench.memory, task + 0x20, b"init\0and more of that");
    put_kernel(&bench.memory, task + 0x30, &(task + 0x100).to_le_bytes());
    put_kernel(&bench.memory, task + 0x110, &43_u32.to_le_bytes());
    put_kernel(&bench.memory, task + 0x120, b"0123456789abcdef");
    put_kernel(&bench.memory, task + 0x38, &[1, 0, 2, 0, 3, 0, 4, 0]);
    put_kernel(&bench.memory, task + 0x40, &[0b1010_1101, 0x12]);
}

/// The lines of a script that causes no warnings or notices.
fn prints(text: &str) -> Vec<String> {
    let (lines, notices) = run(text);
    assert!(notices.is_empty(), "{notices:?}");
    lines
}

/// What a probe's body prints when it fires once.
fn body(text: &str) -> Vec<String> {
    prints(&format!("VMMLoad {{ {text} }}"))
}

fn refused(text: &str) -> Diagnostics {
    match Script::load(&[Source::new("t.emt", text)], &Options::default()) {
        Ok(_) => panic!("accepted: {text}"),
        Err(diagnostics) => diagnostics,
    }
}

/// The message and the label of the only error.
fn error(text: &str) -> (String, String) {
    let diagnostics = refused(text);
    let list: Vec<_> = diagnostics.iter().collect();
    assert_eq!(list.len(), 1, "{diagnostics}");
    (list[0].message.clone(), list[0].label.clone())
}

const TASK: &str = "
    typedef unsigned int u32;
    struct task {
        @0x10 u32 pid;
        @0x20 char comm[16];
        struct task *next;
        short numbers[4];
        int low : 3, high : 5;
        struct { char inner; };
    };";

#[test]
fn the_samples_of_the_manual() {
    assert_eq!(prints("VMM1Hz printf(\"hi %d\\n\", VCPUID);"), ["hi 1"]);
    assert_eq!(
        prints("VMM1Hz { string s; gueststack(s); printf(\"%s\\n\", s); }"),
        ["GUEST_0xfffffffffb8545c6_0xfffffffffb854a79"]
    );
    // A probe with parameters, and an aggregate with two integer keys.
    let (lines, _) =
        run("aggr io[2]; In(int port, int size) { io[size, port]++; } VMMLoad exit();");
    assert!(lines.is_empty());
}

#[test]
fn control_flow() {
    assert_eq!(
        body(
            "int i; int sum = 0;
             for (i = 0; i < 10; i++) { if (i == 3) continue; if (i == 7) break; sum += i; }
             printf(\"%d %d\\n\", i, sum);
             for (int j = 3; j; j--) printf(\"%d\", j);
             printf(\"%s\\n\", i > 6 ? \"more\" : \"less\");
             if (sum == 0) printf(\"no\\n\"); else if (sum == 18) printf(\"yes\\n\"); else printf(\"no\\n\");
             return;
             printf(\"not reached\\n\");"
        ),
        ["7 18", "321more", "yes"]
    );
}

#[test]
fn an_endless_loop_is_ended_by_the_budget() {
    let (lines, notices) = run("VMMLoad { for (;;) ; } VMMUnload printf(\"end\\n\");");
    assert_eq!(lines, ["end"]);
    assert_eq!(notices.len(), 1);
    assert!(notices[0].contains("it took more than 100000 steps"), "{}", notices[0]);
}

#[test]
fn operators_as_in_c() {
    for (expression, expected) in [
        ("1 + 2 * 3 - 4 / 2", "5"),
        ("(1 + 2) * 3", "9"),
        ("7 % 4 << 2", "12"),
        ("1 | 6 & 3 ^ 8", "11"),
        ("!0 + ~0", "0"),
        ("-1 > 1", "1"),
        ("1 < 2 == 1", "1"),
        ("0 && 1 / 0 || 2", "1"),
        ("0x10 + 010 + 'a'", "121"),
        ("5 ? 0 ? 1 : 2 : 3", "2"),
        ("sizeof(int) + sizeof(char *) * 10", "84"),
        ("(char)0x1ff", "255"),
        ("(uint16)-1", "65535"),
        ("\"a\" == \"a\"", "1"),
        ("\"a\" + \"b\" != \"a\" \"b\"", "0"),
        ("strcmp(\"a\", \"b\") == -1", "1"),
        ("REG_RBX", "3"),
        ("1<-1", "1"),
    ] {
        assert_eq!(body(&format!("printf(\"%u\\n\", {expression});")), [expected], "{expression}");
    }
}

#[test]
fn assignments() {
    assert_eq!(
        prints(
            "int a = 5; string s = \"x\";
             VMMLoad { a += 2; a <<= 1; int b; b = a++; ++a; a--; --a; s += \"y\"; s = s + \"z\";
               printf(\"%d %d %s %d\\n\", a, b, s, (a = 3) + a++ + a); }"
        ),
        ["14 14 xyz 10"]
    );
}

#[test]
fn structures_are_read_through_the_memory_model() {
    let text = format!(
        "{TASK}
         VMMLoad {{
             struct task *t;
             t = (struct task *)0xfffffffffb800100;
             printf(\"%d %s %d %s %d\\n\", t->pid, t->comm, t->next->pid, (string)t->next->comm,
                    sizeof(struct task));
             printf(\"%d %d %d %x\\n\", t->numbers[2], *t->numbers, (*t).next->pid,
                    &t->numbers[1]);
             printf(\"%d %d %d\\n\", t->low, t->high, t->inner);
             printf(\"%d\\n\", (t + 1) - t + ((struct task *)0 + 2));
             printf(\"%x %x\\n\", *(int *)(&t->pid), ((char *)&t->comm)[1]);
         }}"
    );
    assert_eq!(
        prints(&text),
        ["42 init 43 0123456789abcdef 72", "3 1 43 fffffffffb80013a", "5 21 18", "216", "2a 6e"]
    );
}

#[test]
fn sizes_follow_the_memory_model() {
    assert_eq!(
        prints(
            "struct a { char c; long l; char *p; };
             memmodel guest32;
             struct b { char c; long l; char *p; };
             union u { int i; char c[6]; };
             @MEMORY_MODEL = guest16
             struct d { int i; char *p; };
             VMMLoad printf(\"%d %d %d %d\\n\", sizeof(struct a), sizeof(struct b), sizeof(union u),
                            sizeof(struct d));"
        ),
        ["24 12 8 4"]
    );
    assert_eq!(
        prints(
            "memmodel guestphys;
             VMMLoad { printf(\"%x\\n\", *(int *)0x200110); int *p = (int *)0x200110; printf(\"%x\\n\", *p); }"
        ),
        ["2a", "2a"]
    );
    assert_eq!(
        error("memmodel vmw64; VMMLoad exit();").0,
        "memory model vmw64 is not available: there is no hypervisor memory"
    );
}

#[test]
fn a_field_at_the_end_of_a_page_is_read_in_its_size() {
    // In the original, each read had 8 bytes, so this read failed.
    let (lines, notices) = run("VMMLoad { printf(\"%x\\n\", *(int *)0xfffffffffb9ffffc);
                                          printf(\"%x\\n\", *(long *)0xfffffffffb9ffffc); }");
    assert_eq!((lines.len(), notices.len()), (1, 1));
}

#[test]
fn locals_are_local() {
    assert_eq!(
        prints(
            "int f(int n) { int mine = n; if (n) f(n - 1); return mine; }
             VMM10Hz { int x; x++; string s; s += \"a\"; kept++;
                       if (kept == 3) printf(\"%d %s %d %d\\n\", x, s, kept, f(5)); }"
        ),
        ["1 a 3 5"]
    );
}

#[test]
fn functions_take_integers_by_value_and_strings_by_reference() {
    assert_eq!(
        prints(
            "void twice(string s, int n); string name(int n) { if (n) return \"yes\"; return \"no\"; }
             void twice(string s, int n) { s = s + s; n = 0; }
             VMMLoad { string s = \"ab\"; int n = 3; twice(s, n); twice(\"x\", 1);
                       printf(\"%s %d %s\\n\", s, n, name(n)); }"
        ),
        ["abab 3 yes"]
    );
}

#[test]
fn names_that_nobody_declared() {
    assert_eq!(
        prints(&format!(
            "{TASK}
             VMMLoad {{ count = count + 1; who = \"x\"; t = (struct task *)0xfffffffffb800100;
                        u = t; sprintf(line, \"%d\", u->pid); seen[count, who]++; }}
             VMMUnload printf(\"%d %s %s\\n\", count, who, line);"
        )),
        [
            "1 x 42",
            "aggr: seen (1 integer key) (1 string key)",
            "  seen[0x1,\"x\"] == avg 1 count 1 min 1 max 1 latest 1"
        ]
    );
}

#[test]
fn aggregates() {
    assert_eq!(
        prints(
            "aggr a[1]; aggr b[0][1]; perhost aggr none; aggr h; aggr c[1];
             VMM10Hz { n++; a[n / 6] <- n; b[PROBENAME]++; h[] = hist(n); c[1] = count();
                       if (n == 10) printf(\"%d %d %d %d %d %d %d\\n\", a[1], count(a[1]), avg(a[1]),
                                           min(a[0]), max(a[0]), latest(a[0]), a[9]); }"
        ),
        [
            "40 5 8 1 5 5 0",
            "aggr: a (1 integer key) (0 string keys)",
            "  a[0x0] == avg 3 count 5 min 1 max 5 latest 5",
            "  a[0x1] == avg 8 count 5 min 6 max 10 latest 10",
            "aggr: b (0 integer keys) (1 string key)",
            "  b[\"VMM10Hz\"] == avg 1 count 10 min 1 max 1 latest 1",
            "aggr: h (0 integer keys) (0 string keys)",
            "  h[] == avg 5 count 10 min 1 max 10",
            "    [1]              1 |@@@@@@@@@@                              |",
            "    [2, 4)           2 |@@@@@@@@@@@@@@@@@@@@                    |",
            "    [4, 8)           4 |@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@|",
            "    [8, 16)          3 |@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@          |",
            "aggr: c (1 integer key) (0 string keys)",
            "  c[0x1] == count 10",
        ]
    );
}

#[test]
fn stacks_as_keys_and_as_strings() {
    assert_eq!(
        prints("VMM10Hz { hot[gueststack(1)]++; } VMMUnload printf(\"%s\\n\", gueststack());"),
        [
            "GUEST_0xfffffffffb8545c6_0xfffffffffb854a79",
            "aggr: hot (0 integer keys) (0 string keys) (1 stack key)",
            "  hot[GUEST_0xfffffffffb8545c6] == avg 1 count 10 min 1 max 1 latest 1",
        ]
    );
}

#[test]
fn bags_give_away() {
    assert_eq!(
        prints(
            "bag b[2]; VMMLoad { b[1] <- 5; int r = (b[1] <- 6); printf(\"%d %d %d %d\\n\", r, b[1], b[1], b[1]); }"
        ),
        ["1 5 6 0"]
    );
}

#[test]
fn predicates() {
    assert_eq!(
        prints(
            "VMM10Hz /++n == 3 && (n / 3) == 1/ printf(\"%d\\n\", n); VMM1Hz /VCPUID == 9/ { exit(); }"
        ),
        ["3"]
    );
}

#[test]
fn try_and_catch() {
    assert_eq!(
        body(
            "try { printf(\"%d\\n\", 1 / (VCPUID - 1)); } catch { printf(\"%s: %s\\n\", excname(), excdesc()); }
             try { getguest(5); printf(\"not reached\\n\"); } catch () printf(\"%s\\n\", excname());
             for (i = 0; i < 300; i++) { try { if (i > 5) break; continue; } catch ; }
             try { f(3); } catch printf(\"%s\\n\", excname());
             printf(\"%d\\n\", i); } int f(int n) { if (n) return f(n - 1); return *(int *)n;"
        ),
        [
            "DivideByZero: division by zero",
            "BadAddress",
            "BadAddress",
            "6",
        ]
    );
}

#[test]
fn a_used_up_budget_can_not_be_caught() {
    let (lines, notices) = run("VMMLoad { try { for (;;) ; } catch printf(\"caught\\n\"); }");
    assert!(lines.is_empty());
    assert_eq!(notices.len(), 1);
}

#[test]
fn assertions_name_their_place() {
    let (lines, notices) =
        run("VMMLoad {\n  assert(1);\n  assert(n == 1, \"n is %d\", n);\n  n = 1; }");
    assert_eq!(lines, ["test.emt:3:3: assertion failed: n is 0"]);
    assert_eq!(notices.len(), 1);
}

#[test]
fn symbols() {
    let options = Options { symbols: Some(tsc_sync_symbols()), ..Options::default() };
    let script = load_source(
        "test.emt",
        "VMMLoad { printf(\"%s %d\\n\", symname(&tsc_ready), &tsc_ready == &tsc_ready); }",
        &options,
    );
    let mut bench = Bench::new(&script);
    bench.run(SECOND);
    assert_eq!(bench.script_lines(), ["tsc_ready 1"]);
    let text = "VMMLoad { x = &tsc_raedy; }";
    let found = Script::load(&[Source::new("t.emt", text)], &options).expect_err("no symbol");
    assert!(found.to_string().contains("did you mean tsc_ready?"), "{found}");
}

#[test]
fn both_languages_load_side_by_side() {
    let sources = [
        Source::new("a.vp", "(defun f (n) n) (vprobe VMMLoad (printf \"vp %d\\n\" (f 1)))"),
        Source::new("b.emt", "int f(int n) { return n + 1; } VMMLoad printf(\"emt %d\\n\", f(1));"),
        Source::new("-e #1", "VMMLoad printf(\"e\\n\");"),
        Source::new("-e #2", "(vprobe VMMLoad (printf \"e2\\n\"))"),
    ];
    let script = Script::load(&sources, &Options::default()).expect("a script");
    let mut bench = Bench::new(&script);
    bench.run(SECOND);
    assert_eq!(bench.script_lines(), ["vp 1", "e2", "emt 2", "e"]);
}
