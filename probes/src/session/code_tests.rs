use std::time::Duration;

use vmm::hook::Points;

use crate::point::Mechanisms;
use crate::testing::{Bench, STACK, load_source, put_kernel, tsc_sync_symbols};
use crate::{Options, Script};

const SECOND: Duration = Duration::from_secs(1);

/// The functions `tsc_sync_master` and `mp_start_cpu_common`, which calls it.
fn tsc_sync() -> (u64, u64) {
    let symbols = tsc_sync_symbols();
    let address = |name| symbols.address(name).expect("a symbol");
    (address("tsc_sync_master"), address("mp_start_cpu_common"))
}

fn with_symbols(text: &str) -> Script {
    let name = if text.starts_with('(') { "test.vp" } else { "test.emt" };
    let symbols = Some(tsc_sync_symbols());
    load_source(name, text, &Options { symbols, ..Options::default() })
}

#[test]
fn functions_fire_when_they_begin_and_when_they_return_with_arguments() {
    let (master, common) = tsc_sync();
    let script = with_symbols(
        "(vprobe GUEST:ENTER:tsc_sync_master (printf \"enter %d %d %x\\n\" ARG0 ARG5 RIP))
         (vprobe GUEST:EXIT:tsc_sync_master (printf \"exit %d\\n\" ARG0))
         (vprobe GUEST:OFFSET:mp_start_cpu_common:9 (printf \"offset\\n\"))",
    );
    let mut bench = Bench::new(&script);
    assert_eq!(bench.hook.points(), Points::STOP | Points::BREAKPOINT);
    assert_eq!(bench.hook.breakpoints(), [master, common + 9]);
    let stack = STACK - 0x100;
    put_kernel(&bench.memory, stack, &(common + 9).to_le_bytes());
    let registers = &mut bench.cpu.registers;
    (registers.rip, registers.rsp, registers.rdi, registers.r9) = (master, stack, 5, 6);
    bench.with(SECOND, |hook, context| {
        hook.breakpoint(context, master);
        // Nothing changes here: the vCPU already stops at the return address.
        assert_eq!(hook.breakpoints(), [master, common + 9]);
    });
    (bench.cpu.registers.rsp, bench.cpu.registers.rax) = (stack + 8, 7);
    bench.with(SECOND, |hook, context| {
        hook.breakpoint(context, common + 9);
        hook.breakpoint(context, common + 9);
    });
    let entered = format!("enter 5 6 {master:x}");
    assert_eq!(bench.script_lines(), [&entered, "exit 7", "offset", "offset"]);
}

#[test]
fn a_call_whose_stack_can_not_be_read_is_counted() {
    let (master, _) = tsc_sync();
    let script = with_symbols("(vprobe GUEST:EXIT:tsc_sync_master 0)");
    let mut bench = Bench::new(&script);
    bench.cpu.registers.rsp = 0x1000;
    bench.with(SECOND, |hook, context| {
        hook.breakpoint(context, master);
    });
    bench.cpu.broken = true;
    bench.with(SECOND, |hook, context| {
        hook.breakpoint(context, master);
    });
    let counts = bench.session.counts();
    assert_eq!((counts[0].firings, counts[0].missed), (0, 2));
}

#[test]
fn a_pattern_is_one_probe_and_says_where_it_fires() {
    for text in [
        "(vprobe GUEST:ENTER:mp_* (printf \"%s\\n\" PROBENAME)) (vprobe VMMLoad 0)",
        "GUEST:ENTER:mp_* { printf(\"%s\\n\", PROBENAME); } VMMLoad { logstr(\"\"); }",
    ] {
        let script = with_symbols(text);
        let mut bench = Bench::new(&script);
        let addresses = bench.hook.breakpoints().to_vec();
        assert_eq!(addresses.len(), 3);
        for address in addresses {
            bench.with(SECOND, |hook, context| {
                hook.breakpoint(context, address);
            });
        }
        let counts = bench.session.counts();
        let counts: Vec<_> =
            counts.iter().map(|count| (count.point.as_str(), count.firings)).collect();
        assert_eq!(counts, [("GUEST:ENTER:mp_*", 3), ("VMMLoad", 0)]);
        assert_eq!(
            bench.script_lines(),
            ["GUEST:ENTER:mp_start_cpu_common", "GUEST:ENTER:mp_start", "GUEST:ENTER:mp_idle"]
        );
    }
}

#[test]
fn what_the_host_lacks_is_refused_by_name_and_place() {
    let script = with_symbols("(vprobe VMMLoad 0)\n(vprobe GUEST:ENTER:mp_* 0)");
    assert_eq!(script.mechanisms(), Mechanisms::BREAKPOINTS);
    assert!(script.check(Mechanisms::PARALLEL).is_ok());
    let refused = script.check(Mechanisms::EXITS).expect_err("no breakpoints");
    assert_eq!(refused.iter().count(), 1);
    let text = refused.to_string();
    for part in ["GUEST:ENTER:mp_* is not available", "nothing stops a vCPU", "test.vp:2:1"] {
        assert!(text.contains(part), "{text}");
    }
}
