use std::time::Duration;

use vmm::hook::{Access, Attach, Points, Values};
use vmm::watchpoints::WatchPlan;

use crate::testing::{Bench, DATA, load_for, load_source, tsc_sync_segments, tsc_sync_symbols};
use crate::{Options, Script};

const SECOND: Duration = Duration::from_secs(1);

fn access(address: u64, size: u8, write: bool) -> Access {
    Access { address, size, write, value: 7, before: 5, locked: false, rip: 0, exact: true }
}

/// `tsc_state` has 32 bytes, and is followed by `tsc_ready` with 4 bytes.
#[test]
fn accesses_fire_the_points_whose_bytes_they_touch() {
    let options = Options {
        symbols: Some(tsc_sync_symbols()),
        segments: tsc_sync_segments(),
        ..Options::default()
    };
    let text = "(vprobe GUEST:READ:tsc_state (printf \"read %x %d %d\\n\" ARG0 ARG1 ARG2))
        (vprobe GUEST:WRITE:tsc_* (printf \"%s %x %d %d before %d\\n\" PROBENAME ARG0 ARG1 ARG2 ARG3))";
    let mut bench = Bench::new(&load_for(text, &options));
    assert_eq!(bench.hook.points(), Points::STOP);
    // This image is loaded at the addresses for which it is linked.
    let (state, ready) = (DATA..DATA + 0x20, DATA + 0x20..DATA + 0x24);
    let watched = bench.session.watches().into_iter().map(|watch| watch.physical);
    assert_eq!(watched.collect::<Vec<_>>(), [state.clone(), state, ready]);
    for (address, size, write) in [
        (DATA + 0x18, 8, false),
        (DATA + 0x20, 4, false),
        (DATA + 0x1c, 8, true),
        (DATA + 0x24, 4, true),
        (DATA - 4, 8, true),
    ] {
        bench.with(SECOND, |hook, context| {
            hook.access(context, &access(address, size, write));
        });
    }
    assert_eq!(
        bench.session.counts().iter().map(|count| count.firings).collect::<Vec<_>>(),
        [1, 3]
    );
    assert_eq!(
        bench.script_lines(),
        [
            format!("read {:x} 8 7", DATA + 0x18),
            format!("GUEST:WRITE:tsc_state {:x} 8 7 before 5", DATA + 0x1c),
            format!("GUEST:WRITE:tsc_ready {:x} 8 7 before 5", DATA + 0x1c),
            format!("GUEST:WRITE:tsc_state {:x} 8 7 before 5", DATA - 4),
        ]
    );
}

#[test]
fn what_can_not_be_watched_is_refused_by_name_and_place() {
    use vmm::{CpuCount, GuestImage, MachineConfig};
    let guest = guests::find("hello").expect("a guest");
    let image = GuestImage { name: "hello".into(), bytes: guest.image.into() };
    let symbols = inspect::Symbols::from_elf("hello", guest.image).expect("symbols");
    let options = Options {
        symbols: Some(symbols.into()),
        segments: vmm::boot::segments::Segments::of(&image),
        ..Options::default()
    };
    let config = MachineConfig::new(image, CpuCount::new(1).expect("a number"));
    let script = load_for("(vprobe GUEST:WRITE:up 0)", &options);
    let pages = |script: &Script| WatchPlan::pages(script.watches(), "for this test");
    assert!(script.check_watches(&config, &pages(&script)).is_ok());
    let script = load_for("(vprobe VMMLoad 0)\n(vprobe GUEST:READ:main:4 0)", &options);
    let refused = script.check_watches(&config, &pages(&script));
    let refused = refused.expect_err("code").to_string();
    for part in ["GUEST:READ:main:4", "code is on the same page", "test.vp:2:1", "for this test"] {
        assert!(refused.contains(part), "{refused}");
    }
}

/// Data watchpoints can't tell all arguments, so a script's watches say which it uses.
#[test]
fn only_the_arguments_that_are_used_are_asked_for() {
    let options = Options {
        symbols: Some(tsc_sync_symbols()),
        segments: tsc_sync_segments(),
        ..Options::default()
    };
    let values = |text: &str| {
        let script = load_source("test.emt", text, &options);
        script.watches().iter().map(|watch| watch.values).collect::<Vec<_>>()
    };
    let bodies = [
        ("n++", [Values::Unused; 2]),
        ("n = ARG1", [Values::Unused; 2]),
        ("n = ARG2", [Values::All, Values::OfStores]),
        ("n = ARG3", [Values::Unused, Values::All]),
    ];
    for (body, expected) in bodies {
        let text =
            format!("GUEST:READ:tsc_state {{ {body}; }} GUEST:WRITE:tsc_ready {{ {body}; }}");
        assert_eq!(values(&format!("int n; {text}")), expected, "{body}");
    }
    let two = "int n; GUEST:WRITE:tsc_ready { n++; } GUEST:WRITE:tsc_ready /ARG2/ { n++; }";
    assert_eq!(values(two), [Values::OfStores]);
}

#[test]
fn an_access_whose_instruction_is_not_known_has_no_size() {
    let options = Options {
        symbols: Some(tsc_sync_symbols()),
        segments: tsc_sync_segments(),
        ..Options::default()
    };
    let text = "(vprobe GUEST:WRITE:tsc_ready (printf \"%x %d\\n\" ARG0 ARG1))";
    let mut bench = Bench::new(&load_for(text, &options));
    bench.with(SECOND, |hook, context| {
        let known = access(DATA + 0x20, 4, true);
        hook.access(context, &known);
        hook.access(context, &Access { exact: false, ..known });
    });
    let at = DATA + 0x20;
    assert_eq!(bench.script_lines(), [format!("{at:x} 4"), format!("{at:x} 0")]);
}
