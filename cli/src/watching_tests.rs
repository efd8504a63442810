use super::*;

#[test]
fn nothing_is_said_of_what_is_told_in_full() {
    assert!(notes(&WatchReport { exits: 7, ..WatchReport::default() }).is_empty());
}

#[test]
fn each_gap_is_said() {
    let watched = WatchReport {
        exits: 20,
        inexact: 1,
        unreported: 2,
        repeated: 3,
        other_addresses: vec![0x1000, 0x2000, 0x3000, 0x4000, 0x5000],
    };
    let notes = notes(&watched);
    assert_eq!(notes.len(), 4);
    assert!(notes[0].contains("of 1 access the instruction isn't known"), "{notes:?}");
    assert!(notes[1].contains("of 2 accesses it isn't known whether they read"), "{notes:?}");
    assert!(notes[2].contains("3 accesses by repeated string instructions"), "{notes:?}");
    assert!(notes[3].contains("0x1000, 0x2000, 0x3000, 0x4000 and at 1 more"), "{notes:?}");
}
