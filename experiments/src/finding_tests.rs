use vmm::criteria::Place;

use super::*;

/// An example of a finding.
pub(crate) fn finding() -> Finding {
    Finding {
        version: VERSION,
        verdict: "proven hang".into(),
        schedule: "0@2>1@3".into(),
        machine: Machine {
            guest: "tsc-sync".into(),
            guest_hash: "0123456789abcdef".into(),
            cpus: 6,
            memory: "128M".into(),
            identity: "vmware".into(),
            command_line: String::new(),
            disks: Vec::new(),
            rng: false,
            virtio_console: false,
            faults: Vec::new(),
            granularity: "watch".into(),
            criteria: Criteria::default(),
        },
        search: Search { strategy: "random".into(), seed: 1, depth: Some(2), run: 7 },
        run: Run {
            hang_budget: 100,
            points: 5,
            hash: "0123456789abcdef".into(),
            switches: vec!["0000000000000001".into(), "0000000000000002".into()],
            places: vec!["main+0x4e #2".into(), "-".into()],
        },
        faults: Vec::new(),
        waits: vec![],
        observed: None,
    }
}

#[test]
fn what_is_written_is_read_back() {
    let text = finding().to_text();
    assert_eq!(Finding::from_text(&text).unwrap(), finding(), "{text}");
}

#[test]
fn version_2_is_read() {
    let observed = ObservedFailure {
        command: "jitterbug run tsc-sync".into(),
        verdict: "hang".into(),
        window: None,
        vcpus: Vec::new(),
    };
    let finding = Finding { observed: Some(observed), ..finding() };
    let text = finding.to_text();
    let old = text.replace("version = 3", "version = 2").replace("[observed]", "[sighting]");
    assert_ne!(old, text);
    assert_eq!(Finding::from_text(&old).unwrap(), finding);
}

fn refused(text: &str) -> String {
    Finding::from_text(text).unwrap_err()
}

#[test]
fn foreign_and_newer_files_are_refused() {
    for foreign in ["", "[package]\nname = 1", "\u{7f}ELF\u{2}\u{1}", "# jitterbug"] {
        assert!(refused(foreign).contains("not a finding"), "{foreign}");
    }
    for version in ["0", "1", "4", "4294967295"] {
        let text = finding().to_text().replace("version = 3", &format!("version = {version}"));
        assert!(
            refused(&text).contains(&format!("version {version}, and this program reads 2 and 3"))
        );
    }
    for version in ["-1", "\"3\"", "4294967296", "2.0", "[]"] {
        let text = finding().to_text().replace("version = 3", &format!("version = {version}"));
        assert!(refused(&text).contains("damaged: line 2:"), "{}", refused(&text));
    }
}

#[test]
fn every_truncation_is_refused() {
    let text = finding().to_text();
    for length in 0..text.trim_end().len() {
        let said = refused(&text[..length]);
        assert!(said.contains("not a finding") || said.contains("truncated"), "{length}: {said}");
    }
}

#[test]
fn damage_is_refused_with_its_reason() {
    for (from, to, reason) in [
        ("0@2>1@3", "0@2>x", "schedule: `x` is not like"),
        ("0@2>1@3", "0@2", "2 hashes for 1 segments"),
        ("0@2>1@3", "", "2 hashes for 0 segments"),
        ("0@2>1@3", "0@2>9@3", "schedule: vCPU 9, of 6 vCPUs"),
        ("0@2>1@3", "0@2>1@99999999999999999999", "no count"),
        ("points = 5", "points = -5", "line"),
        ("points = 5", "points = \"5\"", "line"),
        ("points = 5\n", "", "points"),
        ("cpus", "spus", "spus"),
        ("cpus = 6", "cpus = true", "boolean"),
        ("cpus = 6", "cpus = 65", "cpus = 65: "),
        ("memory = \"", "memory = \"100T", "memory = 100T"),
        ("identity = \"", "identity = \"x", "identity = x"),
        ("hang_budget = ", "hang_budget = 0 # ", "hang_budget = 0"),
        ("\"main+0x4e #2\", ", "", "1 places for 2 segments"),
        ("main+0x4e #2", "main+0x4e #0", "`main+0x4e #0` is no place"),
        ("0000000000000002", "000000000000002", "is no hash"),
        ("0000000000000002", "000000000000000g", "`000000000000000g` is no hash"),
        ("guest_hash = \"", "guest_hash = \"0", "is no hash"),
        ("verdict = ", "verdict == ", "line 3"),
    ] {
        let text = finding().to_text();
        assert!(text.contains(from), "{from}: {text}");
        let said = refused(&text.replacen(from, to, 1));
        assert!(said.starts_with("damaged") && said.contains(reason), "{to}: {said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}

#[test]
fn the_granularity_is_kept() {
    let mut stepped = finding();
    stepped.machine.granularity = "instruction".into();
    let text = stepped.to_text();
    assert!(text.contains("granularity = \"instruction\""), "{text}");
    assert_eq!(Finding::from_text(&text).unwrap(), stepped);
    // The default needs no line: findings from before there was a second granularity remain valid.
    assert!(!finding().to_text().contains("granularity"));
}

#[test]
fn a_finding_keeps_what_ended_its_run() {
    let mut finding = finding();
    assert!(!finding.to_text().contains("criteria"), "there are none");
    finding.machine.criteria = Criteria {
        ok: vec!["up *".parse().unwrap()],
        fail_at: vec![Place { symbol: "panic".into(), address: 0xffff_ffff_8100_0000 }],
        may_idle: true,
        ..Criteria::default()
    };
    let text = finding.to_text();
    assert!(text.contains("address = \"0xffffffff81000000\""), "{text}");
    assert_eq!(Finding::from_text(&text).unwrap(), finding);
    let bad = text.replace("\"0xffffffff81000000\"", "\"ffffffff81000000\"");
    assert!(Finding::from_text(&bad).unwrap_err().contains("is no address"));
}

#[test]
fn nothing_that_differs_is_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut other = finding();
    let written = |finding: &Finding| {
        let (path, is_new) = finding.write_new(folder, "abba-1-7").unwrap();
        assert_eq!(Finding::read(&path).unwrap(), *finding);
        (path.file_name().unwrap().to_str().unwrap().to_owned(), is_new)
    };
    assert_eq!(written(&other), ("abba-1-7.finding".into(), true));
    assert_eq!(written(&other), ("abba-1-7.finding".into(), false));
    for number in 1..4 {
        other.run.points += 1;
        assert_eq!(written(&other), (format!("abba-1-7.{number}.finding"), true));
        assert_eq!(written(&other), (format!("abba-1-7.{number}.finding"), false));
    }
    assert_eq!(fs::read_dir(folder).unwrap().count(), 4, "parts are left");
    other.write(&folder.join("abba-1-7.finding")).unwrap();
    assert_eq!(Finding::read(&folder.join("abba-1-7.finding")).unwrap(), other);
    assert_eq!(fs::read_dir(folder).unwrap().count(), 4, "parts are left");
}

#[test]
fn where_nothing_can_be_written_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing");
    for error in
        [check_folder(&missing).unwrap_err(), finding().write_new(&missing, "x").unwrap_err()]
    {
        assert!(error.to_string().contains("missing"), "{error}");
        assert!(error.to_string().ends_with(": can't be written"), "{error}");
    }
    check_folder(folder.path()).unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}
