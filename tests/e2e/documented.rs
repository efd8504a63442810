//! The claim: everything that `docs/probes.md` marks as *runs* works on a real guest: each form,
//! function, operator, word and variable of its tables. Points are tested in `points.rs` and
//! `point_list.rs`, functions that change the guest in `destructive.rs`.

use std::fs;
use std::path::Path;

use crate::compile;
use crate::harness::{Finished, jitterbug};
use crate::scratch::Folder;

tests! {
    Nothing: nothing_that_runs_is_left_out;
    Kvm: forms_and_functions_of_vp, words_of_emmett, every_variable, a_script_is_unloaded;
    KvmAndCompiler: what_the_code_says;
}

/// After each `;;` is the expected output of the line before.
const VP: &str = r#"
(version 1.0) (definteger n 5) (definteger m) (defstring s "x") (defstring t) (defaggr a 1 1) (defbag b 1)
(defun twice (x) (* 2 x))
(vprobe VMMLoad / (== VCPUID 0) / (printf "exit before\n") (exit) (printf "exit behind\n"))
;; exit before
(vprobe VMMLoad / (== VCPUID 0) / (assert (== n 4) "assert %d\n" n) (printf "assert behind\n"))
;; assertion failed: assert 5
(vprobe VMMUnload / (== VCPUID 0) /
  (printf "definteger defstring printf %d %s\n" n s)
;; definteger defstring printf 5 x
  (printf "setint %d\n" (setint n 7))
;; setint 7
  (setstr t "y") (printf "setstr %s\n" t)
;; setstr y
  (printf "cond %d\n" (cond ((== n 1) 1) (1 2)))
;; cond 2
  (printf "do %d\n" (do 1 2 3))
;; do 3
  (printf "defun %d\n" (twice 21))
;; defun 42
  (sprintf t "%s!" s) (printf "sprintf %s\n" t)
;; sprintf x!
  (logstr "logstr logint ") (logint (- 1)) (logstr "\n")
;; logstr logint 18446744073709551615
  (aggr a (1) ("k") 5) (logaggr a) (clearaggr a)
;;   a[0x1,"k"] == avg 5 count 1 min 5 max 5 latest 5
  (printf "baginsert %d %d bagremove %d %d\n" (baginsert b 1 9) (baginsert b 2 9) (bagremove b 1) (bagremove b 1))
;; baginsert 1 0 bagremove 9 0
  (printf "strcmp %d %d\n" (== 0 (strcmp "a" "a")) (< 0 (strcmp "b" "a")))
;; strcmp 1 1
  (printf "getguest %d\n" (& (getguest "up") 255))
;; getguest 2
  (getgueststr t 12 "name.0") (printf "getgueststr %s\n" t)
;; getgueststr VMwareVMware
  (printf "getguestphys %d\n" (& (getguestphys 0x450000) 255))
;; getguestphys 2
  (getguestphysstr t 12 0x448000) (printf "getguestphysstr %s\n" t)
;; getguestphysstr VMwareVMware
  (printf "getsystemtime %d %d\n" (> (getsystemtime) 1700000000000000) (getsystemtime m))
;; getsystemtime 1 1
  (printf "getgpr %d\n" (== (getgpr REG_RSP) RSP))
;; getgpr 1
  (printf "readmsr %x\n" (& (readmsr 0xc0000080) 0x500))
;; readmsr 500
  (setstr t (symname 0xfffffffffb850000)) (printf "symname %s\n" t)
;; symname up
  (gueststack t) (printf "gueststack %d\n" (== 0 (strcmp t "")))
;; gueststack 0
  (printf "+ %d %d - %d %d * %d %d\n" (+ 1 2 3) (add 1 2) (- 9 2 3) (sub 9 2) (* 2 3 4) (mul 2 3))
;; + 6 3 - 4 7 * 24 6
  (printf "/ %d %d %% %d %d\n" (/ 40 2 5) (div 9 2) (% 9 5) (mod 9 2))
;; / 4 4 % 4 1
  (printf "<< %d %d >> %d %d\n" (<< 1 4) (lshift 1 64) (>> 16 4) (rshift 16 3))
;; << 16 0 >> 1 2
  (printf "& %d | %d ^ %d %d ~ %x\n" (& 12 10) (| 12 10) (^ 12 10) (xor 12 10) (~ 0))
;; & 8 | 14 ^ 6 6 ~ ffffffffffffffff
  (printf "< %d <= %d > %d >= %d == %d != %d\n" (< 1 (- 1)) (<= 2 2) (> 1 2) (>= 1 2) (== 1 1) (!= 1 1))
;; < 1 <= 1 > 0 >= 0 == 1 != 0
  (printf "&& %d %d || %d %d ! %d %d\n" (&& 1 0) (and 1 1) (|| 1 0) (or 0 0) (! 1) (not 0)))
;; && 0 1 || 1 0 ! 0 1
"#;

const EMMETT: &str = r#"
const int N = 5; enum { A, B = 7 };
typedef struct { @0x4 int second; int third; } T;
struct bits { int low : 4, high : 4; };
union both { uint32 word; char bytes[4]; };
perthread int counter; pervm aggr kept[1]; perhost bag box[4]; string s = "x"; aggr sums[1]; bag held[2];
memmodel guest64;
void note(string what) { printf("void %s\n", what); }
signed int minus(unsigned int a, int b) { return a - b; }
VMMUnload /VCPUID == 0/ {
    note("is called");
;; void is called
    T *name = (T *)0xfffffffffb848000; union both *first = (union both *)name; struct bits *bits = (struct bits *)name;
    printf("struct %x %x\n", name->second, name->third);
;; struct 4d566572 65726177
    printf("union %x %c%c\n", first->word, first->bytes[0], first->bytes[1]);
;; union 61774d56 VM
    printf("typedef sizeof %d %d\n", sizeof(T), sizeof(union both));
;; typedef sizeof 12 4
    printf("bit-field %x %x\n", bits->low, bits->high);
;; bit-field 6 5
    printf("enum const %d %d\n", B, N);
;; enum const 7 5
    printf("int8 %x uint8 %x int8_t %x uint8_t %x char %x\n", *(int8 *)name, *(uint8 *)name, *(int8_t *)name, *(uint8_t *)name, *(char *)name);
;; int8 56 uint8 56 int8_t 56 uint8_t 56 char 56
    printf("int16 %x uint16 %x int16_t %x uint16_t %x short %x\n", *(int16 *)name, *(uint16 *)name, *(int16_t *)name, *(uint16_t *)name, *(short *)name);
;; int16 4d56 uint16 4d56 int16_t 4d56 uint16_t 4d56 short 4d56
    printf("int32 %x uint32 %x int32_t %x uint32_t %x\n", *(int32 *)name, *(uint32 *)name, *(int32_t *)name, *(uint32_t *)name);
;; int32 61774d56 uint32 61774d56 int32_t 61774d56 uint32_t 61774d56
    printf("int64 %x uint64 %x int64_t %x uint64_t %x\n", *(int64 *)name, *(uint64 *)name, *(int64_t *)name, *(uint64_t *)name);
;; int64 4d56657261774d56 uint64 4d56657261774d56 int64_t 4d56657261774d56 uint64_t 4d56657261774d56
    printf("long %x\n", *(long *)name);
;; long 4d56657261774d56
    if (N == 4) printf("if\n"); else printf("else\n");
;; else
    for (int i = 0; i < 9; i++) { if (i == 1) continue; if (i == 3) break; counter += i; }
    printf("for continue break %d perthread\n", counter);
;; for continue break 2 perthread
    printf("return signed unsigned %d\n", minus(9, 4));
;; return signed unsigned 5
    try { x = *(char *)0xffff000000000000; printf("not here\n"); } catch { printf("try catch %d %d\n", excname() != "", excdesc() != ""); }
;; try catch 1 1
    kept[1] <- 4; kept[1] <- 6; sums[2] = sum(3);
    printf("pervm aggr count %d sum %d avg %d min %d max %d latest %d\n", count(kept[1]), sum(kept[1]), avg(kept[1]), min(kept[1]), max(kept[1]), latest(kept[1]));
;; pervm aggr count 2 sum 10 avg 5 min 4 max 6 latest 6
    box[1] <- 8; held[1] <- 3;
    printf("perhost bag %d %d\n", box[1], held[1]);
;; perhost bag 8 3
    printf("string %s\n", s + "y");
;; string xy
}
memmodel guestphys;
VMMUnload /VCPUID == 0/ { printf("memmodel guestphys %x\n", *(uint32 *)0x448000); }
;; memmodel guestphys 61774d56
memmodel guest32;
VMMUnload /VCPUID == 0/ { printf("guest32 %d\n", sizeof(long)); }
;; guest32 4
memmodel guest16;
VMMUnload /VCPUID == 0/ { printf("guest16 %d\n", sizeof(int)); }
;; guest16 2
"#;

/// Runs a script with `hello` on three vCPUs, and searches its output for every line after `;;`.
fn check(language: &str, text: &str) -> Finished {
    let (expected, code): (Vec<&str>, Vec<&str>) =
        text.lines().partition(|line| line.starts_with(";; "));
    let folder = Folder::new();
    let file = folder.file(&format!("all.{language}"), code.join("\n"));
    let run = jitterbug("run hello --cpus 3 --probe").arg(&file).ends_with(0);
    for line in &expected {
        let line = line.trim_start_matches(";; ");
        let printed = |printed: &str| printed == line || printed.ends_with(&format!(": {line}"));
        assert!(run.stderr.lines().any(printed), "no `{line}`: {run}");
    }
    assert!(expected.len() > 15, "{} lines", expected.len());
    run
}

fn forms_and_functions_of_vp() {
    let run = check("vp", VP);
    for never in ["exit behind", "assert behind"] {
        assert!(!run.stderr.contains(never), "{run}");
    }
    // The aggregate was emptied after it was printed, so it is not printed again at the end.
    assert_eq!(run.stderr.matches("aggr: a (").count(), 1, "{run}");
}

fn words_of_emmett() {
    check("emt", EMMETT);
}

fn docs() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/probes.md");
    fs::read_to_string(path).expect("docs/probes.md")
}

/// The rows of the table below a heading: the names in the first cell, and the text of the last
/// cell.
fn rows(docs: &str, heading: &str) -> Vec<(Vec<String>, String)> {
    let table = docs.lines().skip_while(|line| *line != heading).skip(1);
    let table = table.skip_while(|line| !line.starts_with('|')).skip(2);
    let row = |line: &str| {
        // A bar inside a cell is written as `\|`.
        let line = line.replace("\\|", "\u{1}");
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let words = cells[0].split_ascii_whitespace().map(|word| word.trim_matches('`'));
        let names = words.map(|word| word.replace('\u{1}', "|")).collect();
        (names, cells[cells.len() - 1].to_owned())
    };
    table.take_while(|line| line.starts_with('|')).map(row).collect()
}

/// The names in the rows that end with *runs*.
fn names(docs: &str, heading: &str) -> Vec<String> {
    let rows = rows(docs, heading).into_iter().filter(|(_, status)| status == "runs");
    let names: Vec<String> = rows.flat_map(|(names, _)| names).collect();
    assert!(!names.is_empty(), "{heading}");
    names
}

fn every_variable() {
    let names = names(&docs(), "### Variables");
    let texts = ["PROBENAME", "EXITNAME"];
    let print = |name: &String| {
        let form = if texts.contains(&name.as_str()) { "%s" } else { "%x" };
        format!("(printf \"{name} is {form}\\n\" {name})")
    };
    let all: String = names.iter().map(print).collect();
    let code = format!("(definteger n) (vprobe Out / (== n 0) / (setint n 1) {all})");
    let run = jitterbug("run hello --cpus 1").probe(&code).ends_with(0);
    let value = |name: &str| {
        let of = format!("{name} is ");
        run.lines_with(&of).next().unwrap_or_else(|| panic!("{name}: {run}")).to_owned()
    };
    let values: Vec<String> = names.iter().map(|name| value(name)).collect();
    assert!(values.len() > 90, "{}", values.len());
    assert_eq!((value("PROBENAME"), value("EXITNAME")), ("Out".into(), "port-write".into()));
    assert_eq!(
        (value("NUMVCPUS"), value("VCPUID"), value("ARG0")),
        ("1".into(), "0".into(), "3fa".into())
    );
    assert_eq!(
        (value("CS"), value("SS"), value("APIC_BASEPA")),
        ("8".into(), "10".into(), "fee00000".into())
    );
    assert!(value("RIP").starts_with("fffffffffb80") && value("RSP").starts_with("fffffffffb9"));
    for nothing in [
        "TSC", "TSC_HZ", "elapsed", "EFER", "CR0", "CR3", "CR4", "RFLAGS", "GDTRBASE", "IDTRBASE",
        "GSBASE",
    ] {
        assert_ne!(value(nothing), "0", "{nothing}: {run}");
    }
}

/// A script that is unloaded fires no more, except at the end.
fn a_script_is_unloaded() {
    let code = r#"(definteger n) (vprobe Out (setint n (+ n 1)) (printf "out %d\n" n) (unload))
                  (vprobe VMMUnload (printf "end %d\n" n))"#;
    let run = jitterbug("run hello --cpus 1").probe(code).ends_with(0);
    assert_eq!(run.stderr.matches("out ").count(), 1, "{run}");
    assert!(run.stderr.contains("end 1\n"), "{run}");
}

/// A script finds offsets in the guest's code, instead of getting them from the user.
fn what_the_code_says() {
    let before = r#"
__asm__(".globl pid_of\npid_of:\n\tmov 0x2e8(%rdi),%rax\n\tret\n"
	".globl current_task\ncurrent_task:\n\tmov %gs:0x188,%rax\n\tret\n"
	".globl name_of\nname_of:\n\tlea 0x5c0(%rbx),%rsi\n\tcall strcpy\n\tret\n"
	".globl strcpy\nstrcpy:\n\tret\n");
"#;
    let folder = Folder::new();
    let guest = compile::guest(&folder, "abba", before, &[]);
    let code = r#"VMMUnload /VCPUID == 0/ { printf("offsets %x %x %x\n", offatret(&pid_of),
                  offatseg(&current_task), offatstrcpy(&name_of, &strcpy)); }"#;
    let run = jitterbug("run --cpus 2 --timeout 5s").arg(&guest).probe(code);
    run.start().ends_with_any(&[0, 1]).1.says(&["offsets 2e8 188 5c0"]);
}

/// Each name of the tables is used by a test.
fn nothing_that_runs_is_left_out() {
    let docs = docs();
    let here = include_str!("documented.rs");
    let changes = include_str!("destructive.rs");
    let linux = include_str!("linux_stacks.rs");
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let uses = |text: &str, name: &str| {
        if !name.starts_with(is_word) {
            return text.contains(&format!("({name} "));
        }
        text.split(|c| !is_word(c)).any(|word| word == name)
    };
    for heading in ["### Forms, functions and operators", "### Words of Emmett"] {
        for name in names(&docs, heading) {
            let own = here.split("fn a_script").nth(1).expect("tests");
            let texts = [VP, EMMETT, own, changes, linux];
            let used = texts.iter().any(|text| uses(text, &name));
            assert!(used, "{name} of {heading} is run by no test");
        }
    }
    // `point_list` runs an example of each point that `run` has.
    let replays = include_str!("points.rs");
    let points = rows(&docs, "### Probe points");
    let only = points.iter().filter(|(_, status)| status.starts_with("runs with replay"));
    let only: Vec<&String> = only.flat_map(|(names, _)| names).collect();
    assert!(only.len() > 8, "{only:?}");
    for name in only {
        assert!(uses(replays, name), "{name} is run by no test");
    }
}
