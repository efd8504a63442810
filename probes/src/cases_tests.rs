//! Runs the cases in tests/scripts/passes: scripts, and what a pass makes of them, what they print
//! in a guest without KVM, or how they are refused.

use std::path::Path;
use std::time::Duration;

use crate::diagnostic::Severity;
use crate::passes::Pass;
use crate::point::Mechanisms;
use crate::source::Location;
use crate::testing::{Bench, KERNEL, put_kernel, tsc_sync_symbols};
use crate::{Diagnostics, LineKind, Options, Script, Source};

#[path = "../../tests/scripts/format.rs"]
mod format;

use format::Case;

const KEYS: &[&str] = &[
    "OPTIONS",
    "GUEST",
    "PROG",
    "PASS",
    "RUN",
    "EXPECT",
    "EXPECT_NOTICE",
    "EXPECT_WARNING",
    "EXPECT_ERROR",
];

#[test]
fn every_case() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/scripts/passes");
    let cases = format::read(&folder, KEYS, &["PROG"]).unwrap_or_else(|error| panic!("{error}"));
    if let Err(failures) = format::run_all(&cases, run) {
        panic!("{failures}");
    }
}

/// Does what a case asks for, and compares.
fn run(case: &Case) -> Result<(), String> {
    let at = |problem: &str| format!("{}.test:{}: {}: {problem}", case.file, case.line, case.name);
    let name = |number: usize| match number {
        0 => case.file.clone(),
        _ => format!("{} #{}", case.file, number + 1),
    };
    let sources: Vec<Source> = case
        .values("PROG")
        .enumerate()
        .map(|(number, text)| Source::new(name(number), text))
        .collect();
    if sources.is_empty() {
        return Err(at("there is no PROG"));
    }
    let options = options(case).map_err(|problem| at(&problem))?;
    let loaded = match (case.value("PASS"), case.value("RUN")) {
        (Some(_), Some(_)) => return Err(at("PASS and RUN are two cases")),
        (Some(pass), None) => {
            let pass: Pass = pass.parse().map_err(|error| at(&format!("{error}")))?;
            Script::dump(&sources, &options, pass).map(|dumped| {
                // The header of a single part says nothing new.
                let lines = dumped.text.split_once('\n');
                let text = match lines {
                    Some((_, rest)) if !rest.contains("\n== ") => rest.to_owned(),
                    _ => dumped.text,
                };
                (dumped.warnings, text, String::new())
            })
        }
        (None, time) => match Script::load(&sources, &options) {
            Err(refused) => Err(refused),
            Ok(script) => {
                let warnings = script.warnings().clone();
                let (printed, notices) = match time {
                    Some(time) => printed(case, &script, time).map_err(|problem| at(&problem))?,
                    None => Default::default(),
                };
                Ok((warnings, printed, notices))
            }
        },
    };
    match loaded {
        Err(refused) => case.compare("EXPECT_ERROR", &listed(&refused)),
        Ok(_) if case.value("EXPECT_ERROR").is_some() => case.compare("EXPECT_ERROR", ""),
        Ok((warnings, text, notices)) => case
            .compare("EXPECT_WARNING", &listed(&warnings))
            .and_then(|()| case.compare("EXPECT", &text))
            .and_then(|()| case.compare("EXPECT_NOTICE", &notices)),
    }
}

fn options(case: &Case) -> Result<Options, String> {
    let mut options = Options::default();
    for line in case.value("OPTIONS").unwrap_or_default().lines() {
        match line.split_once(' ').unwrap_or((line, "")) {
            ("--set", setting) => {
                let (name, value) = setting.split_once('=').ok_or("--set lacks a value")?;
                options.parameters.push((name.into(), value.into()));
            }
            ("--strict-vp", "") => options.strict = true,
            ("--destructive", "") => options.destructive = true,
            ("--timestamps", "") => options.timestamps = true,
            ("--symbols", "tsc-sync") => {
                options.symbols = Some(tsc_sync_symbols());
                options.mechanisms = Mechanisms::all();
            }
            _ => return Err(format!("unknown option {line}")),
        }
    }
    Ok(options)
}

/// What a script prints on vCPU 1 of 2 in this number of milliseconds, and its notices.
fn printed(case: &Case, script: &Script, time: &str) -> Result<(String, String), String> {
    let time = time.strip_suffix(" ms").and_then(|count| count.parse().ok());
    let time = time.ok_or("RUN lacks a time such as 1000 ms")?;
    let mut bench = Bench::new(script);
    fill(&bench, case.value("GUEST"))?;
    bench.run(Duration::from_millis(time));
    bench.session.finish();
    let lines = bench.finish();
    let of = |kind| {
        let lines = lines.iter().filter(move |line| line.kind == kind);
        lines.map(|line| line.text().into_owned()).collect::<Vec<_>>().join("\n")
    };
    Ok((of(LineKind::Script), of(LineKind::Notice)))
}

/// Fills the guest's memory: with strings, or with structures.
fn fill(bench: &Bench, guest: Option<&str>) -> Result<(), String> {
    let put = |address, bytes: &[u8]| put_kernel(&bench.memory, address, bytes);
    match guest {
        None => {}
        Some("strings") => {
            put(KERNEL + 0x100, b"hello, guest\0rest");
            put(KERNEL + 0x1f_fffc, b"end\0");
        }
        Some("tasks") => {
            let task = KERNEL + 0x100;
            put(task + 0x10, &42_u32.to_le_bytes());
            put(task + 0x20, b"init\0and more of that");
            put(task + 0x30, &(task + 0x100).to_le_bytes());
            put(task + 0x110, &43_u32.to_le_bytes());
            put(task + 0x120, b"0123456789abcdef");
            put(task + 0x38, &[1, 0, 2, 0, 3, 0, 4, 0]);
            put(task + 0x40, &[0b1010_1101, 0x12]);
        }
        Some(other) => return Err(format!("unknown guest {other}: expected strings or tasks")),
    }
    Ok(())
}

/// The diagnostics as text: for each its place and message, and indented the label, the related
/// place and the advice.
fn listed(diagnostics: &Diagnostics) -> String {
    let place = |location: Location| match location.file.split_once(" #") {
        Some((_, number)) => format!("#{number}:{}:{} ", location.line, location.column),
        None => format!("{}:{} ", location.line, location.column),
    };
    let mut lines = Vec::new();
    for diagnostic in diagnostics.iter() {
        let at = diagnostics.location(diagnostic).map_or(String::new(), place);
        let kind = if diagnostic.severity == Severity::Warning { "warning: " } else { "" };
        lines.push(format!("{at}{kind}{}", diagnostic.message));
        if !diagnostic.label.is_empty() {
            lines.push(format!("  {}", diagnostic.label));
        }
        if let Some((span, label)) = &diagnostic.related {
            lines.push(format!("  related {}{label}", place(diagnostics.place(*span))));
        }
        lines.extend(diagnostic.help.as_ref().map(|help| format!("  help: {help}")));
    }
    lines.join("\n")
}

fn parse(text: &str) -> Result<Vec<Case>, String> {
    format::parse("file.vp", text, KEYS, &["PROG"])
}

#[test]
fn a_case_that_must_fail_fails() {
    let failure = |text: &str| {
        let cases = parse(text).unwrap_or_else(|error| panic!("{error}"));
        format::run_all(&cases, run).expect_err(text)
    };
    let prog = "NAME n\nPROG (vprobe VMMLoad (printf \"a\\nb\\n\"))\n";
    let found = failure(&format!("{prog}RUN 0 ms\nEXPECT\n    a\n    c\n"));
    let expected = "1 of 1 cases failed:\nfile.vp.test:4: n: EXPECT\n  a\n- c\n+ b\n";
    assert_eq!(found, expected);
    for (rest, problem) in [
        ("RUN 0 ms\nEXPECT a", "+ b"),
        ("RUN soon\nEXPECT a", "RUN lacks a time"),
        ("EXPECT_ERROR 1:1 unknown", "- 1:1 unknown"),
        ("EXPECT_WARNING x", "- x"),
        ("PASS parse\nEXPECT (vprobe)", "+ (vprobe VMMLoad"),
        ("PASS prase\nEXPECT x", "did you mean parse?"),
        ("PASS parse\nRUN 0 ms\nEXPECT x", "two cases"),
        ("RUN 0 ms\nEXPECT\n    a\n    b\nEXPECT_NOTICE x", "- x"),
        ("OPTIONS --no-such\nEXPECT x", "unknown option --no-such"),
        ("RUN 0 ms\nGUEST none\nEXPECT x", "unknown guest none"),
    ] {
        let found = failure(&format!("{prog}{rest}\n"));
        assert!(found.contains(problem), "{rest}: {found}");
    }
    assert!(failure("NAME n\nEXPECT x").contains("there is no PROG"));
    let refused = failure("NAME n\nPROG (vprobe VMMLaod 0)\nEXPECT x");
    assert!(refused.contains("EXPECT_ERROR, which the case lacks"), "{refused}");
}

#[test]
fn a_file_that_can_not_be_read_is_refused() {
    for (text, problem) in [
        ("", "file.vp.test:1: there is no case"),
        ("# only a comment\n\n", "there is no case"),
        ("NAME n\nPORG x\nEXPECT x", "file.vp.test:2: unknown key \"PORG\""),
        ("NAME n\nPROG x\n", "file.vp.test:1: n expects nothing"),
        ("NAME n\nPROG x\nEXPECT x\nNAME m\nPROG x\n", "file.vp.test:4: m expects nothing"),
        ("PROG x\nNAME n\nEXPECT x", "PROG before the first NAME"),
        ("NAME n\nEXPECT x\nEXPECT y", "file.vp.test:3: EXPECT is there twice"),
        ("NAME n\nEXPECT x\nNAME n\nEXPECT x", "a case needs a name of its own"),
        ("NAME\nEXPECT x", "a case needs a name of its own"),
    ] {
        let error = parse(text).expect_err(text);
        assert!(error.contains(problem), "{text}: {error}");
    }
    let folder = std::env::temp_dir().join(format!("jitterbug-cases-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let error = format::read(&folder, KEYS, &[]).expect_err("no case");
    std::fs::remove_dir(&folder).expect("an empty folder");
    assert!(error.contains("there is no case"), "{error}");
}

#[test]
fn values_keep_their_lines() {
    let text = "NAME n\nPROG first\n      second\n\n    third\n\n# comment\nEXPECT\n";
    let cases = parse(text).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(cases[0].value("PROG"), Some("first\n  second\n\nthird"));
    assert_eq!(cases[0].value("EXPECT"), Some(""));
}
