use super::*;

/// Any finding.
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
        },
        search: Search { strategy: "random".into(), seed: 1, depth: Some(2), run: 7 },
        run: Run {
            hang_budget: 100,
            points: 5,
            hash: "00".into(),
            switches: vec!["01".into(), "02".into()],
        },
        waits: vec![],
    }
}

#[test]
fn what_is_written_is_read_back() {
    let text = finding().to_text();
    assert_eq!(Finding::from_text(&text).unwrap(), finding(), "{text}");
}

#[test]
fn foreign_and_newer_files_are_refused() {
    assert!(Finding::from_text("").unwrap_err().contains("not a finding"));
    assert!(Finding::from_text("[package]\nname = 1").unwrap_err().contains("not a finding"));
    let newer = finding().to_text().replace("version = 1", "version = 9");
    assert!(Finding::from_text(&newer).unwrap_err().contains("version 9"));
}

#[test]
fn every_truncation_is_refused() {
    let text = finding().to_text();
    for length in 0..text.trim_end().len() {
        assert!(Finding::from_text(&text[..length]).is_err(), "{length}");
    }
}

#[test]
fn damage_is_refused() {
    for (from, to) in
        [("0@2>1@3", "0@2>x"), ("0@2>1@3", "0@2"), ("points = 5", "points = -5"), ("cpus", "spus")]
    {
        assert!(Finding::from_text(&finding().to_text().replace(from, to)).is_err(), "{to}");
    }
}
