use super::*;
use crate::{Options, Script, Source};

fn names(pattern: &str) -> Vec<String> {
    matching(pattern).expect("points").into_iter().map(|row| row.name).collect()
}

#[test]
fn patterns_fit_names_and_names_their_families() {
    assert_eq!(names("*").len(), rows().len());
    assert_eq!(names("vmm*hz"), ["VMM1Hz", "VMM10Hz"]);
    assert_eq!(names("HV_?xit"), ["HV_Exit"]);
    assert_eq!(names("in"), ["In"]);
    assert_eq!(names("GUEST:ENTER:main"), ["GUEST:ENTER:..."]);
    assert_eq!(names("GUEST:main"), ["GUEST:..."]);
    assert_eq!(names("GUEST:ENTER:*"), ["GUEST:ENTER:..."]);
    assert_eq!(names("GUEST:ENTER:lock_*"), ["GUEST:ENTER:..."]);
    assert_eq!(names("VMM:TIMER:5msec"), ["VMM:TIMER:..."]);
    assert_eq!(names("USEC:100"), ["USEC:..."]);
    assert_eq!(names("guest_write:x"), ["GUEST_WRITE:..."]);
    assert!(names("Guest_*").len() > 20);
}

#[test]
fn what_fits_nothing_gets_a_suggestion() {
    let refused = |pattern: &str| matching(pattern).expect_err("no point").to_string();
    assert_eq!(refused("HV_Exti"), "HV_Exti fits no probe point; did you mean HV_Exit?");
    let inside = refused("Hz");
    assert_eq!(
        inside,
        "Hz fits no probe point; in their names have it: VMM1Hz, VMM10Hz, VMX1Hz, VMK1Hz"
    );
    assert_eq!(refused("frobnicate"), "frobnicate fits no probe point");
}

#[test]
fn everything_that_can_be_had_has_a_price_a_text_and_an_example_that_loads() {
    let options = Options {
        mechanisms: Mechanisms::all(),
        symbols: Some(crate::testing::tsc_sync_symbols()),
        segments: crate::testing::tsc_sync_segments(),
        ..Options::default()
    };
    for row in rows() {
        let Some(example) = row.example() else {
            assert!(row.never.is_some(), "{}", row.name);
            assert_eq!((row.price(), row.text(), row.means()), (None, "Never.", "nothing"));
            continue;
        };
        assert!(row.price().is_some() && row.text() != "Never.", "{}", row.name);
        // Replaces names of the guest `tsc-sync` by names in the file of these tests.
        let text = example
            .replace("determine_platform", "tsc_sync_master")
            .replace("platform_type", "tsc_ready");
        let source = Source::new("-e", text.clone());
        if let Err(refused) = Script::load(&[source], &options) {
            panic!("{}: {text}\n{refused}", row.name);
        }
    }
}
