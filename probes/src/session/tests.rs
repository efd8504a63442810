use std::time::Duration;

use vmm::hook::Points;

use crate::testing::{Bench, lines_of, load, load_with};
use crate::{LineKind, ONE_GOOD_PROBE};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn the_script_of_2012_prints_what_it_printed_in_2012() {
    let script = load(ONE_GOOD_PROBE);
    assert_eq!(script.warnings().iter().count(), 1);
    let mut bench = Bench::new(&script);
    bench.run(SECOND);
    assert_eq!(
        bench.script_lines(),
        ["CPUD: 1 Stack: GUEST_0xfffffffffb8545c6_0xfffffffffb854a79"]
    );
}

#[test]
fn the_script_of_2012_is_four_lines() {
    assert_eq!(
        ONE_GOOD_PROBE,
        "(defstring stack)\n(VProbe VMM1Hz\n   (gueststack stack)\n      \
         (printf \"CPUD: %d Stack: %sn\" VCPUID stack))\n"
    );
}

#[test]
fn strict_vp_prints_the_n_that_is_there() {
    let text = ONE_GOOD_PROBE.replace("VProbe", "vprobe");
    let script = load_with(&text, true);
    assert!(script.warnings().is_empty());
    let mut bench = Bench::new(&script);
    bench.run(SECOND * 2);
    let stack = "CPUD: 1 Stack: GUEST_0xfffffffffb8545c6_0xfffffffffb854a79n";
    assert_eq!(bench.script_lines(), [format!("{stack}{stack}")]);
}

#[test]
fn a_vcpu_that_was_never_started_fires_no_timer_but_is_loaded_and_unloaded() {
    let script = load(
        "(vprobe VMMLoad (printf \"load\\n\")) (vprobe VMM1Hz (printf \"tick\\n\"))
         (vprobe VMMUnload (printf \"unload\\n\"))",
    );
    let mut bench = Bench::new(&script);
    assert_eq!(bench.hook.points(), Points::START | Points::STOP);
    bench.with(Duration::ZERO, |hook, context| hook.start(context));
    bench.with(SECOND, |hook, context| {
        context.started = false;
        hook.tick(context);
    });
    assert_eq!(bench.hook.next_tick(), Some(SECOND * 2));
    bench.with(SECOND, |hook, context| hook.stop(context));
    assert_eq!(bench.script_lines(), ["load", "unload"]);
}

#[test]
fn probes_on_one_point_run_in_the_order_of_the_script_and_keep_their_variables() {
    let lines = lines_of(
        "(definteger n 40) (defstring s \"a\")
         (vprobe VMMLoad (setint n (+ n 1)) (printf \"%d %s\\n\" n s) (setstr s \"b\"))
         (vprobe VMMUnload (printf \"end %s\\n\" s))
         (vprobe VMMLoad (setint n (+ n 1)) (printf \"%d %s\\n\" n s))
         (vprobe VMM1Hz (printf \"tick %d\\n\" n))",
    );
    assert_eq!(lines, ["41 a", "42 b", "tick 42", "end b"]);
}

#[test]
fn each_vcpu_has_its_own_variables() {
    let script = load("(definteger n) (vprobe VMM1Hz (setint n (+ n 1)) (printf \"%d\\n\" n))");
    let mut bench = Bench::new(&script);
    bench.run(SECOND * 2);
    bench.hook = vmm::hook::Attach::attach(&bench.session, 1, 2);
    bench.run(SECOND);
    assert_eq!(bench.session.counts()[0].firings, 3);
    assert_eq!(bench.script_lines(), ["1", "2", "1"]);
}

#[test]
fn both_timers_tick_at_multiples_of_their_periods_in_script_order() {
    let script = load("(vprobe VMM1Hz (printf \"one\\n\")) (vprobe VMM10Hz (printf \"ten\\n\"))");
    let mut bench = Bench::new(&script);
    assert_eq!(bench.hook.next_tick(), Some(SECOND / 10));
    bench.run(SECOND);
    let counts = bench.session.counts();
    assert_eq!((counts[0].point.as_str(), counts[0].firings), ("VMM1Hz", 1));
    assert_eq!((counts[1].point.as_str(), counts[1].firings), ("VMM10Hz", 10));
    let lines = bench.script_lines();
    assert_eq!(lines.len(), 11);
    assert_eq!(lines[9..], ["one", "ten"]);
}

#[test]
fn missed_ticks_are_counted_and_not_made_up_for() {
    let script = load("\n(vprobe VMM10Hz 0)");
    let mut bench = Bench::new(&script);
    bench.with(SECOND * 2 + Duration::from_millis(50), |hook, context| {
        hook.tick(context);
    });
    assert_eq!(bench.hook.next_tick(), Some(Duration::from_millis(2100)));
    let counts = bench.session.counts();
    assert_eq!((counts[0].firings, counts[0].missed), (1, 19));
    assert_eq!((counts[0].file.as_str(), counts[0].line), ("test.vp", 2));
}

#[test]
fn a_session_says_whether_anything_ever_fired() {
    let mut bench = Bench::new(&load("(vprobe VMM1Hz 0)"));
    assert_eq!(bench.hook.points(), Points::STOP);
    bench.run(SECOND / 2);
    assert!(!bench.session.has_fired());
    bench.with(SECOND, |hook, context| {
        hook.tick(context);
    });
    assert!(bench.session.has_fired());
}

#[test]
fn a_cancelled_firing_is_counted_and_reported_once() {
    let script = load(
        "(definteger z) (vprobe VMM10Hz\n  (printf \"before\\n\") (/ 1 z) (printf \"after\\n\"))",
    );
    let mut bench = Bench::new(&script);
    bench.run(SECOND);
    let counts = bench.session.counts();
    assert_eq!((counts[0].firings, counts[0].cancelled), (10, 10));
    let lines = bench.finish();
    let notices: Vec<_> = lines.iter().filter(|line| line.kind == LineKind::Notice).collect();
    assert_eq!(notices.len(), 1);
    assert_eq!(
        notices[0].text(),
        "test.vp:2:23: division by zero; this firing of VMM10Hz is cancelled (said once for this \
         place)"
    );
    assert!(lines.iter().all(|line| line.text() != "after"));
}

#[test]
fn a_line_without_newline_waits_for_the_next_firing_and_is_not_lost_at_the_end() {
    let script = load("(vprobe VMM10Hz (printf \"a\"))");
    let mut bench = Bench::new(&script);
    bench.run(SECOND);
    assert_eq!(bench.script_lines(), ["aaaaaaaaaa"]);
}
