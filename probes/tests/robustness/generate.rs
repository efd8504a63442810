//! Scripts that are made of scripts.

use crate::Random;

pub(crate) const VP: &[&str] = &[
    probes::ONE_GOOD_PROBE,
    "(version 1.0) (definteger n 5) (defstring s \"x\\ty\") (defaggr a 1 1) (defaggr b 0 1)
     (defaggr h 0 0) (defbag g 4)
     (defun f (k t) (cond ((== k 0) (do (setstr t \"done\") 1)) (1 (+ k (f (- k 1) t)))))
     (defun q (k) (q (+ k 1)))
     (vprobe VMM1Hz / (> n 0) / (aggr a (n) (s) (+ 1 n)) (aggr b () ((gueststack 4)) (count))
       (aggr h () () (lhist n 0 100 10)) (baginsert g n 1) (bagremove g n) (setint n (f 3 s))
       (sprintf s \"%-5s %#016llx%%\" s (+ n 1 2)) (printf \"%s\\n\" s) (q 1))
     (vprobe In (logint (getguest (+ ARG0 0x1000))) (getgueststr s 300 ARG0) (logstr s)
       (printf \"%d %d %d\\n\" (getguestphys n) (strcmp s \"a\") (/ n (- n n))))
     (vprobe HV_Exit (gueststack s) (logaggr a) (clearaggr b) (printf \"%s %x\\n\" EXITNAME
       (offatret RIP)) (assert (< n 9) \"n %d\\n\" n) (cond ((> n 5) (exit)) (1 (unload))))
     (vprobe VMMUnload (printf \"%d %s %s\\n\" (getgpr n) (symname RIP) PROBENAME))",
];

pub(crate) const EMMETT: &[&str] = &[
    "#define N 3
     #define M(a, b) ((a) + (b) * N)
     #ifdef N
     typedef struct t { @0x10 int pid; char comm[16]; struct t *next; int a : 3, b : 7; union { int c; long d[2]; }; } T;
     #endif
     enum { A, B = 5 }; const int K = 7; memmodel guest64; aggr g[1][1]; aggr h; bag b[8]; string s = \"x\" \"y\";
     int f(int n, string r) { if (n > 3) return n; r = r + \"z\"; return f(n + 1, r) + sizeof(T); }
     VMM1Hz /VCPUID < N/ { int i; for (i = 0; i < 9; i++) { if (i == 4) continue; g[i, s] <- i; hot[gueststack(3)]++; }
       T *p = (T *)0x1000; try { printf(\"%d %s %d %d\\n\", p->pid, p->comm, p->next->a, p->d[1]); } catch { printf(\"%s\\n\", excdesc()); }
       h[] = hist(M(i, B)); b[1] <- i; x = b[1] + count(g[1, s]); y = \"a\" + s; printf(\"%x %s\\n\", f(x, y) ? A : ~K, y); }
     In(int port) { seen[port, PROBENAME]++; assert(port != 5, \"%d\\n\", port); for (;;) x = x * 3 + *(char *)port; }
     VMM:TIMER:10msec { gueststack(s); logaggr(g); clearaggr(h); }
     VMMUnload exit();",
    "VMMLoad { count = count + 1; if (count == 1 && RIP >= 0x10) printf(\"%d\\n\", count); else unload(); }",
];

pub(crate) const WORDS: &[&str] = &[
    "(",
    ")",
    "(",
    ")",
    "{",
    "}",
    "[",
    "]",
    ";",
    ",",
    "\"",
    "'",
    "\\",
    "/",
    "*",
    "&",
    "->",
    "<-",
    "++",
    "--",
    "+",
    "-",
    "=",
    "==",
    "<",
    "?",
    ":",
    "!",
    "~",
    "@",
    "#",
    "#define",
    "#include",
    "#if",
    "#else",
    "#endif",
    "\n",
    "\"%s\"",
    "\"%d\\n\"",
    "\"%-255x\"",
    "0",
    "1",
    "-1",
    "5",
    "64",
    "255",
    "1000",
    "0xffffffffffffffff",
    "18446744073709551615",
    "99999999999999999999",
    "n",
    "s",
    "a",
    "b",
    "f",
    "x",
    "VMM1Hz",
    "VMMLoad",
    "In",
    "HV_Exit",
    "GUEST:ENTER:0x10",
    "USEC:100",
    "VMM:PROFILE:1msec",
    "vprobe",
    "defun",
    "defaggr",
    "defbag",
    "definteger",
    "defstring",
    "setint",
    "setstr",
    "cond",
    "do",
    "printf",
    "sprintf",
    "aggr",
    "count",
    "hist",
    "lhist",
    "gueststack",
    "getguest",
    "getgueststr",
    "exit",
    "unload",
    "bag",
    "string",
    "int",
    "char",
    "struct",
    "union",
    "enum",
    "typedef",
    "const",
    "sizeof",
    "if",
    "else",
    "for",
    "try",
    "catch",
    "return",
    "break",
    "continue",
    "memmodel",
    "guest64",
    "guestphys",
    "RIP",
    "ARG0",
    "VCPUID",
    "PROBENAME",
    "NULL",
    "é",
    "\u{feff}",
    "\0",
];

/// Splits a script into words and what is between them.
fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut before = None;
    for character in text.chars() {
        let is_word = character.is_alphanumeric() || character == '_';
        match words.last_mut() {
            Some(last) if is_word && before == Some(true) => last.push(character),
            _ => words.push(character.to_string()),
        }
        before = Some(is_word);
    }
    words
}

/// Puts a script together from pieces of those that work: mostly with one change that leaves it a
/// script, sometimes with many that don't.
pub(crate) fn script(random: &mut Random, seeds: &[&str]) -> String {
    let mut text = words(random.pick(seeds));
    let edits = if random.below(4) == 0 { 1 + random.below(10) } else { 1 };
    for _ in 0..edits {
        let at = random.below(text.len());
        let end = (at + 1 + random.below(12)).min(text.len());
        match random.below(10) {
            0 => drop(text.drain(at..end)),
            1 => {
                let piece = text[at..end].to_vec();
                let to = random.below(text.len() + 1);
                text.splice(to..to, piece);
            }
            2 => text.insert(at, format!(" {} ", random.pick(WORDS))),
            3 => {
                let times = 1 << random.below(12);
                text.insert(at, random.pick(WORDS).repeat(times));
            }
            // The rest puts a word in the place of another.
            _ => {
                let is_word = |word: &String| word.starts_with(|c: char| c.is_alphanumeric());
                let places: Vec<usize> =
                    (0..text.len()).filter(|&index| is_word(&text[index])).collect();
                let Some(&place) = places.get(random.below(places.len())) else { continue };
                text[place] = match random.below(3) {
                    0 => random.pick(WORDS).to_owned(),
                    1 => (random.next() >> random.below(64)).to_string(),
                    _ => text[places[random.below(places.len())]].clone(),
                };
            }
        }
        if text.is_empty() {
            break;
        }
    }
    text.concat()
}
