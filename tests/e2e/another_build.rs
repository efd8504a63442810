//! The claim: a finding is followed on another build of its guest by symbol, offset and hit count.
//! It is reproduced only if the same failure results; on a build without the bug it is not.

use std::path::{Path, PathBuf};

use crate::compile::guest;
use crate::harness::{Finished, jitterbug};
use crate::image;
use crate::scratch::Folder;

tests! {
    KvmAndCompiler: a_finding_survives_a_rebuild, a_repair_is_no_reproduction;
    Kvm: another_guest_is_refused, an_image_without_symbols_is_refused;
}

/// Guests, each with the options to find its bug.
const BUGS: &[(&str, &str)] = &[
    ("abba", ""),
    ("lost-wakeup", ""),
    ("pct-1b", ""),
    ("seqlock", "--strategy pct"),
    ("irq-mainline", ""),
];

/// Another build: its functions are at other addresses, and it makes more accesses before the race
/// begins.
fn moved_and_busier(folder: &Folder, name: &str) -> PathBuf {
    let before = "#include \"rt.h\"\n\nvoid __real_mark(void);\nvoid __wrap_mark(void);\n\n\
        void __wrap_mark(void)\n{\n\tprintf(\"another build\\n\");\n\t__real_mark();\n}\n";
    guest(folder, name, before, &["-Wl,--wrap=mark"])
}

/// Finds the bug of a guest of the catalogue. Returns the finding's file and its verdict.
fn find(folder: &Folder, name: &str, options: &str) -> (PathBuf, String) {
    let hunt = jitterbug(&format!("hunt {name} --runs 3000 {options} --json --out"));
    let report = hunt.arg(&**folder).ends_with(1).json();
    let found = &report["findings"][0];
    let verdict = found["finding"]["verdict"].as_str().expect("a verdict");
    (found["file"].as_str().expect("a finding").into(), verdict.into())
}

fn follow(finding: &Path, guest: impl AsRef<Path>, status: i32) -> Finished {
    let replay = jitterbug("replay --repeat 2").arg(finding).arg("--guest").arg(guest.as_ref());
    replay.ends_with(status).shows("")
}

fn a_finding_survives_a_rebuild() {
    let folder = Folder::new();
    for (name, options) in BUGS {
        let build = Folder::new();
        let (finding, verdict) = find(&folder, name, options);
        let followed = follow(&finding, moved_and_busier(&build, name), 0).says(&[
            "is another build: following by symbol+offset and hit counts",
            &format!("reproduced 2 times (same verdict, on another build): {verdict}"),
        ]);
        // The failure is not reproduced by chance: the switches found their places.
        let line = followed.stderr.lines().last().unwrap_or_default();
        let numbers: Vec<usize> =
            line.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse().ok()).collect();
        let [.., found, of] = numbers[..] else { panic!("{followed}") };
        assert!(found * 10 >= of * 9 && of > 1, "{followed}");
    }
}

fn a_repair_is_no_reproduction() {
    let folder = Folder::new();
    for (name, options) in BUGS {
        let build = Folder::new();
        let (finding, _) = find(&folder, name, options);
        let repaired = guest(&build, name, "", &["-DFIXED"]);
        // A switch finds no place where the bug is repaired, so another run was made.
        follow(&finding, repaired, 5).says(&["is another build", "replay 1: not carried over: "]);
    }
}

fn another_guest_is_refused() {
    let folder = Folder::new();
    let (finding, _) = find(&folder, "abba", "");
    follow(&finding, "pct-1b", 2).says(&["pct-1b: not the image", "it has no move_to_"]);
}

fn an_image_without_symbols_is_refused() {
    let folder = Folder::new();
    let (finding, _) = find(&folder, "abba", "");
    let stripped = image::exit(0).file();
    follow(&finding, &*stripped, 2).says(&["not the image", "no symbols to follow by"]);
}
