//! The claim: the cases in tests/scripts/runs: scripts with a real guest, or refused before one
//! runs. Each case runs `jitterbug` with its arguments and scripts, and compares its
//! outputs.

use std::path::Path;

use crate::harness::{Invocation, jitterbug};

#[path = "../scripts/format.rs"]
pub(crate) mod format;

use format::Case;

tests! {
    Nothing: cases_without_kvm, a_case_that_must_fail_fails;
    Kvm: cases_with_kvm;
}

const KEYS: &[&str] = &["NEEDS", "RUN", "PROG", "STATUS", "EXPECT", "EXPECT_STDERR"];

fn cases_without_kvm() {
    run_all("nothing");
}

fn cases_with_kvm() {
    run_all("kvm");
}

/// Runs the cases that need this.
fn run_all(needs: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/scripts/runs");
    let cases = format::read(&folder, KEYS, &["PROG"]).unwrap_or_else(|error| panic!("{error}"));
    let of = |case: &Case| case.value("NEEDS").unwrap_or("kvm").to_owned();
    for case in &cases {
        let known = ["kvm", "nothing"].contains(&&*of(case));
        assert!(known, "{}.test:{}: NEEDS is kvm or nothing", case.file, case.line);
    }
    match format::run_all(cases.iter().filter(|case| of(case) == needs), run) {
        Ok(count) => assert!(count > 0, "no case needs {needs}"),
        Err(failures) => panic!("{failures}"),
    }
}

fn run(case: &Case) -> Result<(), String> {
    let at = |problem: &str| format!("{}.test:{}: {}: {problem}", case.file, case.line, case.name);
    let arguments = case.value("RUN").ok_or_else(|| at("there is no RUN"))?;
    let status = case.value("STATUS").unwrap_or("0").parse();
    let status: i32 = status.map_err(|_| at("STATUS is no number"))?;
    let command = case.values("PROG").fold(jitterbug(arguments), Invocation::probe);
    let any = &(0..=6).collect::<Vec<i32>>();
    let (found, finished) = command.start().ends_with_any(any);
    if found != status {
        return Err(at(&format!("status {found} instead of {status}{finished}")));
    }
    case.compare("EXPECT", &finished.stdout)?;
    case.compare("EXPECT_STDERR", &finished.stderr)
}

fn a_case_that_must_fail_fails() {
    let failure = |text: &str| {
        let cases = format::parse("file", text, KEYS, &["PROG"]);
        let cases = cases.unwrap_or_else(|error| panic!("{error}"));
        format::run_all(&cases, run).expect_err(text)
    };
    let run = "NAME n\nRUN run hello --dump-pass parse\nPROG VMM1Hz x++;\n";
    let found = failure(&format!("{run}EXPECT\n    == parse: -e #1\n    VMM1Hz (x--);\n"));
    let expected = "1 of 1 cases failed:\nfile.test:4: n: EXPECT\n  == parse: -e #1\n\
                    - VMM1Hz (x--);\n+ VMM1Hz (x++);\n";
    assert_eq!(found, expected);
    let found = failure(&format!("{run}STATUS 2\nEXPECT ...\n"));
    assert!(found.contains("file.test:1: n: status 0 instead of 2"), "{found}");
    assert!(failure("NAME n\nEXPECT ...\n").contains("there is no RUN"));
}
