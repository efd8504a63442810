use super::*;

#[test]
fn what_is_written_is_read_back() {
    for text in ["main+0x4e #2", "0xffff8000 #1", "blocked", "-"] {
        assert_eq!(text.parse::<SegmentEnd>().unwrap().to_string(), text);
    }
    assert_eq!("main+0x4e #2".parse::<SegmentEnd>().unwrap().function(), Some("main"));
    for text in ["", "main+0x4e", "main+0x4e #0", "main+0x4e #x", " #1"] {
        assert!(text.parse::<SegmentEnd>().is_err(), "{text}");
    }
}

#[test]
fn a_survey_counts_within_a_stretch() {
    let (zero, one) = (Choice::Step(0), Choice::Step(1));
    let mut survey = SegmentProfiler::new(None);
    let mut look = |last, rip, enabled: &[Choice], choice, begins| {
        let point = Point { number: 0, enabled, faults: &[], last, rip, hash: 0 };
        survey.look(&point, choice, begins);
    };
    let both = [zero, one];
    look(None, 0, &[zero], zero, true);
    look(Some(0), 0x10, &both, zero, false);
    look(Some(0), 0x20, &both, zero, false);
    look(Some(0), 0x10, &both, one, true); // vCPU 0 is at 0x10 for the second time
    look(Some(1), 0x10, &both, one, false);
    look(Some(1), 0x30, &[zero], zero, true); // vCPU 1 waits
    look(Some(0), 0x10, &both, Choice::Interrupt(1), true); // counted from 1 again
    look(Some(1), 0x40, &both, one, true);
    let ends: Vec<_> = survey.finish().iter().map(SegmentEnd::to_string).collect();
    assert_eq!(ends, ["0x10 #2", "blocked", "0x10 #1", "-", "-"]);
}
