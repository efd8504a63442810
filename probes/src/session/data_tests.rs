use std::time::Duration;

use vmm::hook::{Access, Attach, Points};

use crate::Options;
use crate::testing::{Bench, DATA, load_for, tsc_sync_segments, tsc_sync_symbols};

const SECOND: Duration = Duration::from_secs(1);

fn access(address: u64, size: u8, write: bool) -> Access {
    Access { address, size, write, value: 7, before: 5, locked: false, rip: 0 }
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
    assert_eq!(bench.session.watches(), [state.clone(), state, ready]);
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
    assert!(script.check_watches(&config).is_ok());
    let script = load_for("(vprobe VMMLoad 0)\n(vprobe GUEST:READ:main:4 0)", &options);
    let refused = script.check_watches(&config).expect_err("code").to_string();
    for part in ["GUEST:READ:main:4", "code is on the same page", "test.vp:2:1"] {
        assert!(refused.contains(part), "{refused}");
    }
}
