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

#[test]
fn a_ring_keeps_the_last_lines_and_prints_them_in_the_order_of_time() {
    let options = crate::Options { ring: Some(2), ..crate::Options::default() };
    let script = crate::testing::load_for(
        "(definteger n) (vprobe VMM10Hz (setint n (+ n 1)) (printf \"%d\\n\" n) (printf \"\"))",
        &options,
    );
    let mut bench = Bench::new(&script);
    bench.run(SECOND);
    let mut other = vmm::hook::Attach::attach(&bench.session, 0, 2);
    std::mem::swap(&mut bench.hook, &mut other);
    bench.run(Duration::from_millis(900));
    assert_eq!(bench.session.print_ring(), 4);
    assert_eq!(bench.session.print_ring(), 0);
    assert_eq!(
        bench.script_lines(),
        [
            "[    0.800000 vCPU 0] 8",
            "[    0.900000 vCPU 0] 9",
            "[    0.900000 vCPU 1] 9",
            "[    1.000000 vCPU 1] 10",
        ]
    );
}

#[test]
fn exits_fire_their_points_with_arguments() {
    use vmm::exit::Exit;
    let script = load(
        "(vprobe HV_Exit (printf \"exit %s\\n\" EXITNAME))
         (vprobe In (printf \"in %#x %d %d %s\\n\" ARG0 ARG1 ARG2 EXITNAME))
         (vprobe Out (printf \"out %#x %d %d %#x\\n\" ARG0 ARG1 ARG2 ARG3))
         (vprobe MMIO_Read (printf \"read %#x %d\\n\" ARG0 ARG1))
         (vprobe MMIO_Write (printf \"write %#x %d %#x\\n\" ARG0 ARG1 ARG2))
         (vprobe Guest_TripleFault (printf \"triple fault %x\\n\" RIP))
         (vprobe Guest_SIPI (printf \"sipi\\n\"))
         (vprobe HV_Resume (printf \"resume %s\\n\" EXITNAME))",
    );
    let mut bench = Bench::new(&script);
    let exits = Points::EXIT | Points::ENTRY;
    // The controlled scheduler reports a SIPI as an APIC event.
    assert_eq!(bench.hook.points(), Points::STOP | exits | Points::APIC);
    for exit in [
        Exit::PortRead { port: 0x3fd, size: 1, count: 1 },
        Exit::PortWrite { port: 0x80, size: 2, data: [1, 2, 3, 4].as_slice().into() },
        Exit::MmioRead { address: 0xfee0_0020, size: 4 },
        Exit::MmioWrite { address: 0xfee0_00b0, data: [7, 0, 0, 1].as_slice().into() },
        Exit::ApStart,
        Exit::Kicked,
        Exit::Shutdown,
    ] {
        bench.with(SECOND, |hook, context| {
            hook.exit(context, &exit);
            hook.entry(context, &vmm::exit::Entry::Resume);
        });
    }
    assert_eq!(
        bench.script_lines(),
        [
            "exit port-read",
            "in 0x3fd 1 1 port-read",
            "resume port-read",
            "exit port-write",
            "out 0x80 2 2 0x201",
            "resume port-write",
            "exit mmio-read",
            "read 0xfee00020 4",
            "resume mmio-read",
            "exit mmio-write",
            "write 0xfee000b0 4 0x1000007",
            "resume mmio-write",
            "exit ap-start",
            "sipi",
            "resume ap-start",
            "exit shutdown",
            "triple fault fffffffffb8545c6",
            "resume shutdown",
        ]
    );
}

/// The test stands in for a scheduler that detects accesses, breakpoints and interrupts itself.
#[test]
fn whoever_sees_a_point_fires_it() {
    use crate::engine::Event;
    use crate::point::{Access, Address, Fixed, Mechanisms, Point};
    let options = crate::Options {
        mechanisms: Mechanisms::all(),
        segments: crate::testing::tsc_sync_segments(),
        ..crate::Options::default()
    };
    let script = crate::testing::load_for(
        "(vprobe GUEST:ENTER:0x1000 (printf \"enter %d\\n\" ARG0))
         (vprobe GUEST:0x1000 (printf \"enter again\\n\"))
         (vprobe GUEST:WRITE:0xfffffffffb856000:8 (printf \"write %#x %d %d\\n\" ARG0 ARG1 ARG2))
         (vprobe Guest_IRQ (printf \"irq %#x\\n\" ARG0))",
        &options,
    );
    let mut bench = Bench::new(&script);
    let enter = Point::Address(Address { access: Access::Enter, start: 0x1000, length: 1 });
    let write =
        Point::Address(Address { access: Access::Write, start: crate::testing::DATA, length: 8 });
    let irq = Point::fixed(Fixed::Irq);
    assert_eq!(bench.session.points(), [enter, write, irq]);
    let mut probes = bench.session.vcpu(1);
    let mut fired = Vec::new();
    for (point, arguments) in [
        (enter, &[7][..]),
        (write, &[0x2004, 4, 99]),
        (irq, &[0x20]),
        (Point::fixed(Fixed::In), &[]),
    ] {
        bench.with(SECOND, |_, context| {
            fired.push(probes.fire(point, &Event::new(arguments), context));
        });
    }
    assert_eq!(fired, [2, 1, 1, 0]);
    drop(probes);
    assert_eq!(bench.script_lines(), ["enter 7", "enter again", "write 0x2004 4 99", "irq 0x20"]);
}

#[test]
fn a_full_aggregate_can_still_be_printed() {
    let script = load(
        "(defaggr a 1 0) (definteger n)
         (defun fill (k) (cond (k (setint n (+ n 1)) )) (aggr a (n) () 1) (cond (k (fill (- k 1)))))
         (vprobe VMM10Hz (fill 100)) (vprobe VMMUnload (logaggr a) (printf \"done\\n\"))",
    );
    let mut bench = Bench::new(&script);
    bench.run(SECOND * 12);
    let lines = bench.script_lines();
    assert_eq!(lines.len(), 10_000 + 2);
    assert_eq!(lines[10_001], "done");
}

#[test]
fn a_sampling_timer_ticks_once_in_each_period_and_not_always_at_the_same_place() {
    let script = load("(vprobe VMM:PROFILE:10msec 0)");
    let mut bench = Bench::new(&script);
    let mut places = std::collections::BTreeSet::new();
    for period in 0..100 {
        let tick = bench.hook.next_tick().expect("a tick");
        let start = Duration::from_millis(10) * period;
        assert!(tick >= start && tick < start + Duration::from_millis(10), "{tick:?}");
        places.insert(tick.as_micros() - start.as_micros());
        bench.with(tick, |hook, context| {
            hook.tick(context);
        });
    }
    assert!(places.len() > 90, "{}", places.len());
    assert_eq!((bench.session.counts()[0].firings, bench.session.counts()[0].missed), (100, 0));
}

#[test]
fn where_runs_are_repeated_nothing_of_the_host_shows() {
    use crate::{Options, Script, Source};
    let options = Options::controlled();
    assert_eq!(options.budget.time, None);
    for (name, text) in [
        ("t.vp", "(vprobe VMM1Hz (logint PCPUID))"),
        ("t.emt", "VMM1Hz { logint(PCPUID); }"),
        ("t.emt", "VMM1Hz { x = THREADID; }"),
    ] {
        let sources = [Source::new(name, text)];
        let refused = Script::load(&sources, &options).expect_err("it is the host's").to_string();
        assert!(refused.contains("it is the host's affair"), "{refused}");
        Script::load(&sources, &Options::default()).expect("it is there in real time");
    }
}

#[test]
fn folded_stacks_are_not_printed_besides() {
    let text = "(defaggr hot 0 1) (defaggr n 0 0)
        (vprobe VMM10Hz (aggr hot () ((gueststack)) (count)) (aggr n () () (count)))";
    let options = crate::Options { folded: true, ..crate::Options::default() };
    let script = crate::testing::load_for(text, &options);
    assert!(script.counts_stacks() && !load("(vprobe VMM1Hz 0)").counts_stacks());
    let mut bench = Bench::new(&script);
    bench.run(SECOND);
    bench.session.finish();
    let mut folded = crate::Folded::default();
    bench.session.fold(&mut folded);
    let mut bytes = Vec::new();
    folded.write(&mut bytes).expect("memory");
    assert_eq!(String::from_utf8_lossy(&bytes), "0xfffffffffb854a79;0xfffffffffb8545c6 10\n");
    let lines = bench.script_lines();
    assert!(lines.iter().any(|line| line.starts_with("aggr: n ")), "{lines:?}");
    assert!(!lines.iter().any(|line| line.contains("hot")), "{lines:?}");
}
