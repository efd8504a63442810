use super::*;

fn finding(verdict: Verdict, detail: &str) -> Finding {
    Finding {
        group: "Guest debug",
        id: "watch",
        name: "data watchpoint",
        verdict,
        cost: Some(Cost::new(12_345.0)),
        detail: detail.into(),
        instead: (verdict != Verdict::Works).then_some("pages without a memslot"),
    }
}

fn report() -> Report {
    let long = "a rather long explanation that surely doesn't fit into the last column";
    Report {
        platform: Platform {
            kernel: "6.1".into(),
            modules: vec!["kvm".into(), "kvm_amd".into()],
            processor: "Z80".into(),
            parameters: [("npt".into(), "Y".into()), ("vls".into(), "N".into())].into(),
        },
        rows: vec![
            finding(Verdict::Works, "fires"),
            Finding { cost: None, ..finding(Verdict::Silent, "accepted, never fires") },
            finding(Verdict::Missing, long),
        ],
        choices: vec![Choice { purpose: "watching memory", mechanism: "holes".into() }],
        elapsed: Duration::from_millis(1234),
    }
}

#[test]
fn reads_as_a_table() {
    let wanted = "\
Linux 6.1, kvm, kvm_amd, Z80, without vls

Guest debug
  data watchpoint               works      12 us  fires
  data watchpoint               silent            accepted, never fires; instead: pages without a
                                                  memslot
  data watchpoint               missing    12 us  a rather long explanation that surely doesn't fit
                                                  into the last column; instead: pages without a
                                                  memslot

What jitterbug uses here
  watching memory         holes

3 mechanisms examined in 1.2 s: 1 work, 1 missing, 1 silent
";
    assert_eq!(report().to_string(), wanted);
}

#[test]
fn no_line_is_too_long() {
    let mut report = report();
    report.platform.processor = "processor ".repeat(30);
    report.rows[0].detail = "x".repeat(200);
    assert!(report.to_string().lines().all(|line| line.chars().count() <= 100));
}
